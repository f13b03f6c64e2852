"""File -> graph, independent of the C library (FORMAT.md section 1).

For tools, tests and passes: trees come back in logical form. Every refusal is a CmfError, nearly always a FormatError
whose ``code`` is the C status that says the same.
"""

from __future__ import annotations

import hashlib
import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

import numpy as np

from cmf.container import limits
from cmf.container._generated import enums, fb
from cmf.container.codec import decompress_zstd
from cmf.container.crc32c import crc32c
from cmf.container.preamble import Preamble, align
from cmf.container.tables import OPTION_TABLES, OPTIONS_OF, VECTORS, camel, enum_name, from_wire
from cmf.encodings import EncodingError, Geometry, check_tree
from cmf.encodings.tree import BY_NAME, MAX_DEPTH, Parts, put_together, take_apart
from cmf.errors import FormatError
from cmf.ir.graph import NUMPY_DTYPES, Activation, Affine, Graph, Node, Value
from cmf.ir.verify import verify as verify_graph

Source = str | os.PathLike[str] | bytes


@dataclass(frozen=True)
class BufferInfo:
    """One buffer: its place in the data section, bytes stored and decoded, codec, CRC-32C of the stored bytes."""

    offset: int
    stored_size: int
    size: int
    codec: str
    crc32c: int


@dataclass(frozen=True)
class SpanInfo:
    """One span: whose it is (``conv1.weight: sparse/values/codes``) and where it lies."""

    owner: str
    field: str
    buffer: int
    offset: int
    size: int


