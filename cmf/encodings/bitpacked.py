"""bitpacked: value = scale * (+1 or -1), or scale * (-1, 0 or +1) (FORMAT.md 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32, Array, EncodingError, Geometry, Tree, Wire
from cmf.encodings.leaf import Leaf, check_scales, infer_granularity, pack_scales, sign_extend, unpack, unpack_scales

_WIDTHS = {"binary": 1, "ternary": 2}


@dataclass(frozen=True, eq=False)
class Bitpacked(Leaf):
    """``codes``: int8 ``[S, O, K]``: -1, 0, 1 (ternary) or -1, 1 (binary).

    ``scales``: f32 ``[1, 1, 1]`` (tensor) or ``[S, O, 1]`` (channel), rounded to ``scale_dtype``.
    """

    scales: F32
    levels: str = "ternary"
    scale_dtype: str = "f32"
    granularity: str = ""
    present: npt.NDArray[np.bool_] | None = None
    encoding: ClassVar[str] = "bitpacked"
    wire: ClassVar[Wire] = Wire("Bitpacked", ("levels", "granularity", "scale_dtype"), ("codes", "scales"))
    blank: ClassVar[int] = -1  # the zero bit of binary

    def __post_init__(self) -> None:
        self.check_codes()
        if self.levels not in _WIDTHS:
            raise EncodingError(f"bitpacked: unknown levels {self.levels!r}; there are binary and ternary")
        if self.codes.dtype != np.int8:
            raise EncodingError(f"bitpacked: codes are {self.codes.dtype}; they must be int8")
        legal = (np.abs(self.codes) <= 1) if self.levels == "ternary" else (np.abs(self.codes) == 1)
        if not legal.all():
            raise EncodingError(f"bitpacked: a code is not {'-1, 0 or 1' if self.levels == 'ternary' else '-1 or 1'}")
        if not self.granularity:
            object.__setattr__(self, "granularity", infer_granularity(self.scales, 0))
        if self.granularity == "group":
            raise EncodingError("bitpacked: scales are for the tensor or for channels, not for groups")
        scales = check_scales(self.scales, self.geometry, self.granularity, 0, self.scale_dtype, "bitpacked")
        object.__setattr__(self, "scales", scales)

    @property
    def width(self) -> int:
        return _WIDTHS[self.levels]

    @classmethod
    def width_of(cls, fields: Mapping[str, Any]) -> int:
        return _WIDTHS[fields["levels"]]

    @property
    def detail(self) -> str:
        return self.levels

    def unsigned_codes(self) -> Array:
        if self.levels == "binary":
            return (self.codes > 0).astype(np.uint8)
        masked: Array = self.codes.view(np.uint8) & np.uint8(3)
        return masked

    def decode(self) -> F32:
        return np.asarray(self.scales * self.codes.astype(np.float32), np.float32)

    def fields(self) -> Mapping[str, int | str]:
        return {"levels": self.levels, "granularity": self.granularity, "scale_dtype": self.scale_dtype}

    def side_spans(self) -> dict[str, bytes]:
        return {"scales": pack_scales(self.scales, self.geometry, self.granularity, self.scale_dtype)}

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree],
        present: npt.NDArray[np.bool_] | None = None,
    ) -> Bitpacked:
        if fields["levels"] not in _WIDTHS:
            raise EncodingError(f"bitpacked: unknown levels {fields['levels']!r}; there are binary and ternary")
        width = cls.width_of(fields)
        unsigned = unpack(spans["codes"], geometry, width, present)
        codes = sign_extend(unsigned, 2) if width == 2 else (2 * unsigned.view(np.int8) - 1).astype(np.int8)
        scales = unpack_scales(spans["scales"], geometry, fields)
        return cls(geometry, codes, scales, fields["levels"], fields["scale_dtype"], fields["granularity"], present)
