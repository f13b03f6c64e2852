"""Graph -> file (FORMAT.md section 1). The same graph and options give the same bytes.

Spans of less than 4 KB lie together in one buffer, the *pool*, which is the last one; every larger span is a buffer of
its own, in the order of values. Equal spans are stored once. Values that no node uses are not written.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import flatbuffers
import numpy as np

from cmf.container import codec as codecs
from cmf.container import limits
from cmf.container._generated import enums, fb
from cmf.container.crc32c import crc32c
from cmf.container.preamble import Preamble, align
from cmf.container.tables import OPTION_TABLES, OPTIONS_OF, VECTORS, camel, to_wire
from cmf.container.weights import encode_constants
from cmf.encodings.tree import BY_NAME, Parts, check_tree, take_apart
from cmf.errors import CmfError, FormatError, GraphError
from cmf.ir.graph import Dim, Graph, Node, Value
from cmf.ir.ops import OPS
from cmf.ir.verify import verify

#: spans below this many bytes go to the pool
POOL_LIMIT = 4096
#: up to this size the data section is put together in memory, above it in a temporary file
_SPOOL_LIMIT = 1 << 28
_CHUNK = 1 << 20

PRODUCER = "cmf"


def write(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    alignment: int = limits.DEFAULT_ALIGNMENT,
    codec: str = "raw",
    producer: str = PRODUCER,
) -> Path:
    """Writes a channels-last graph to ``path`` and returns it.

    ``alignment``: of buffers, a power of two from 16 to 4096. ``codec``: ``raw``; ``zstd``: each buffer that becomes
    smaller; ``auto``: each buffer that becomes smaller by an eighth. The file appears under its name only when it is
    whole: after an error or an interruption an old file of that name is as it was. Raises CmfError.
    """
    path = Path(path)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(scratch, "xb") as file:
            _write(graph, file, alignment, codec, producer)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return path


def to_bytes(
    graph: Graph, *, alignment: int = limits.DEFAULT_ALIGNMENT, codec: str = "raw", producer: str = PRODUCER
) -> bytes:
    """The file that :func:`write` writes."""
    file = io.BytesIO()
    _write(graph, file, alignment, codec, producer)
    return file.getvalue()


def _write(graph: Graph, file: IO[bytes], alignment: int, codec: str, producer: str) -> None:
    if alignment not in limits.ALIGNMENTS:
        raise CmfError(f"alignment is {alignment}; it must be a power of two from 16 to 4096")
    if codec not in ("raw", "zstd", "auto"):
        raise CmfError(f"unknown codec {codec!r}; there are raw, zstd, auto")
    if graph.layout != "channels_last":
        raise GraphError(f"graph {graph.name!r} is {graph.layout}; only channels_last graphs are written")
    verify(graph)
    graph = encode_constants(graph)
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_LIMIT) as data:
        store = _Store(data, alignment, codec)
        values = _used_values(graph)
        placed = [_place(value, store) for value in values]
        store.close()
        metadata = _metadata(graph, values, placed, store, producer)
        data_offset = align(limits.PREAMBLE_SIZE + len(metadata), alignment)
        preamble = Preamble(alignment, data_offset + store.size + limits.DIGEST_SIZE, len(metadata), data_offset,
                            store.features, crc32c(metadata))
        digest = hashlib.sha256()
        data.seek(0)
        parts = [preamble.pack(), metadata, bytes(data_offset - limits.PREAMBLE_SIZE - len(metadata))]
        for part in (*parts, *iter(lambda: data.read(_CHUNK), b"")):
            digest.update(part)
            file.write(part)
        file.write(digest.digest())


# ---------------------------------------------------------------- the data section


@dataclass(frozen=True)
class _Place:
    """Where a span is; ``buffer`` None: in the pool."""

    size: int
    buffer: int | None
    offset: int


@dataclass(frozen=True)
class _Buffer:
    offset: int
    stored_size: int
    size: int
    crc: int
    codec: str


class _Store:
    """Writes buffers one after the other and remembers where each span went."""

    def __init__(self, file: IO[bytes], alignment: int, codec: str) -> None:
        self._file = file
        self._alignment = alignment
        self._codec = codec
        self._known: dict[tuple[int, bytes], _Place] = {}
        self._pool = bytearray()
        self.buffers: list[_Buffer] = []
        self.size = 0

    def add(self, data: bytes, alignment: int) -> _Place:
        """Stores a span that must begin at a multiple of ``alignment`` (at most 8)."""
        key = (max(alignment, 4), hashlib.sha256(data).digest())
        if key not in self._known:
            if len(data) < POOL_LIMIT:
                self._pool += bytes(-len(self._pool) % key[0])
                self._known[key] = _Place(len(data), None, len(self._pool))
                self._pool += data
            else:
                self._known[key] = _Place(len(data), len(self.buffers), 0)
                self._append(data)
        return self._known[key]

    def close(self) -> None:
        """Writes the pool; spans in it are in the last buffer."""
        if any(place.buffer is None for place in self._known.values()):
            self._append(bytes(self._pool))

    def span(self, place: _Place) -> tuple[int, int, int]:
        """Size, buffer, offset; after :meth:`close`."""
        return (place.size, len(self.buffers) - 1 if place.buffer is None else place.buffer, place.offset)

    @property
    def features(self) -> int:
        used = {buffer.codec for buffer in self.buffers}
        return sum(1 << bit for bit, name in limits.FEATURES.items() if name in used)

    def _append(self, data: bytes) -> None:
        codec, stored = codecs.compress(data, self._codec)
        offset = align(self.size, self._alignment)
        self._file.write(bytes(offset - self.size))
        self._file.write(stored)
        self.size = offset + len(stored)
        self.buffers.append(_Buffer(offset, len(stored), len(data), crc32c(stored), codec))


@dataclass(frozen=True)
class _PlacedTree:
    parts: Parts
    spans: dict[str, _Place]
    children: dict[str, _PlacedTree]


_Placed = _PlacedTree | _Place | None


def _place(value: Value, store: _Store) -> _Placed:
    if value.tree is not None:
        check_tree(value.tree)
        return _place_tree(take_apart(value.tree), store)
    if value.data is not None:
        data = np.ascontiguousarray(value.data)
        return store.add(data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes(), min(data.itemsize, 8))
    return None


def _place_tree(parts: Parts, store: _Store) -> _PlacedTree:
    spans = {name: store.add(data, 8 if name == "mask" else 4) for name, data in parts.spans.items()}
    return _PlacedTree(parts, spans, {name: _place_tree(child, store) for name, child in parts.children.items()})


# ---------------------------------------------------------------- the metadata block


def _used_values(graph: Graph) -> list[Value]:
    """Values in the order of their first use."""
    names: dict[str, None] = dict.fromkeys(graph.inputs)
    for node in graph.nodes:
        names.update(dict.fromkeys(name for name in (*node.inputs, *node.outputs) if name))
    names.update(dict.fromkeys(graph.outputs))
    return [graph.value(name) for name in names]


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal strings, vectors of numbers and tables of options once: many nodes have the same."""

    def __init__(self) -> None:
        super().__init__(1 << 14)
        self.known: dict[Any, int] = {}

    def once(self, key: Any, make: Callable[[], int]) -> int:
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]