class Container:
    """A file taken apart: preamble, buffers and the metadata's root table."""

    def __init__(self, source: Source, *, verify: bool = True, max_resident: int = limits.MAX_RESIDENT) -> None:
        """``verify``: check everything - checksums, padding, the rules of the graph - not only what reading takes.

        Raises FormatError.
        """
        self.verify = verify
        self.data = memoryview(source if isinstance(source, bytes) else Path(source).read_bytes())
        self.preamble = Preamble.unpack(self.data[: limits.PREAMBLE_SIZE], len(self.data))
        end = limits.PREAMBLE_SIZE + self.preamble.metadata_size
        self.metadata = self.data[limits.PREAMBLE_SIZE : end]
        self._check_zero(end, self.preamble.data_offset, "between metadata and data section")
        if verify:
            if crc32c(self.metadata) != self.preamble.metadata_crc:
                raise FormatError("the metadata block's checksum does not match: the file is damaged", "E_CHECKSUM")
            if hashlib.sha256(self.data[:-limits.DIGEST_SIZE]).digest() != self.data[-limits.DIGEST_SIZE :]:
                raise FormatError("the file's SHA-256 does not match: the file is damaged", "E_CHECKSUM")
        if self.metadata[4:8] != limits.IDENTIFIER:
            raise FormatError("the metadata block is not a CMF1 FlatBuffer", "E_METADATA")
        with _metadata_errors():
            self.root: Any = fb.Model.GetRootAs(self.metadata, 0)
            self.buffers = tuple(_buffers(self.root))
        self._check_buffers(verify, max_resident)
        self._decoded: dict[int, memoryview] = {}
        self._spanned = 0

    def _check_zero(self, start: int, stop: int, where: str) -> None:
        if any(self.data[start:stop]):
            raise FormatError(f"padding {where} is not zero", "E_BUFFER")

    def _check_buffers(self, verify: bool, max_resident: int) -> None:
        base = self.preamble.data_offset
        end, resident = 0, 0
        for index, buffer in enumerate(self.buffers):
            if buffer.offset != align(end, self.preamble.alignment):
                raise FormatError(f"buffer {index} begins at {buffer.offset}, not after the one before it", "E_BUFFER")
            self._check_zero(base + end, base + buffer.offset, f"before buffer {index}")
            end = buffer.offset + buffer.stored_size
            if base + end + limits.DIGEST_SIZE > len(self.data):
                raise FormatError(f"buffer {index} reaches beyond the data section", "E_BUFFER")
            if buffer.codec == "raw" and buffer.size != buffer.stored_size:
                raise FormatError(f"raw buffer {index} states two sizes, {buffer.stored_size} and {buffer.size}",
                                  "E_BUFFER")
            if buffer.codec != "raw" and buffer.codec not in self.features:
                raise FormatError(f"buffer {index} uses codec {buffer.codec}, which the file's features do not name",
                                  "E_FEATURE")
            resident += buffer.size if buffer.codec == "zstd" else 0
            if verify and crc32c(self._stored(index)) != buffer.crc32c:
                raise FormatError(f"buffer {index}'s checksum does not match: the file is damaged", "E_CHECKSUM")
        if base + end + limits.DIGEST_SIZE != len(self.data):
            raise FormatError("bytes lie between the last buffer and the digest", "E_BUFFER")
        if resident > max_resident:
            raise FormatError(f"compressed buffers take {resident} bytes of memory; the limit is {max_resident}",
                              "E_LIMIT")

    def _stored(self, index: int) -> memoryview:
        start = self.preamble.data_offset + self.buffers[index].offset
        return self.data[start : start + self.buffers[index].stored_size]

    def decoded(self, index: int) -> memoryview:
        """The bytes of a buffer after its codec."""
        if not 0 <= index < len(self.buffers):
            raise FormatError(f"a span lies in buffer {index}; there are {len(self.buffers)}", "E_BUFFER")
        if index not in self._decoded:
            buffer = self.buffers[index]
            stored = self._stored(index)
            self._decoded[index] = stored if buffer.codec == "raw" else memoryview(
                decompress_zstd(stored, buffer.size, f"buffer {index}"))
        return self._decoded[index]

    def span(self, span: Any, alignment: int = 1) -> memoryview:
        """The bytes of a span that must begin at a multiple of ``alignment``."""
        data = self.decoded(span.Buffer())
        if span.Offset() % alignment:
            raise FormatError(f"a span begins at byte {span.Offset()} of buffer {span.Buffer()}, not at a multiple of "
                              f"{alignment}", "E_BUFFER")
        if span.Offset() + span.Size() > len(data):
            raise FormatError(f"a span of {span.Size()} bytes at {span.Offset()} lies outside buffer {span.Buffer()}",
                              "E_BUFFER")
        self._spanned += span.Size()
        if self._spanned > limits.MAX_SHARING * sum(buffer.size for buffer in self.buffers) + limits.SHARING_SLACK:
            raise FormatError("the spans of all values name the same bytes too often", "E_LIMIT")
        return data[span.Offset() : span.Offset() + span.Size()]

    # ------------------------------------------------------------ the graph

    def graph(self) -> Graph:
        """The whole graph; trees are put together from their bytes. Raises CmfError."""
        with _metadata_errors():
            graph = self._graph()
        if self.verify:
            verify_graph(graph)
        return graph

    def _graph(self) -> Graph:
        root = self.root
        self._spanned = 0
        symbols = [_text(root.Symbols(i)) for i in range(_count(root.SymbolsLength(), "symbols"))]
        graph = Graph(name=_text(root.Name()))
        names = []
        for index in range(_count(root.ValuesLength(), "values")):
            value = self._value(root.Values(index), index, symbols)
            value.name = graph.fresh(value.name)
            graph.values[value.name] = value
            names.append(value.name)

        def name(index: int, what: str) -> str:
            if not 0 <= index < len(names):
                raise FormatError(f"{what} is value {index}; there are {len(names)}", "E_GRAPH")
            return names[index]

        count = _count(root.InputsLength(), "inputs")
        graph.inputs = [name(root.Inputs(i), f"model input {i}") for i in range(count)]
        count = _count(root.OutputsLength(), "outputs")
        graph.outputs = [name(root.Outputs(i), f"model output {i}") for i in range(count)]
        written = set(graph.inputs)
        for index in range(_count(root.NodesLength(), "nodes")):
            node = _node(root.Nodes(index), index, name)
            for used in node.inputs:
                if used and used not in written and not graph.values[used].is_constant:
                    raise FormatError(f"node {index} ({node.op}) reads {used!r} before it is written", "E_GRAPH")
            for made in node.outputs:
                if made in written or graph.values[made].is_constant:
                    raise FormatError(f"node {index} ({node.op}) writes {made!r}, which is written already", "E_GRAPH")
                written.add(made)
            graph.nodes.append(node)
        for unwritten in names:
            if unwritten not in written and not graph.values[unwritten].is_constant:
                raise FormatError(f"value {unwritten!r} is never written", "E_GRAPH")
        for output in graph.outputs:
            if graph.values[output].tree is not None:
                raise FormatError(f"model output {output!r} is an encoded weight", "E_GRAPH")
        for index in range(_count(root.MetadataLength(), "metadata entries")):
            entry = root.Metadata(index)
            graph.metadata[_text(entry.Key())] = _text(entry.Value())
        return graph

    def _value(self, table: Any, index: int, symbols: list[str]) -> Value:
        name = _text(table.Name()) or f"value_{index}"
        dtype = enum_name(enums.DType, table.Dtype(), f"the dtype of value {name!r}")
        value = Value(name, dtype)
        if not table.ShapeIsNone():
            if table.ShapeLength() > limits.MAX_RANK:
                raise FormatError(f"value {name!r} has {table.ShapeLength()} dimensions; the limit is 8", "E_LIMIT")
            dims = [int(table.Shape(i)) for i in range(table.ShapeLength())]
            if any(not -len(symbols) <= dim <= limits.MAX_DIMENSION for dim in dims):
                raise FormatError(f"value {name!r} has shape {dims}, with {len(symbols)} symbols", "E_METADATA")
            value.shape = tuple(symbols[-1 - dim] if dim < 0 else dim for dim in dims)
        if (affine := table.Affine()) is not None:
            value.affine = Affine(affine.Scale(), affine.ZeroPoint())
        if (span := table.Data()) is not None:
            value.data = self._constant(self.span(span, min(_item_size(dtype), 8)), value)
        if (tree := table.Tree()) is not None:
            if value.data is not None:
                raise FormatError(f"value {name!r} is both a constant and a weight", "E_METADATA")
            try:
                parts = self._parts(tree, name, 1)
                value.tree = put_together(parts)
                check_tree(value.tree)
            except EncodingError as error:
                raise FormatError(f"weight {name!r}: {error}", error.code) from error
            if self.verify:
                _check_padding(parts, take_apart(value.tree), name)
        return value

    def _constant(self, data: memoryview, value: Value) -> Any:
        dtype = np.dtype(NUMPY_DTYPES.get(value.dtype, "V1"))
        shape = [dim for dim in value.shape or () if isinstance(dim, int)]
        if value.shape is None or len(shape) != len(value.shape) or value.dtype == "none":
            raise FormatError(f"constant {value.name!r} must have a type and a shape of numbers", "E_METADATA")
        array = np.frombuffer(data, dtype)
        if array.size != int(np.prod(shape, dtype=object)):
            raise FormatError(f"constant {value.name!r} has {len(data)} bytes; shape {shape} of {value.dtype} takes "
                              f"{int(np.prod(shape, dtype=object)) * dtype.itemsize}", "E_BUFFER")
        return array.reshape(shape)

    def _parts(self, tree: Any, owner: str, depth: int) -> Parts:
        if depth > MAX_DEPTH:
            raise FormatError(f"weight {owner!r}: more than {MAX_DEPTH} encodings deep", "E_ENCODING")
        encoding = _encoding(tree, owner)
        layout = enum_name(enums.Layout, tree.Layout(), f"the layout of weight {owner!r}")
        geometry = Geometry(tree.Stack(), tree.Outputs(), tree.Inputs(), tree.Run(),
                            "rows" if layout == "rows" else "lines")
        wire = BY_NAME[encoding].wire
        body = getattr(fb, wire.table)()
        body.Init(tree.Encoding().Bytes, tree.Encoding().Pos)
        fields = {name: from_wire(wire.table, name, getattr(body, camel(name))()) for name in wire.fields}
        spans = {name: bytes(self.span(span, _alignment(name, fields))) for name, span in _spans(body, encoding, owner)}
        children = {name: self._parts(child, owner, depth + 1) for name, child in _children(body, encoding, owner)}
        parts = Parts(encoding, geometry, fields, spans, children)
        if layout != parts.layout:
            raise FormatError(f"weight {owner!r}: {encoding} has layout {layout}", "E_ENCODING")
        return parts

    # ------------------------------------------------------------ looking inside

    def spans(self) -> list[SpanInfo]:
        """Every span of the file, in the order of values."""
        found = []
        with _metadata_errors():
            for index in range(_count(self.root.ValuesLength(), "values")):
                value = self.root.Values(index)
                name = _text(value.Name()) or f"value_{index}"
                if (span := value.Data()) is not None:
                    found.append(SpanInfo(name, "data", span.Buffer(), span.Offset(), span.Size()))
                if (tree := value.Tree()) is not None:
                    found += [SpanInfo(name, field, span.Buffer(), span.Offset(), span.Size())
                              for field, span in _tree_spans(tree, name, 1)]
        return found

    def stored_bytes(self) -> dict[str, int]:
        """Encoded bytes of each constant and weight, by value name (shared spans count for each)."""
        sizes: dict[str, int] = {}
        for span in self.spans():
            sizes[span.owner] = sizes.get(span.owner, 0) + span.size
        return sizes

    @property
    def features(self) -> list[str]:
        return [name for bit, name in limits.FEATURES.items() if self.preamble.features >> bit & 1]

    @property
    def producer(self) -> str:
        return _text(self.root.Producer())


