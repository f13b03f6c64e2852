"""quantized: value = scale * (code - zero) (FORMAT.md 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmf.encodings import panels
from cmf.encodings.base import F32, Array, EncodingError, Geometry, Tree, Wire
from cmf.encodings.leaf import (
    Leaf,
    check_scales,
    infer_granularity,
    pack_scales,
    sign_extend,
    spread,
    unpack,
    unpack_scales,
)

WIDTHS = (1, 2, 3, 4, 5, 6, 8, 16)


@dataclass(frozen=True, eq=False)
class Quantized(Leaf):
    """``codes``: int8 (int16 for 16 bits) ``[S, O, K]`` within ``-2**(bits-1) .. 2**(bits-1) - 1``.

    ``scales``: f32 ``[1, 1, 1]`` (tensor), ``[S, O, 1]`` (channel) or ``[S, O, G]`` (``group`` > 0); rounded to
    ``scale_dtype``. ``zeros``: int8, the shape of scales. ``granularity`` follows from those where it is not given.
    """

    scales: F32
    bits: int = 8
    zeros: npt.NDArray[np.int8] | None = None
    group: int = 0
    scale_dtype: str = "f32"
    granularity: str = ""
    present: npt.NDArray[np.bool_] | None = None
    encoding: ClassVar[str] = "quantized"
    wire: ClassVar[Wire] = Wire(
        "Quantized", ("bits", "granularity", "group", "scale_dtype"), ("codes", "scales", "zeros"), optional=("zeros",))

    def __post_init__(self) -> None:
        self.check_codes()
        if self.bits not in WIDTHS:
            raise EncodingError(f"quantized: {self.bits} bits; allowed are {', '.join(map(str, WIDTHS))}")
        if self.codes.dtype != (np.int16 if self.bits == 16 else np.int8):
            raise EncodingError(f"quantized: codes of {self.bits} bits are int{16 if self.bits == 16 else 8}, "
                                f"not {self.codes.dtype}")
        bound = 1 << (self.bits - 1)
        if self.bits not in (8, 16) and (self.codes.min() < -bound or self.codes.max() >= bound):
            raise EncodingError(f"quantized: codes {self.codes.min()} .. {self.codes.max()} do not fit "
                                f"{self.bits} bits")
        if not self.granularity:
            object.__setattr__(self, "granularity", infer_granularity(self.scales, self.group))
        scales = check_scales(self.scales, self.geometry, self.granularity, self.group, self.scale_dtype, "quantized")
        object.__setattr__(self, "scales", scales)
        if self.zeros is not None:
            if self.bits == 16:
                raise EncodingError("quantized: zero points are not allowed with 16 bits")
            if self.zeros.dtype != np.int8 or self.zeros.shape != scales.shape:
                raise EncodingError(f"quantized: zeros are {self.zeros.dtype} {list(self.zeros.shape)}, "
                                    f"they must be int8 {list(scales.shape)}")

    @property
    def width(self) -> int:
        return self.bits

    @classmethod
    def width_of(cls, fields: Mapping[str, Any]) -> int:
        return int(fields["bits"])

    @property
    def detail(self) -> str:
        parts = [f"int{self.bits}", f"group {self.group}" if self.group else self.granularity]
        return ", ".join(parts + (["zeros"] if self.zeros is not None else []))

    def unsigned_codes(self) -> Array:
        unsigned: Array = self.codes.view(f"u{self.codes.dtype.itemsize}")
        masked: Array = unsigned & unsigned.dtype.type((1 << self.bits) - 1)
        return masked

    def decode(self) -> F32:
        codes = self.codes.astype(np.float32)  # exact, and so is the difference
        if self.zeros is not None:
            codes = codes - spread(self.zeros, self.geometry, self.group).astype(np.float32)
        return np.asarray(spread(self.scales, self.geometry, self.group) * codes, np.float32)

    def fields(self) -> Mapping[str, int | str]:
        return {"bits": self.bits, "granularity": self.granularity, "group": self.group,
                "scale_dtype": self.scale_dtype}

    def side_spans(self) -> dict[str, bytes]:
        spans = {"scales": pack_scales(self.scales, self.geometry, self.granularity, self.scale_dtype)}
        if self.zeros is not None:
            spans["zeros"] = panels.pack_factors(self.zeros, self.geometry, self.granularity)
        return spans

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree],
        present: npt.NDArray[np.bool_] | None = None,
    ) -> Quantized:
        bits = fields["bits"]
        if bits not in WIDTHS:
            raise EncodingError(f"quantized: {bits} bits; allowed are {', '.join(map(str, WIDTHS))}")
        codes = sign_extend(unpack(spans["codes"], geometry, bits, present), bits)
        scales = unpack_scales(spans["scales"], geometry, fields)
        zeros = None
        if "zeros" in spans:
            zeros = panels.unpack_factors(spans["zeros"], geometry, fields["granularity"], fields["group"],
                                          "i1", "zeros")
        return cls(geometry, codes, scales, bits, zeros, fields["group"], fields["scale_dtype"],
                   fields["granularity"], present)