def _metadata(graph: Graph, values: list[Value], placed: list[_Placed], store: _Store, producer: str) -> bytes:
    symbols = _symbols(values)
    for what, count in (("values", len(values)), ("nodes", len(graph.nodes)), ("buffers", len(store.buffers)),
                        ("symbols", len(symbols))):
        if count > limits.MAX_COUNT:
            raise FormatError(f"graph {graph.name!r} has {count} {what}; the limit is 2^20", "E_LIMIT")
    builder = _Builder()
    number = {value.name: index for index, value in enumerate(values)}
    value_tables = [_value(builder, value, place, store, symbols) for value, place in zip(values, placed, strict=True)]
    node_tables = [_node(builder, node, number) for node in graph.nodes]
    metadata = [_key_value(builder, key, text) for key, text in graph.metadata.items()]
    fields = {
        "Name": _string(builder, graph.name),
        "Producer": _string(builder, producer),
        "Symbols": _tables(builder, [_string(builder, symbol) for symbol in symbols]),
        "Values": _tables(builder, value_tables),
        "Nodes": _tables(builder, node_tables),
        "Inputs": _integers(builder, [number[name] for name in graph.inputs], "uint"),
        "Outputs": _integers(builder, [number[name] for name in graph.outputs], "uint"),
        "Buffers": _buffers(builder, store.buffers),
        "Metadata": _tables(builder, metadata),
    }
    fb.ModelStart(builder)
    for name, offset in fields.items():
        if offset is not None:
            getattr(fb, f"ModelAdd{name}")(builder, offset)
    builder.Finish(fb.ModelEnd(builder), file_identifier=limits.IDENTIFIER)
    return bytes(builder.Output())