def read(source: Source, *, verify: bool = True, max_resident: int = limits.MAX_RESIDENT) -> Graph:
    """The graph of a file (a path, or its bytes). ``verify``: check everything, not only what reading takes.

    ``max_resident``: most bytes that compressed buffers may take. Raises CmfError.
    """
    return Container(source, verify=verify, max_resident=max_resident).graph()


def inspect(source: Source) -> Container:
    """A file's parts without its weights: preamble, features, buffers, spans, bytes for each value."""
    return Container(source)


# ---------------------------------------------------------------- tables


@contextmanager
def _metadata_errors() -> Iterator[None]:
    """Turns what the FlatBuffers runtime raises on bytes that are no FlatBuffer into a FormatError."""
    try:
        yield
    except (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"the metadata block is malformed: {error}", "E_METADATA") from error


def _count(count: int, what: str) -> int:
    if count > limits.MAX_COUNT:
        raise FormatError(f"{count} {what}; the limit is 2^20", "E_LIMIT")
    return count


def _text(data: bytes | None) -> str:
    if data and len(data) > limits.MAX_STRING:
        raise FormatError(f"a string of {len(data)} bytes; the limit is 65535", "E_LIMIT")
    return (data or b"").decode("utf-8", "replace")


def _encoding(tree: Any, owner: str) -> str:
    encoding = enum_name(enums.Encoding, tree.EncodingType(), f"the encoding of weight {owner!r}").lower()
    if encoding not in BY_NAME:
        raise FormatError(f"weight {owner!r} has no encoding", "E_ENCODING")
    return encoding


