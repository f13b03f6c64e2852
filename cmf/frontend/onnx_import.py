"""ONNX models (opset 11 and later) as channels-first graphs of the IR's one version.

A model is a stranger's until proven otherwise: whatever is wrong with it ends in one :class:`~cmf.errors.CmfError`.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator
from typing import Any

from cmf.errors import CmfError, FormatError, GraphError, UnsupportedError
from cmf.frontend.onnx_node import OnnxNode
from cmf.frontend.onnx_ops import CONVERTERS
from cmf.frontend.onnx_tensors import Array, dtype_name, to_array
from cmf.ir.graph import NUMPY_DTYPES, Affine, Dim, Graph, Node, Value
from cmf.ir.shapes import Info, check_limits, infer_node, info_of

MIN_OPSET, MAX_OPSET = 11, 28
_MAX_NODES = 2**20
_MAX_NAME = 65535
#: Data types that activations may have.
_COMPUTED = {"f32", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "boolean"}


def from_onnx(model: Any) -> Graph:
    """Reads an ONNX model.

    ``model``: a path (str or PathLike), the file's bytes, or an ``onnx.ModelProto``. The result is channels first, with
    ONNX's names for values. Raises :class:`UnsupportedError` for what is valid but not supported, :class:`GraphError`
    and :class:`~cmf.errors.ShapeError` for what is not valid, :class:`FormatError` for what is no ONNX file.
    """
    proto, folder = _read(model)
    _check_text(proto)
    try:
        return Importer(proto, folder).run()
    except MemoryError as error:
        raise GraphError("the ONNX model needs more memory than there is", "E_MEMORY") from error


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise CmfError("reading ONNX models needs the package onnx: pip install onnx", "E_UNSUPPORTED") from None
    return onnx


def _read(model: Any) -> tuple[Any, str | None]:
    """The ModelProto, and the folder in which external data may lie."""
    onnx = _onnx()
    folder: str | None = None
    what = "the data"
    if isinstance(model, (str, os.PathLike)):
        path = os.fspath(model)
        what = f"{path!r}"
        try:
            with open(path, "rb") as file:
                model = file.read()
        except (OSError, ValueError) as error:
            raise FormatError(f"cannot read {path!r}: {getattr(error, 'strerror', None) or error}", "E_IO") from error
        folder = os.path.dirname(os.path.abspath(path))
    if isinstance(model, (bytes, bytearray, memoryview)):
        decode_error: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
        try:
            proto = onnx.ModelProto.FromString(bytes(model))
        except (decode_error, UnicodeDecodeError, RuntimeError) as error:
            raise FormatError(f"{what} is not an ONNX model, or is damaged: {error}") from error
        if not proto.HasField("graph") or not proto.opset_import:
            raise FormatError(f"{what} is not an ONNX model: it has no graph or no opset")
        return proto, folder
    if isinstance(model, onnx.ModelProto):
        return model, None
    raise UnsupportedError(f"cannot read an ONNX model from {type(model).__name__}; give a path, bytes or a ModelProto")


class Importer:
    """Walks an ONNX graph once, converting node by node. Shapes are inferred on the way, since converters need them."""

    def __init__(self, proto: Any, folder: str | None) -> None:
        self.proto, self.folder = proto, folder
        self.opset = _opset(proto)
        self.graph = Graph(name=proto.graph.name or "model", layout="channels_first")
        self.infos: dict[str, Info] = {}
        self._aliases: dict[str, str] = {}
        self._derived: dict[str, str] = {}
        source = proto.graph
        self._output_names = [o.name for o in source.output]
        self._reserved = {name for node in source.node for name in (*node.input, *node.output)}
        self._reserved.update(t.name for t in source.initializer)
        self._reserved.update(i.name for i in (*source.input, *source.output))

    def run(self) -> Graph:
        source = self.proto.graph
        if source.sparse_initializer:
            raise UnsupportedError("sparse initializers are not supported; store them as ordinary tensors")
        if len(source.node) > _MAX_NODES:
            raise GraphError(f"the graph has {len(source.node)} nodes; at most {_MAX_NODES} are possible", "E_LIMIT")
        for tensor in source.initializer:
            self._define(tensor.name)
            self._constant(tensor.name, self.array(tensor))
        for declared in source.input:
            if declared.name not in self.infos:  # an initializer may be listed as an input too
                self._input(declared)
        for proto in source.node:
            self._convert(proto)
        if not source.output:
            raise GraphError("the graph has no outputs")
        for name in self._output_names:
            if self._aliases.get(name, name) not in self.infos:
                raise GraphError(f"output {name!r} is never written")
            self.graph.outputs.append(self._aliases.get(name, name))
        self._take_names()
        for entry in self.proto.metadata_props:
            self.graph.metadata[entry.key] = entry.value
        return self.graph

    # ------------------------------------------------------------ what converters use

    def array(self, tensor: Any) -> Array:
        return to_array(tensor, self.folder)

    def resolve(self, name: str, node: OnnxNode) -> str:
        """The IR value that an ONNX name stands for."""
        name = self._aliases.get(name, name)
        if name not in self.infos:
            raise node.error(f"input {name!r} is not defined before it is used")
        return name

    def add_constant(self, stem: str, data: Array) -> str:
        name = self._fresh(stem)
        self._constant(name, data)
        return name

    def derive(self, name: str, data: Array) -> str:
        new = self.add_constant(name, data)
        self._derived[new] = self._derived.get(name, name)
        return new

    def emit(
        self,
        source: OnnxNode,
        op: str,
        inputs: list[str],
        options: dict[str, Any],
        output: str,
        dtype: str,
        affine: Affine | None,
    ) -> str:
        if output:
            self._define(output)
        name = output or self._fresh(f"{source.name}/{op}")
        value = Value(name, dtype, affine=affine)
        self.graph.values[name] = value
        node = Node(op, inputs, [name], options, source.name)
        info = infer_node(self.graph, node, self.infos)
        if info.dtype not in _COMPUTED:
            raise source.unsupported(f"computes in {info.dtype}; supported are {', '.join(sorted(_COMPUTED))}")
        value.dtype, value.shape = info.dtype, info.shape
        self.infos[name] = info
        self.graph.nodes.append(node)
        return name

    def alias(self, source: OnnxNode, output: str, name: str) -> None:
        if output in self._output_names:  # the interface keeps its names
            self.emit(source, "Identity", [name], {}, output, self.infos[name].dtype, None)
            return
        self._define(output)
        self._aliases[output] = name

    # ------------------------------------------------------------ inside

    def _take_names(self) -> None:
        """Constants computed from initializers that nothing else reads get their names."""
        read = {name for node in self.graph.nodes for name in node.inputs}
        for new, old in self._derived.items():
            if new in read and old not in read and old not in self.graph.outputs:
                self.graph.rename(new, old)
                read.add(old)

    def _fresh(self, stem: str) -> str:
        name, number = stem, 0
        while name in self.graph.values or name in self._reserved:
            number += 1
            name = f"{stem}_{number}"
        return name

    def _define(self, name: str) -> None:
        if name in self.infos or name in self._aliases:
            raise GraphError(f"value {name!r} is written twice")
        if not 0 < len(name.encode()) <= _MAX_NAME:
            raise GraphError(
                f"a value's name must have 1 to {_MAX_NAME} bytes, one has {len(name.encode())}", "E_LIMIT"
            )

    def _constant(self, name: str, data: Array) -> None:
        names = {v: k for k, v in NUMPY_DTYPES.items()}
        value = Value(name, names[data.dtype.name], tuple(int(d) for d in data.shape), data=data)
        check_limits(name, value.shape)
        self.graph.values[name] = value
        self.infos[name] = info_of(value)

    def _input(self, declared: Any) -> None:
        self._define(declared.name)
        if declared.type.WhichOneof("value") != "tensor_type":
            raise UnsupportedError(f"input {declared.name!r} is not a tensor; only tensors are supported")
        tensor = declared.type.tensor_type
        dtype = dtype_name(tensor.elem_type, f"input {declared.name!r}")
        if dtype not in _COMPUTED:
            raise UnsupportedError(f"input {declared.name!r} is {dtype}; supported are {', '.join(sorted(_COMPUTED))}")
        shape = None
        if tensor.HasField("shape"):
            shape = tuple(_dim(d, f"{declared.name}_{i}", declared.name) for i, d in enumerate(tensor.shape.dim))
        check_limits(declared.name, shape)
        value = Value(declared.name, dtype, shape)
        self.graph.values[declared.name] = value
        self.graph.inputs.append(declared.name)
        self.infos[declared.name] = info_of(value)

    def _convert(self, proto: Any) -> None:
        if proto.domain not in ("", "ai.onnx"):
            raise UnsupportedError(
                f"node {proto.name!r}: operator {proto.domain}.{proto.op_type} is not supported; "
                "supported are operators of the standard domain ai.onnx"
            )
        converter = CONVERTERS.get(proto.op_type)
        if converter is None:
            label = proto.name or (proto.output[0] if proto.output else "")
            raise UnsupportedError(
                f"node {label!r}: operator {proto.op_type} is not supported; supported are "
                f"{', '.join(sorted(CONVERTERS))}"
            )
        node = OnnxNode(proto, self)
        if not any(node.outputs):
            raise node.error("has no output")
        converter(node)
        node.finish()


def _check_text(proto: Any) -> None:
    """Refuses names that are not UTF-8, which protobuf hands out as bytes."""
    for text in _texts(proto):
        if not isinstance(text, str):
            raise FormatError(f"the ONNX model is damaged: the name {text!r} is not valid text")


def _texts(proto: Any) -> Iterator[Any]:
    graph = proto.graph
    yield graph.name
    yield from (entry.domain for entry in proto.opset_import)
    for entry in proto.metadata_props:
        yield from (entry.key, entry.value)
    for declared in (*graph.input, *graph.output):
        yield declared.name
        yield from (dim.dim_param for dim in declared.type.tensor_type.shape.dim)
    tensors = list(graph.initializer)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
            tensors.append(attribute.t)
    for tensor in tensors:
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)


def _opset(proto: Any) -> int:
    """The version of the standard operator set."""
    versions = [o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")]
    if not versions:
        raise UnsupportedError("the model does not use the standard operator set ai.onnx; nothing else is supported")
    if not MIN_OPSET <= versions[0] <= MAX_OPSET:
        raise UnsupportedError(
            f"the model uses opset {versions[0]}; supported are {MIN_OPSET} to {MAX_OPSET} "
            "(onnx.version_converter can convert it)"
        )
    return int(versions[0])


def _dim(dim: Any, default: str, name: str) -> Dim:
    kind = dim.WhichOneof("value")
    if kind == "dim_value" and dim.dim_value != -1:
        if dim.dim_value < 0:
            raise GraphError(f"input {name!r} has a dimension of {dim.dim_value}")
        return int(dim.dim_value)
    # punctuation is kept for symbols that shape inference makes up
    symbol = re.sub(r"[^\w.\-]", "_", dim.dim_param) if kind == "dim_param" else ""
    return symbol or re.sub(r"[^\w.\-]", "_", default)
