"""Writes .cmf files field by field, good ones and bad ones, without the package's writer.

For tools and tests that need files which the writer refuses to write. ``GOOD`` names small files that open.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import flatbuffers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cmf.container._generated import enums, fb  # noqa: E402

# ---------------------------------------------------------------- writing anything at all


def crc32c(data: bytes) -> int:
    """The slow and plain form, so that this file stands alone."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Span(NamedTuple):
    size: int
    buffer: int
    offset: int


class Affine(NamedTuple):
    scale: float
    zero_point: int


class Buffer(NamedTuple):
    offset: int
    stored_size: int
    size: int
    crc32c: int
    codec: int


@dataclass(frozen=True)
class Numbers:
    """A vector of numbers: kind Int64, Int32 or Uint32."""

    kind: str
    values: tuple[int, ...]

    @property
    def size(self) -> int:
        return 8 if self.kind == "Int64" else 4


def longs(*values: int) -> Numbers:
    return Numbers("Int64", values)


def ints(*values: int) -> Numbers:
    return Numbers("Int32", values)


def uints(*values: int) -> Numbers:
    return Numbers("Uint32", values)


class Table:
    """A table of the schema: its name and fields. A union's type follows from the table given. None: left out."""

    def __init__(self, table: str, /, **fields: Any) -> None:
        self.table = table
        self.fields = fields

    def but(self, **fields: Any) -> Table:
        return Table(self.table, **{**self.fields, **fields})


_UNIONS: dict[str, Any] = {"encoding": enums.Encoding, "options": enums.Options}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


