"""dense: the identity - every code is the number itself (FORMAT.md 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32, Array, EncodingError, Geometry, Tree, Wire
from cmf.encodings.leaf import DTYPES, Leaf, dtype_name, unpack


@dataclass(frozen=True, eq=False)
class Dense(Leaf):
    """``codes``: f32, f16 or bf16 (ml_dtypes) ``[S, O, K]``; NaN and infinities are kept."""

    present: npt.NDArray[np.bool_] | None = None
    encoding: ClassVar[str] = "dense"
    wire: ClassVar[Wire] = Wire("Dense", ("dtype",), ("codes",))

    def __post_init__(self) -> None:
        self.check_codes()
        dtype_name(self.codes.dtype, ("f32", "f16", "bf16"), "dense codes")

    @property
    def dtype(self) -> str:
        """``f32``, ``f16`` or ``bf16``."""
        return dtype_name(self.codes.dtype, ("f32", "f16", "bf16"), "dense codes")

    @property
    def width(self) -> int:
        return 8 * self.codes.dtype.itemsize

    @classmethod
    def width_of(cls, fields: Mapping[str, Any]) -> int:
        return 32 if fields["dtype"] == "f32" else 16

    @property
    def detail(self) -> str:
        return self.dtype

    def unsigned_codes(self) -> Array:
        return np.ascontiguousarray(self.codes).view(f"<u{self.codes.dtype.itemsize}")

    def decode(self) -> F32:
        return self.codes.astype(np.float32)

    def fields(self) -> Mapping[str, int | str]:
        return {"dtype": self.dtype}

    def side_spans(self) -> dict[str, bytes]:
        return {}

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree],
        present: npt.NDArray[np.bool_] | None = None,
    ) -> Dense:
        if fields["dtype"] not in ("f32", "f16", "bf16"):
            raise EncodingError(f"dense codes of type {fields['dtype']}; allowed are f32, f16, bf16")
        codes = unpack(spans["codes"], geometry, cls.width_of(fields), present)
        return cls(geometry, codes.view(DTYPES[fields["dtype"]]), present)
