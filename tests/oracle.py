"""FORMAT.md sections 2 and 3 read literally: one number at a time, from the bytes of spans.

Slow, and written from the text of the specification alone: it shares no code with ``cmf.encodings`` but the container
of parts (:class:`cmf.encodings.tree.Parts`), so that a mistake there cannot hide here.
"""

from __future__ import annotations

import struct
from math import ceil
from typing import Any

import ml_dtypes
import numpy as np

from cmf.encodings.tree import Parts

PLANES = {1: [1], 2: [2], 3: [2, 1], 4: [4], 5: [4, 1], 6: [4, 2], 8: [8], 16: [16], 32: [32]}


class Reader:
    """Section 2 for one panel tree."""

    def __init__(self, parts: Parts) -> None:
        self.g = parts.geometry
        self.sparse = parts if parts.encoding == "sparse" else None
        self.leaf = parts.children["values"] if self.sparse else parts
        f = self.leaf.fields
        self.bits = {"dense": lambda: 32 if f["dtype"] == "f32" else 16, "quantized": lambda: f["bits"],
                     "codebook": lambda: f["bits"],
                     "bitpacked": lambda: 1 if f["levels"] == "binary" else 2}[self.leaf.encoding]()
        self.panels = ceil(self.g.outputs / 16)
        last = self.g.outputs - 16 * (self.panels - 1)
        self.last_lanes = ceil(last / 4) * 4
        self.padded = 16 * (self.panels - 1) + self.last_lanes

    def lanes(self, p: int) -> int:
        return 16 if p < self.panels - 1 else self.last_lanes

    def code(self, s: int, o: int, k: int) -> int | None:
        """The unsigned code of one position; None where it is absent."""
        if self.sparse:
            return self._sparse_code(s, o, k)
        return (self._rows_code if self.g.layout == "rows" else self._lines_code)(s, o, k)

    def _lines_code(self, s: int, o: int, k: int) -> int:
        p, lane = divmod(o, 16)
        lanes, run = self.lanes(p), self.g.run
        lines = [(self.g.inputs // run) * ceil(run * b / 32) for b in PLANES[self.bits]]
        at = 4 * sum(lines) * (s * self.padded + 16 * p)
        code, low = 0, 0
        for b, plane_lines in zip(PLANES[self.bits], lines):
            r, j = divmod(k, run)
            line = r * ceil(run * b / 32) + j // (32 // b)
            i = j % (32 // b)
            word = struct.unpack_from("<I", self.leaf.spans["codes"], at + 4 * (line * lanes + lane))[0]
            shift = {32: 0, 16: 16 * i, 8: 8 * i}.get(b, 8 * (i % 4) + b * (i // 4))
            code |= (word >> shift & (1 << b) - 1) << low
            low += b
            at += 4 * lanes * plane_lines
        return code

    def _row_size(self, lanes: int) -> int:
        return ceil(self.g.inputs * sum(ceil(lanes * b / 8) for b in PLANES[self.bits]) / 4) * 4

    def _rows_code(self, s: int, o: int, k: int) -> int:
        p, lane = divmod(o, 16)
        lanes = self.lanes(p)
        at = s * ((self.panels - 1) * self._row_size(16) + self._row_size(self.last_lanes)) + p * self._row_size(16)
        code, low = 0, 0
        for b in PLANES[self.bits]:
            size = ceil(lanes * b / 8)
            row = int.from_bytes(self.leaf.spans["codes"][at + k * size : at + (k + 1) * size], "little")
            code |= (row >> b * lane & (1 << b) - 1) << low
            low += b
            at += self.g.inputs * size
        return code

    def _sparse_code(self, s: int, o: int, k: int) -> int | None:
        assert self.sparse is not None
        p, lane = divmod(o, 16)
        q, run = s * self.panels + p, self.g.run
        if self.g.layout == "lines" and self.bits <= 8:
            size, units = 8, (self.g.inputs // run) * ceil(run / 4)
            unit, bit = (k // run) * ceil(run / 4) + k % run // 4, 4 * lane + k % run % 4
        else:
            size, units, unit, bit = 2, self.g.inputs, k, lane
        mask = self.sparse.spans["mask"][size * units * q : size * units * (q + 1)]
        before = int.from_bytes(mask, "little")
        position = 8 * size * unit + bit
        if not before >> position & 1:
            return None
        index = (before & (1 << position) - 1).bit_count()
        offset = struct.unpack_from("<I", self.sparse.spans["offsets"], 4 * q)[0]
        first = 32 * offset + self.bits * index
        values = self.leaf.spans["codes"][first // 8 : (first + self.bits + 7) // 8]
        return int.from_bytes(values, "little") >> first % 8 & (1 << self.bits) - 1

    def factor(self, span: str, dtype: Any, s: int, o: int, k: int) -> Any:
        """Section 2.3: the scale or zero point of one position."""
        fields = self.leaf.fields
        p, lane = divmod(o, 16)
        if fields["granularity"] == "tensor":
            index = 0
        elif fields["granularity"] == "channel":
            index = s * self.padded + o
        else:
            per_run = ceil(self.g.run / fields["group"])
            groups = (self.g.inputs // self.g.run) * per_run
            g = (k // self.g.run) * per_run + k % self.g.run // fields["group"]
            index = groups * (s * self.padded + 16 * p) + g * self.lanes(p) + lane
        return np.frombuffer(self.leaf.spans[span], dtype)[index]

    def scale(self, s: int, o: int, k: int) -> np.float32:
        dtype = {"f32": "<f4", "f16": "<f2"}[self.leaf.fields["scale_dtype"]]
        return np.float32(self.factor("scales", dtype, s, o, k))

    def value(self, s: int, o: int, k: int) -> np.float32:
        """Section 3: the real number at one position, each operation rounded to f32."""
        code = self.code(s, o, k)
        if code is None:
            return np.float32(0)
        f, spans = self.leaf.fields, self.leaf.spans
        if self.leaf.encoding == "dense":
            dtype = {"f32": "<f4", "f16": "<f2", "bf16": ml_dtypes.bfloat16}[f["dtype"]]
            return np.float32(np.frombuffer(code.to_bytes(self.bits // 8, "little"), dtype)[0])
        if self.leaf.encoding == "codebook":
            dtype = {"f32": "<f4", "f16": "<f2", "i8": "i1"}[f["table_dtype"]]
            row = (s * self.panels + o // 16) if f["tables"] > 1 else 0
            entry = np.float32(np.frombuffer(spans["table"], dtype)[(row << self.bits) + code])
            return self.scale(s, o, k) * entry if "scales" in spans else entry
        signed = code - (1 << self.bits) if code >> (self.bits - 1) else code
        if self.leaf.encoding == "quantized":
            zero = self.factor("zeros", "i1", s, o, k) if "zeros" in spans else 0
            return self.scale(s, o, k) * np.float32(signed - int(zero))
        if f["levels"] == "binary":
            signed = 1 if code else -1
        return self.scale(s, o, k) * np.float32(signed)


def decode(parts: Parts) -> np.ndarray[Any, Any]:
    """The weight of any tree, ``[S, O, K]``: f32 for panel trees, f64 for products and bases."""
    g = parts.geometry
    children = {name: decode(child).astype(np.float64) for name, child in parts.children.items()
                if parts.encoding in ("lowrank", "dct", "winograd")}
    if parts.encoding == "winograd":
        return children["filters"]
    if parts.encoding == "dct":
        d_in = _block_diagonal([g.run] * (g.inputs // g.run), parts.fields["input_block"])
        d_out = _block_diagonal([g.outputs], parts.fields["output_block"])
        return d_out.T @ children["coefficients"] @ d_in
    if parts.encoding == "lowrank":
        if parts.fields["form"] == "svd":
            product = children["factor1"] @ children["factor0"]
        else:
            core = children["factor1"][0].reshape(-1, g.inputs // g.run, children["factor0"].shape[1])
            product = np.einsum("or,rti,ic->otc", children["factor2"][0], core, children["factor0"][0]).reshape(g.shape)
        return product + children.get("residual", 0.0)
    reader = Reader(parts)
    s, o, k = g.shape
    values = [reader.value(i, j, m) for i in range(s) for j in range(o) for m in range(k)]
    return np.array(values, np.float32).reshape(g.shape)


def _block_diagonal(pieces: list[int], block: int) -> np.ndarray[Any, Any]:
    """The matrix of section 3.7 for inputs (runs) or outputs (one piece)."""
    size = sum(pieces)
    matrix = np.zeros((size, size))
    at = 0
    for piece in pieces:
        for start in range(0, piece, block):
            n = min(block, piece - start)
            for k in range(n):
                c = np.sqrt(1 / n) if k == 0 else np.sqrt(2 / n)
                for j in range(n):
                    matrix[at + start + k, at + start + j] = c * np.cos(np.pi * (2 * j + 1) * k / (2 * n))
        at += piece
    return matrix