class Writer:
    """Tables -> FlatBuffer. A table object that occurs twice is written once: so shared tables can be made."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)
        self.done: dict[int, int] = {}

    def offset(self, item: Any) -> int:
        builder = self.builder
        if isinstance(item, Table):
            if id(item) not in self.done:
                self.done[id(item)] = self._table(item)
            return self.done[id(item)]
        if isinstance(item, bytes):
            return int(builder.CreateString(item))
        if isinstance(item, Numbers):
            builder.StartVector(item.size, len(item.values), item.size)
            for value in reversed(item.values):
                getattr(builder, f"Prepend{item.kind}")(value)
            return int(builder.EndVector())
        if item and isinstance(item[0], Buffer):
            builder.StartVector(32, len(item), 8)
            for buffer in reversed(item):
                fb.CreateBuffer(builder, *buffer)
            return int(builder.EndVector())
        offsets = [self.offset(entry) for entry in item]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    def _table(self, table: Table) -> int:
        made = {}
        for name, value in table.fields.items():
            if isinstance(value, (Table, bytes, Numbers, list)):
                made[name] = self.offset(value)
        getattr(fb, f"{table.table}Start")(self.builder)
        for name, value in table.fields.items():
            if value is None:
                continue
            if isinstance(value, Span):
                value = fb.CreateSpan(self.builder, *value)
            elif isinstance(value, Affine):
                value = fb.CreateAffine(self.builder, *value)
            elif name in _UNIONS and isinstance(value, Table) and f"{name}_type" not in table.fields:
                getattr(fb, f"{table.table}Add{_camel(name)}Type")(self.builder, int(_UNIONS[name][value.table]))
            getattr(fb, f"{table.table}Add{_camel(name)}")(self.builder, made.get(name, value))
        return int(getattr(fb, f"{table.table}End")(self.builder))


@dataclass
class File:
    """A file in parts; everything may be changed before :meth:`pack`."""

    values: list[Table] = field(default_factory=list)
    nodes: list[Table] = field(default_factory=list)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    symbols: list[bytes] = field(default_factory=list)
    pool: bytearray = field(default_factory=bytearray)
    alignment: int = 16
    features: int = 0
    #: fields of the Model table that replace those made from the above
    model: dict[str, Any] = field(default_factory=dict)
    buffers: Callable[[list[Buffer]], list[Buffer]] = lambda buffers: buffers
    metadata: Callable[[bytearray], None] = lambda data: None
    preamble: dict[str, Any] = field(default_factory=dict)
    #: changes after all checksums were computed
    damage: Callable[[bytearray], None] = lambda data: None
    tail: bytes = b""

    def span(self, data: bytes, align: int = 8) -> Span:
        self.pool += bytes(-len(self.pool) % align)
        self.pool += data
        return Span(len(data), 0, len(self.pool) - len(data))

    def pack(self) -> bytes:
        section = bytes(self.pool)
        buffers = self.buffers([Buffer(0, len(section), len(section), crc32c(section), 0)])
        fields: dict[str, Any] = {
            "symbols": self.symbols, "values": self.values, "nodes": self.nodes, "inputs": uints(*self.inputs),
            "outputs": uints(*self.outputs), "buffers": buffers, **self.model}
        writer = Writer()
        root = writer.offset(Table("Model", **fields))
        writer.builder.Finish(root, file_identifier=b"CMF1")
        metadata = bytearray(writer.builder.Output())
        self.metadata(metadata)
        offset = -(-(64 + len(metadata)) // self.alignment) * self.alignment
        section += self.tail
        head: dict[str, Any] = {
            "magic": b"\x89CMF\r\n\x1a\n", "major": 1, "minor": 0, "alignment": self.alignment,
            "file_size": offset + len(section) + 32, "metadata_size": len(metadata), "data_offset": offset,
            "features": self.features, "crc": crc32c(bytes(metadata)), "reserved": bytes(8), **self.preamble}
        packed = struct.pack("<8sHHIQQQQI8s", *head.values())
        body = packed + struct.pack("<I", crc32c(packed)) + bytes(metadata)
        body += bytes(offset - len(body)) + section
        data = bytearray(body + hashlib.sha256(body).digest())
        self.damage(data)
        return bytes(data)


# ---------------------------------------------------------------- good files to spoil


def floats(count: int) -> bytes:
    return struct.pack(f"<{count}f", *[(i % 7 - 3) / 4 for i in range(count)])


def tree(encoding: Table, outputs: int, inputs: int, run: int = 0, stack: int = 1, layout: str = "lines") -> Table:
    return Table("Tree", encoding=encoding, layout=int(enums.Layout[layout]), stack=stack, outputs=outputs,
                 inputs=inputs, run=run or inputs)


def dense(f: File, outputs: int = 4, inputs: int = 8, run: int = 0, stack: int = 1) -> Table:
    """A tree whose outputs are a multiple of 4, so that it has no padding."""
    return tree(Table("Dense", codes=f.span(floats(stack * outputs * inputs))), outputs, inputs, run, stack)


def quantized(f: File, outputs: int = 4, inputs: int = 8, **fields: Any) -> Table:
    codes, scales = f.span(bytes(outputs * inputs)), f.span(struct.pack(f"<{outputs}f", *[0.5] * outputs))
    return tree(Table("Quantized", **{"codes": codes, "scales": scales, **fields}), outputs, inputs)


def codebook(f: File, **fields: Any) -> Table:
    given = {"codes": f.span(bytes(4 * 8 // 2)), "table": f.span(floats(16)), **fields}
    return tree(Table("Codebook", **given), 4, 8)


def ternary(f: File, codes: bytes = bytes(16)) -> Table:
    scales = f.span(struct.pack("<4f", *[0.5] * 4))
    return tree(Table("Bitpacked", levels=1, codes=f.span(codes), scales=scales), 4, 8)


def sparse(f: File, mask: bytes = b"\1\0\0\0\0\0\0\0" * 2, offsets: tuple[int, ...] = (0, 1),
           values: bytes = b"\1\1\0\0" + bytes(64)) -> Table:
    """8 inputs of 4 lanes, int8: two mask units, two values."""
    child = quantized(f)
    child = child.but(encoding=child.fields["encoding"].but(codes=f.span(values)))
    return tree(Table("Sparse", mask=f.span(mask), offsets=f.span(struct.pack(f"<{len(offsets)}I", *offsets)),
                      values=child), 4, 8)


def rows(f: File, outputs: int = 4, inputs: int = 9) -> Table:
    codes, scales = f.span(bytes(outputs * inputs)), f.span(struct.pack(f"<{outputs}f", *[0.5] * outputs))
    return tree(Table("Quantized", codes=codes, scales=scales), outputs, inputs, layout="rows")


def winograd(f: File, channels: int = 4, tile: int = 2) -> Table:
    filters = dense(f, 4, channels, stack=(tile + 2) ** 2)
    return tree(Table("Winograd", tile=tile, filters=filters), 4, 9 * channels, channels, layout="none")


def lowrank(f: File, *factors: Table, form: int = 0, **fields: Any) -> Table:
    return tree(Table("LowRank", form=form, factors=list(factors) or [dense(f, 4, 8), dense(f, 4, 4)], **fields), 4, 8,
                layout="none")


def dct(f: File, child: Table, **blocks: int) -> Table:
    fields = {"input_block": 4, "output_block": 2, **blocks}
    return tree(Table("Dct", coefficients=child, **fields), 4, 8, layout="none")


def matmul(make: Callable[[File], Table] = dense) -> File:
    """y[n, 4] = relu(x[n, 8] W + b)"""
    f = File(symbols=[b"n"], inputs=(0,), outputs=(3,))
    f.values = [
        Table("Value", name=b"x", shape=longs(-1, 8)),
        Table("Value", name=b"w", shape=longs(8, 4), tree=make(f)),
        Table("Value", name=b"b", shape=longs(4), data=f.span(floats(4))),
        Table("Value", name=b"y", shape=longs(-1, 4)),
    ]
    f.nodes = [Table("Node", op=int(enums.Op.MatMul), name=b"fc", inputs=ints(0, 1, 2), outputs=uints(3),
                     activation=int(enums.Activation.relu))]
    return f


def conv(make: Callable[[File], Table], shape: tuple[int, ...] = (4, 3, 3, 4), **options: Any) -> File:
    """y = conv(x, W)"""
    f = File(symbols=[b"n"], inputs=(0,), outputs=(2,))
    f.values = [
        Table("Value", name=b"x", shape=longs(-1, 8, 8, 4)),
        Table("Value", name=b"w", shape=longs(*shape), tree=make(f)),
        Table("Value", name=b"y"),
    ]
    f.nodes = [Table("Node", op=int(enums.Op.Conv), name=b"stem", inputs=ints(0, 1), outputs=uints(2),
                     options=Table("ConvOptions", **{"pads": uints(1, 1, 1, 1), **options}))]
    return f


def unary(op: str, options: Table | None = None, **fields: Any) -> File:
    """y = op(x)"""
    f = File(symbols=[b"n"], inputs=(0,), outputs=(1,))
    f.span(floats(4))
    f.values = [Table("Value", name=b"x", shape=longs(-1, 8, 8, 4)), Table("Value", name=b"y")]
    f.nodes = [Table("Node", op=int(enums.Op[op]), name=b"act", inputs=ints(0), outputs=uints(1), options=options,
                     **fields)]
    return f


def conv_dense(f: File) -> Table:
    return dense(f, 4, 36, 4)


def depthwise_constant() -> File:
    """y = conv(a constant that ends with its buffer, W): 4 channels, where kernels compute 16 at once."""
    f = conv(rows, (4, 3, 3, 1), group=4)
    f.values.append(Table("Value", name=b"c", shape=longs(1, 3, 3, 4), data=f.span(floats(36))))
    f.nodes = [f.nodes[0].but(inputs=ints(3, 1))]
    return f


#: all of them open
GOOD: dict[str, Callable[[], File]] = {
    "matmul-dense": matmul,
    "matmul-quantized": lambda: matmul(quantized),
    "matmul-codebook": lambda: matmul(codebook),
    "matmul-ternary": lambda: matmul(ternary),
    "matmul-sparse": lambda: matmul(sparse),
    "matmul-lowrank": lambda: matmul(lowrank),
    "matmul-dct": lambda: matmul(lambda f: dct(f, dense(f))),
    "conv-dense": lambda: conv(conv_dense),
    "conv-winograd": lambda: conv(winograd),
    "conv-depthwise": lambda: conv(rows, (4, 3, 3, 1), group=4),
    "conv-depthwise-constant": depthwise_constant,
    "pool": lambda: unary("MaxPool", Table("PoolOptions", kernel=uints(2, 2), strides=uints(2, 2))),
    "transpose": lambda: unary("Transpose", Table("TransposeOptions", perm=uints(0, 3, 1, 2))),
    "reduce": lambda: unary("ReduceMean", Table("ReduceOptions", axes=ints(1, 2))),
    "clip": lambda: unary("Relu", activation=2, activation_min=0.0, activation_max=6.0),
}