def _check_padding(found: Parts, written: Parts, owner: str) -> None:
    """Bits that are no code are zero: so the tree, written again, gives the same spans."""
    for name, data in found.spans.items():
        if data != written.spans[name]:
            raise FormatError(f"weight {owner!r}: padding in the {name} of {found.encoding} is not zero", "E_ENCODING")
    for name, child in found.children.items():
        _check_padding(child, written.children[name], owner)


def _item_size(dtype: str) -> int:
    return np.dtype(NUMPY_DTYPES[dtype]).itemsize if dtype in NUMPY_DTYPES else 1


def _alignment(span: str, fields: Mapping[str, Any]) -> int:
    """Where spans of a tree may begin (FORMAT.md 1.2)."""
    if span == "mask":
        return 8
    if span == "scales":
        return _item_size(fields["scale_dtype"])
    return 1 if span == "zeros" else 4


def _buffers(root: Any) -> Iterator[BufferInfo]:
    for required in ("Values", "Nodes", "Inputs", "Outputs", "Buffers"):
        if getattr(root, f"{required}IsNone")():
            raise FormatError(f"the metadata block has no {required.lower()}", "E_METADATA")
    for index in range(_count(root.BuffersLength(), "buffers")):
        buffer = root.Buffers(index)
        codec = enum_name(enums.Codec, buffer.Codec(), f"the codec of buffer {index}")
        yield BufferInfo(buffer.Offset(), buffer.StoredSize(), buffer.Size(), codec, buffer.Crc32c())