def _symbols(values: list[Value]) -> dict[str, int]:
    names: dict[Dim, None] = {}
    for value in values:
        names.update(dict.fromkeys(dim for dim in value.shape or () if isinstance(dim, str)))
    return {str(name): index for index, name in enumerate(names)}


def _value(builder: Any, value: Value, placed: _Placed, store: _Store, symbols: dict[str, int]) -> int:
    name = _string(builder, value.name)
    tree = _tree(builder, placed, store) if isinstance(placed, _PlacedTree) else None
    shape = None
    if value.shape is not None:
        shape = _integers(builder, [-1 - symbols[d] if isinstance(d, str) else int(d) for d in value.shape], "long")
    fb.ValueStart(builder)
    fb.ValueAddName(builder, name)
    fb.ValueAddDtype(builder, int(enums.DType[value.dtype]))
    if shape is not None:
        fb.ValueAddShape(builder, shape)
    if value.affine is not None:
        fb.ValueAddAffine(builder, fb.CreateAffine(builder, value.affine.scale, value.affine.zero_point))
    if isinstance(placed, _Place):
        fb.ValueAddData(builder, fb.CreateSpan(builder, *store.span(placed)))
    if tree is not None:
        fb.ValueAddTree(builder, tree)
    return int(fb.ValueEnd(builder))


def _tree(builder: Any, placed: _PlacedTree, store: _Store) -> int:
    wire = BY_NAME[placed.parts.encoding].wire
    children = {name: _tree(builder, child, store) for name, child in placed.children.items()}
    if "factors" in wire.children:  # the one vector of children
        factors = _tables(builder, [tree for name, tree in children.items() if name.startswith("factor")])
        children = {"factors": factors or 0, **{name: t for name, t in children.items() if name == "residual"}}

    def add(field: str, value: Any) -> None:
        getattr(fb, f"{wire.table}Add{camel(field)}")(builder, value)

    getattr(fb, f"{wire.table}Start")(builder)
    for field, offset in children.items():
        add(field, offset)
    for field, value in placed.parts.fields.items():
        add(field, to_wire(wire.table, field, value))
    for field, place in placed.spans.items():
        add(field, fb.CreateSpan(builder, *store.span(place)))
    encoding = getattr(fb, f"{wire.table}End")(builder)
    geometry = placed.parts.geometry
    fb.TreeStart(builder)
    fb.TreeAddEncodingType(builder, int(enums.Encoding[wire.table]))
    fb.TreeAddEncoding(builder, encoding)
    fb.TreeAddLayout(builder, int(enums.Layout[placed.parts.layout]))
    fb.TreeAddStack(builder, geometry.stack)
    fb.TreeAddOutputs(builder, geometry.outputs)
    fb.TreeAddInputs(builder, geometry.inputs)
    fb.TreeAddRun(builder, geometry.run)
    return int(fb.TreeEnd(builder))


