"""What the four leaves (dense, quantized, codebook, bitpacked) share: codes, scales, and presence under sparse."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import numpy.typing as npt

from cmf.encodings import panels
from cmf.encodings.base import F32, Array, EncodingError, Geometry, Tree

#: names in cmf.fbs of the types that codes, scales and tables may have -> little-endian numpy type
DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"), "f16": np.dtype("<f2"), "bf16": np.dtype(ml_dtypes.bfloat16), "i8": np.dtype("i1"),
}


def dtype_name(dtype: np.dtype[Any], allowed: tuple[str, ...], what: str) -> str:
    """The name in cmf.fbs of a numpy type."""
    for name in allowed:
        if DTYPES[name] == dtype:
            return name
    raise EncodingError(f"{what} of type {dtype}; allowed are {', '.join(allowed)}")


@dataclass(frozen=True, eq=False)
class Leaf(Tree):
    """An encoding that holds one code for each position, in panels.

    ``present`` is set by :class:`~cmf.encodings.sparse.Sparse` on its child: then the codes span holds the codes of
    present positions only, and codes elsewhere are blank.
    """

    codes: Array
    #: the code put at absent positions
    blank: ClassVar[int] = 0

    @property
    @abstractmethod
    def width(self) -> int:
        """Bits of a code."""

    @classmethod
    @abstractmethod
    def width_of(cls, fields: Mapping[str, Any]) -> int:
        """Bits of a code, from the scalar fields of the table."""

    @abstractmethod
    def unsigned_codes(self) -> Array:
        """The codes as unsigned integers of :attr:`width` bits ``[S, O, K]``: what the file holds."""

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """The present positions under ``sparse``; None: all."""
        return getattr(self, "present", None)

    def at(self, mask: npt.NDArray[np.bool_]) -> Leaf:
        """This leaf with codes at the mask's positions only."""
        blank = self.codes.dtype.type(self.blank)
        return replace(self, codes=np.where(mask, self.codes, blank), present=mask)  # type: ignore[call-arg]

    def check_codes(self) -> None:
        if self.codes.shape != self.geometry.shape:
            raise EncodingError(f"{self.encoding}: codes are {list(self.codes.shape)}, the weight is "
                                f"{list(self.geometry.shape)}")

    @abstractmethod
    def side_spans(self) -> dict[str, bytes]:
        """All spans but the codes."""

    def spans(self) -> Mapping[str, bytes]:
        codes = self.unsigned_codes()
        if self.mask is None:
            packed = panels.pack_codes(codes, self.geometry, self.width)
        else:
            packed = panels.pack_values(codes, self.mask, self.geometry, self.width)
        return {"codes": packed, **self.side_spans()}

    @property
    def own_bytes(self) -> int:
        if self.mask is None:
            size = panels.codes_size(self.geometry, self.width)
        else:
            size = panels.values_size(self.mask, self.geometry, self.width)
        return size + sum(len(data) for data in self.side_spans().values())


def unpack(data: bytes, geometry: Geometry, bits: int, present: npt.NDArray[np.bool_] | None) -> Array:
    """The codes span -> unsigned codes ``[S, O, K]``."""
    if present is None:
        return panels.unpack_codes(data, geometry, bits)
    return panels.unpack_values(data, present, geometry, bits)


def sign_extend(codes: Array, bits: int) -> Array:
    """Unsigned codes of ``bits`` bits -> the two's complement numbers they stand for (int8, int16 for 16 bits)."""
    if bits == 16:
        return codes.view("<i2")
    shifted: npt.NDArray[np.int8] = (codes << np.uint8(8 - bits)).view(np.int8)
    extended: Array = shifted >> np.int8(8 - bits)
    return extended


# ---------------------------------------------------------------- scales


def check_scales(scales: Array, geometry: Geometry, granularity: str, group: int, scale_dtype: str, what: str) -> F32:
    """Scales as the file keeps them: f32, rounded to f16 where they are stored so.

    Raises EncodingError for a shape that does not go with the granularity, or numbers that are not finite.
    """
    if scale_dtype not in ("f32", "f16"):
        raise EncodingError(f"{what}: scales of type {scale_dtype!r}; allowed are f32, f16")
    check_granularity(geometry, granularity, group, what)
    if scales.shape != scale_shape(geometry, granularity, group):
        raise EncodingError(f"{what}: scales are {list(scales.shape)}, granularity {granularity} of this weight takes "
                            f"{list(scale_shape(geometry, granularity, group))}")
    with np.errstate(over="ignore"):
        stored = scales.astype(np.float32).astype(DTYPES[scale_dtype]).astype(np.float32)
    if not np.isfinite(stored).all():
        raise EncodingError(f"{what}: a scale is not finite in {scale_dtype}")
    return stored


def check_granularity(geometry: Geometry, granularity: str, group: int, what: str) -> None:
    if granularity not in ("tensor", "channel", "group"):
        raise EncodingError(f"{what}: unknown granularity {granularity!r}; there are tensor, channel, group")
    if (granularity == "group") != (group > 0):
        raise EncodingError(f"{what}: group is {group} but granularity is {granularity}")
    if group % 32:
        raise EncodingError(f"{what}: group is {group}; it must be a multiple of 32")
    if granularity == "group" and geometry.layout == "rows":
        raise EncodingError(f"{what}: layout rows has scales for the tensor or for channels, not for groups")


def infer_granularity(scales: Array, group: int) -> str:
    if group:
        return "group"
    return "tensor" if scales.shape == (1, 1, 1) else "channel"


def scale_shape(geometry: Geometry, granularity: str, group: int = 0) -> tuple[int, int, int]:
    """The shape of scales and zero points in a tree: ``[1, 1, 1]``, ``[S, O, 1]`` or ``[S, O, G]``."""
    if granularity == "tensor":
        return (1, 1, 1)
    return (geometry.stack, geometry.outputs, panels.groups(geometry, group) if granularity == "group" else 1)


def spread(factors: Array, geometry: Geometry, group: int) -> Array:
    """Scales or zeros so that they broadcast against ``[S, O, K]``."""
    return factors[:, :, panels.group_of_input(geometry, group)] if group else factors


def pack_scales(scales: Array, geometry: Geometry, granularity: str, scale_dtype: str) -> bytes:
    return panels.pack_factors(scales.astype(DTYPES[scale_dtype]), geometry, granularity)


def unpack_scales(data: bytes, geometry: Geometry, fields: Mapping[str, Any]) -> F32:
    """The scales span -> f32 in the shape of :func:`scale_shape`; needs granularity, group and scale_dtype."""
    scales = panels.unpack_factors(data, geometry, fields["granularity"], fields.get("group", 0),
                                   DTYPES[fields["scale_dtype"]], "scales")
    return scales.astype(np.float32)