def _spans(body: Any, encoding: str, owner: str) -> Iterator[tuple[str, Any]]:
    wire = BY_NAME[encoding].wire
    for name in wire.spans:
        span = getattr(body, camel(name))()
        if span is not None:
            yield name, span
        elif name not in wire.optional:
            raise FormatError(f"weight {owner!r}: {encoding} has no {name}", "E_ENCODING")


def _children(body: Any, encoding: str, owner: str) -> Iterator[tuple[str, Any]]:
    wire = BY_NAME[encoding].wire
    for name in wire.children:
        if name == "factors":
            if body.FactorsLength() > 3:
                raise FormatError(f"weight {owner!r}: {body.FactorsLength()} factors; the most is 3", "E_ENCODING")
            for index in range(body.FactorsLength()):
                yield f"factor{index}", body.Factors(index)
            continue
        child = getattr(body, camel(name))()
        if child is not None:
            yield name, child
        elif name not in wire.optional:
            raise FormatError(f"weight {owner!r}: {encoding} has no {name}", "E_ENCODING")


def _tree_spans(tree: Any, owner: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Spans of a tree with the path to them: ``values.codes``."""
    if depth > MAX_DEPTH:
        raise FormatError(f"weight {owner!r}: more than {MAX_DEPTH} encodings deep", "E_ENCODING")
    encoding = _encoding(tree, owner)
    body = getattr(fb, BY_NAME[encoding].wire.table)()
    body.Init(tree.Encoding().Bytes, tree.Encoding().Pos)
    yield from _spans(body, encoding, owner)
    for name, child in _children(body, encoding, owner):
        for field, span in _tree_spans(child, owner, depth + 1):
            yield f"{name}.{field}", span


def _node(table: Any, index: int, name: Any) -> Node:
    op = enum_name(enums.Op, table.Op(), f"the operator of node {index}")
    if op == "none":
        raise FormatError(f"node {index} has no operator", "E_GRAPH")
    for what, count in (("inputs", table.InputsLength()), ("outputs", table.OutputsLength())):
        if count > limits.MAX_NODE_EDGES:
            raise FormatError(f"node {index} ({op}) has {count} {what}; the limit is 1024", "E_LIMIT")
    inputs = [table.Inputs(i) for i in range(table.InputsLength())]
    activation = None
    where = f"of node {index} ({op})"
    kind = enum_name(enums.Activation, table.Activation(), f"the activation {where}")
    if kind == "clip":
        activation = Activation(kind, table.ActivationMin(), table.ActivationMax())
    elif kind == "relu":
        activation = Activation(kind)
    return Node(
        op,
        ["" if i == -1 else name(i, f"an input of node {index} ({op})") for i in inputs],
        [name(table.Outputs(i), f"an output of node {index} ({op})") for i in range(table.OutputsLength())],
        _options(table, op, index),
        _text(table.Name()),
        enum_name(enums.Compute, table.Compute(), f"the arithmetic {where}"),
        enum_name(enums.Requantize, table.Requantize(), f"the requantization {where}"),
        activation,
    )


def _options(node: Any, op: str, index: int) -> dict[str, Any]:
    kind = enum_name(enums.Options, node.OptionsType(), f"the kind of options of node {index} ({op})")
    if kind == "NONE":
        return {}
    if OPTIONS_OF.get(op) != kind:
        raise FormatError(f"node {index} ({op}) has options of type {kind}, not {OPTIONS_OF.get(op, 'none')}",
                          "E_GRAPH")
    body = getattr(fb, kind)()
    body.Init(node.Options().Bytes, node.Options().Pos)
    options: dict[str, Any] = {}
    for name in OPTION_TABLES[kind]:
        if name not in VECTORS:
            options[name] = from_wire(kind, name, getattr(body, camel(name))())
        elif not getattr(body, f"{camel(name)}IsNone")():
            length = getattr(body, f"{camel(name)}Length")()
            if length > limits.MAX_RANK:
                raise FormatError(f"option {name} has {length} entries; the limit is 8", "E_LIMIT")
            options[name] = tuple(getattr(body, camel(name))(i) for i in range(length))
    return options