def _node(builder: Any, node: Node, number: dict[str, int]) -> int:
    for what, edges in (("inputs", node.inputs), ("outputs", node.outputs)):
        if len(edges) > limits.MAX_NODE_EDGES:
            raise FormatError(f"node {node.name!r} has {len(edges)} {what}; the limit is 1024", "E_LIMIT")
    name = _string(builder, node.name) if node.name else None
    inputs = _integers(builder, [number[i] if i else -1 for i in node.inputs], "int")
    outputs = _integers(builder, [number[o] for o in node.outputs], "uint")
    options = _options(builder, node)
    fb.NodeStart(builder)
    fb.NodeAddOp(builder, int(enums.Op[node.op]))
    if name is not None:
        fb.NodeAddName(builder, name)
    fb.NodeAddInputs(builder, inputs)
    fb.NodeAddOutputs(builder, outputs)
    if options is not None:
        fb.NodeAddOptionsType(builder, int(enums.Options[OPTIONS_OF[node.op]]))
        fb.NodeAddOptions(builder, options)
    fb.NodeAddCompute(builder, int(enums.Compute[node.compute]))
    fb.NodeAddRequantize(builder, int(enums.Requantize[node.requantize]))
    if node.activation is not None:
        fb.NodeAddActivation(builder, int(enums.Activation[node.activation.kind]))
        if node.activation.kind == "clip":
            fb.NodeAddActivationMin(builder, node.activation.low)
            fb.NodeAddActivationMax(builder, node.activation.high)
    return int(fb.NodeEnd(builder))


def _options(builder: Any, node: Node) -> int | None:
    """The options table, with the IR's defaults for what the node does not state."""
    if node.op not in OPTIONS_OF:
        return None
    return int(builder.once((node.op, repr(sorted(node.options.items()))), lambda: _options_table(builder, node)))


def _options_table(builder: Any, node: Node) -> int:
    table = OPTIONS_OF[node.op]
    defaults = {name: option.default for name, option in OPS[node.op].options.items()}
    options = {name: value for name, value in {**defaults, **node.options}.items() if value is not None}
    unknown = set(options) - set(OPTION_TABLES[table])
    if unknown:
        raise GraphError(f"node {node.name!r} ({node.op}): {table} has no field {', '.join(sorted(unknown))}")
    vectors = {name: _integers(builder, [int(v) for v in options[name]], "int") for name in options if name in VECTORS}
    getattr(fb, f"{table}Start")(builder)
    for name in OPTION_TABLES[table]:
        if name in options:
            value = vectors[name] if name in vectors else to_wire(table, name, options[name])
            getattr(fb, f"{table}Add{camel(name)}")(builder, value)
    return int(getattr(fb, f"{table}End")(builder))


def _key_value(builder: Any, key: str, text: str) -> int:
    offsets = (_string(builder, key), _string(builder, text))
    fb.KeyValueStart(builder)
    fb.KeyValueAddKey(builder, offsets[0])
    fb.KeyValueAddValue(builder, offsets[1])
    return int(fb.KeyValueEnd(builder))


def _string(builder: Any, text: str) -> int:
    data = text.encode()
    if len(data) > limits.MAX_STRING:
        raise FormatError(f"a string of {len(data)} bytes ({text[:40]!r}...); the limit is 65535", "E_LIMIT")
    return int(builder.CreateSharedString(data))


def _tables(builder: Any, offsets: list[int]) -> int | None:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _integers(builder: Any, numbers: list[int], kind: str) -> int:
    return int(builder.once((kind == "long", *numbers), lambda: _vector(builder, numbers, kind)))


def _vector(builder: Any, numbers: list[int], kind: str) -> int:
    size = 8 if kind == "long" else 4
    prepend = {"long": builder.PrependInt64, "int": builder.PrependInt32, "uint": builder.PrependUint32}[kind]
    if kind == "int" and any(number >= 2**31 for number in numbers):
        prepend = builder.PrependUint32
    builder.StartVector(size, len(numbers), size)
    for number in reversed(numbers):
        prepend(number)
    return int(builder.EndVector())


def _buffers(builder: Any, buffers: list[_Buffer]) -> int:
    builder.StartVector(fb.Buffer.SizeOf(), len(buffers), 8)
    for buffer in reversed(buffers):
        codec = int(enums.Codec[buffer.codec])
        fb.CreateBuffer(builder, buffer.offset, buffer.stored_size, buffer.size, buffer.crc, codec)
    return int(builder.EndVector())
