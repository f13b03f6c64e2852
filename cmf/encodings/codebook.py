"""codebook: value = scale * table[code] (FORMAT.md 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32, PANEL, Array, EncodingError, Geometry, Tree, Wire
from cmf.encodings.leaf import (
    DTYPES,
    Leaf,
    check_scales,
    dtype_name,
    infer_granularity,
    pack_scales,
    unpack,
    unpack_scales,
)

WIDTHS = (1, 2, 3, 4, 5, 6, 8)
_TABLE_TYPES = ("f32", "f16", "i8")


@dataclass(frozen=True, eq=False)
class Codebook(Leaf):
    """``codes``: uint8 ``[S, O, K]`` below ``2**bits``; ``table``: f32, f16 or int8 ``[T, 2**bits]``.

    T is 1, or the number of panels (``S * P``: panel q uses row q). ``scales``: f32 ``[1, 1, 1]`` (tensor) or
    ``[S, O, 1]`` (channel), rounded to ``scale_dtype``; None: 1.
    """

    table: Array
    bits: int = 4
    scales: F32 | None = None
    scale_dtype: str = "f32"
    granularity: str = ""
    present: npt.NDArray[np.bool_] | None = None
    encoding: ClassVar[str] = "codebook"
    wire: ClassVar[Wire] = Wire(
        "Codebook", ("bits", "vector", "tables", "table_dtype", "granularity", "scale_dtype"),
        ("codes", "table", "scales"), optional=("scales",))

    def __post_init__(self) -> None:
        self.check_codes()
        if self.bits not in WIDTHS:
            raise EncodingError(f"codebook: {self.bits} bits; allowed are {', '.join(map(str, WIDTHS))}")
        if self.codes.dtype != np.uint8:
            raise EncodingError(f"codebook: codes are {self.codes.dtype}; they must be uint8")
        if self.codes.max() >= 1 << self.bits:
            raise EncodingError(f"codebook: code {self.codes.max()} does not fit {self.bits} bits")
        dtype_name(self.table.dtype, _TABLE_TYPES, "codebook table")
        panels = self.geometry.stack * self.geometry.panels
        if self.table.ndim != 2 or self.table.shape[0] not in (1, panels) or self.table.shape[1] != 1 << self.bits:
            raise EncodingError(f"codebook: table is {list(self.table.shape)}; it must be [1, {1 << self.bits}] or "
                                f"[{panels} (panels), {1 << self.bits}]")
        if self.scales is None:
            if self.granularity not in ("", "tensor"):
                raise EncodingError(f"codebook: granularity {self.granularity} without scales")
            object.__setattr__(self, "granularity", "tensor")
            return
        if not self.granularity:
            object.__setattr__(self, "granularity", infer_granularity(self.scales, 0))
        scales = check_scales(self.scales, self.geometry, self.granularity, 0, self.scale_dtype, "codebook")
        object.__setattr__(self, "scales", scales)

    @property
    def width(self) -> int:
        return self.bits

    @classmethod
    def width_of(cls, fields: Mapping[str, Any]) -> int:
        return int(fields["bits"])

    @property
    def detail(self) -> str:
        parts = [f"{self.bits} bits"]
        if len(self.table) > 1:
            parts.append("a table for each panel")
        if self.scales is not None:
            parts.append(f"{self.granularity} scales")
        return ", ".join(parts)

    def unsigned_codes(self) -> Array:
        return self.codes

    def decode(self) -> F32:
        table = self.table.astype(np.float32)
        if len(table) == 1:
            values = table[0][self.codes]
        else:
            geometry = self.geometry
            panel = np.arange(geometry.stack)[:, None] * geometry.panels + np.arange(geometry.outputs) // PANEL
            values = table[panel[:, :, None], self.codes]
        if self.scales is not None:
            values = self.scales * values
        return np.asarray(values, np.float32)

    def fields(self) -> Mapping[str, int | str]:
        return {"bits": self.bits, "vector": 1, "tables": len(self.table),
                "table_dtype": dtype_name(self.table.dtype, _TABLE_TYPES, "codebook table"),
                "granularity": self.granularity, "scale_dtype": self.scale_dtype}

    def side_spans(self) -> dict[str, bytes]:
        spans = {"table": self.table.tobytes()}
        if self.scales is not None:
            spans["scales"] = pack_scales(self.scales, self.geometry, self.granularity, self.scale_dtype)
        return spans

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree],
        present: npt.NDArray[np.bool_] | None = None,
    ) -> Codebook:
        bits, tables = fields["bits"], fields["tables"]
        if bits not in WIDTHS:
            raise EncodingError(f"codebook: {bits} bits; allowed are {', '.join(map(str, WIDTHS))}")
        if fields["vector"] != 1:
            raise EncodingError(f"codebook: {fields['vector']} inputs per code; only 1 is supported")
        if fields["table_dtype"] not in _TABLE_TYPES:
            raise EncodingError(f"codebook: table of type {fields['table_dtype']}; allowed are f32, f16, i8")
        dtype = DTYPES[fields["table_dtype"]]
        if len(spans["table"]) != tables * dtype.itemsize << bits:
            raise EncodingError(f"codebook: table has {len(spans['table'])} bytes, {tables} x 2^{bits} entries of "
                                f"{fields['table_dtype']} take {tables * dtype.itemsize << bits}")
        codes = unpack(spans["codes"], geometry, bits, present)
        table = np.frombuffer(spans["table"], dtype).reshape(tables, 1 << bits)
        scales = unpack_scales(spans["scales"], geometry, fields) if "scales" in spans else None
        return cls(geometry, codes, table, bits, scales, fields["scale_dtype"], fields["granularity"], present)
