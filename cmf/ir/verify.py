"""Proves that a graph keeps the IR's rules. The pipeline calls this after every pass."""

from __future__ import annotations

import numpy as np

from cmf.encodings import Bitpacked, Codebook, LowRank, Quantized, Sparse, Winograd, is_panel
from cmf.encodings.base import Geometry, Tree
from cmf.errors import CmfError, GraphError
from cmf.ir.geometry import weight_geometry
from cmf.ir.graph import NUMPY_DTYPES, Affine, Graph, Node, Value
from cmf.ir.ops import OPS, describe, op_of, option
from cmf.ir.shapes import Info, check_limits, infer

_COMPUTE = {"f32": None, "int8_static": None, "int8_dynamic": ("Conv", "MatMul")}
_LEAST, _MOST = float(np.finfo(np.float32).smallest_subnormal), float(np.finfo(np.float32).max)
_REQUANTIZE = ("f32_rne", "tflite_q31")
#: Operators that int8_static nodes may have (FORMAT.md, section 5.2: nodes with an f32 operator, and movers of codes).
_NOT_INTEGER = {
    "QuantizeLinear",
    "DequantizeLinear",
    "Shape",
    "Range",
    "Cast",
    "Where",
    "Not",
    "IsNaN",
    "And",
    "Or",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
}


def verify(graph: Graph) -> dict[str, Info]:
    """Raises :class:`GraphError` (or :class:`~cmf.errors.ShapeError`) naming the node or value that breaks a rule.

    Returns what shape inference found.
    """
    if graph.layout not in ("channels_first", "channels_last"):
        raise GraphError(f"unknown layout {graph.layout!r}; known are channels_first and channels_last")
    for name, value in graph.values.items():
        _check_value(name, value)
    written = _check_interface(graph)
    for node in graph.nodes:
        _check_node(graph, node, written)
    for name in graph.outputs:
        if name not in written and not graph.value(name).is_constant:
            raise GraphError(f"output {name!r} is never written")
    infos = infer(graph)
    for node in graph.nodes:
        _check_inferred(node, graph.value(node.outputs[0]), infos[node.outputs[0]])
    return infos


def _check_value(name: str, value: Value) -> None:
    if value.name != name:
        raise GraphError(f"value {name!r} calls itself {value.name!r}")
    if value.dtype not in NUMPY_DTYPES:
        raise GraphError(f"value {name!r} has unknown dtype {value.dtype!r}")
    check_limits(name, value.shape)
    if value.affine is not None:
        _check_affine(name, value, value.affine)
    if value.data is not None and value.tree is not None:
        raise GraphError(f"value {name!r} has both data and a tree")
    if value.data is not None:
        if value.data.dtype != np.dtype(NUMPY_DTYPES[value.dtype]):
            raise GraphError(f"constant {name!r} is declared {value.dtype} but holds {value.data.dtype.name}")
        if value.shape != value.data.shape:
            raise GraphError(f"constant {name!r} is declared {value.shape} but has shape {value.data.shape}")
    if value.tree is not None and (
        value.dtype != "f32" or value.shape is None or any(isinstance(d, str) for d in value.shape)
    ):
        raise GraphError(f"weight {name!r} must be f32 with a shape of numbers, it is {value.dtype} {value.shape}")


def _check_affine(name: str, value: Value, affine: Affine) -> None:
    if value.dtype not in ("i8", "u8", "i16", "u16", "i32"):
        raise GraphError(f"value {name!r} is {value.dtype}: only integers up to 32 bits have a scale and zero point")
    if not _LEAST <= affine.scale <= _MOST:
        raise GraphError(f"value {name!r} has scale {affine.scale}; it must be a positive f32 number")
    limits = np.iinfo(NUMPY_DTYPES[value.dtype])
    if not limits.min <= affine.zero_point <= limits.max:
        raise GraphError(f"value {name!r} has zero point {affine.zero_point}, outside {value.dtype}")


def _check_interface(graph: Graph) -> set[str]:
    written: set[str] = set()
    if not graph.outputs:
        raise GraphError(f"graph {graph.name!r} has no outputs")
    for name in graph.inputs:
        if name in written:
            raise GraphError(f"input {name!r} is listed twice")
        if graph.value(name).is_constant:
            raise GraphError(f"input {name!r} is a constant")
        written.add(name)
    for name in graph.outputs:
        graph.value(name)
    return written


def _check_node(graph: Graph, node: Node, written: set[str]) -> None:
    op, where = op_of(node), describe(node)
    count = len(node.inputs)
    if count < op.min_inputs or op.max_inputs is not None and count > op.max_inputs:
        most = "any number of" if op.max_inputs is None else op.max_inputs
        raise GraphError(f"{where}: has {count} inputs; it takes {op.min_inputs} to {most}")
    for index, name in enumerate(node.inputs):
        if not name:
            if index < op.min_inputs or op.max_inputs is None:
                raise GraphError(f"{where}: input {index} is missing")
            continue
        if name not in graph.values:
            raise GraphError(f"{where}: input {name!r} does not exist")
        if name not in written and not graph.value(name).is_constant:
            raise GraphError(f"{where}: input {name!r} is not defined before it is used")
    if len(node.outputs) != 1 or not node.outputs[0]:
        raise GraphError(f"{where}: must have exactly one output")
    _check_options(node)
    _check_compute(graph, node)
    for index, name in enumerate(node.inputs):
        if name and graph.value(name).tree is not None:
            _check_weight(graph, node, index)
    for name in node.outputs:
        if name not in graph.values:
            raise GraphError(f"{where}: output {name!r} does not exist")
        if graph.value(name).is_constant or name in written:
            raise GraphError(f"{where}: output {name!r} is written twice")
        written.add(name)


def _check_options(node: Node) -> None:
    known = OPS[node.op].options
    for name, value in node.options.items():
        if name not in known:
            raise GraphError(f"{describe(node)}: unknown option {name!r}; known are {', '.join(known) or 'none'}")
        wrong = known[name].check(value)
        if wrong:
            raise GraphError(f"{describe(node)}: option {name!r} {wrong} (it is {value!r})")
    for name in known:
        option(node, name)


def _check_compute(graph: Graph, node: Node) -> None:
    where = describe(node)
    if node.compute not in _COMPUTE:
        raise GraphError(f"{where}: unknown compute {node.compute!r}; known are {', '.join(_COMPUTE)}")
    only = _COMPUTE[node.compute]
    if only is not None and node.op not in only:
        raise GraphError(f"{where}: {node.compute} is for {' and '.join(only)}")
    if node.requantize not in _REQUANTIZE:
        raise GraphError(f"{where}: unknown requantize {node.requantize!r}; known are {', '.join(_REQUANTIZE)}")
    if node.activation is not None and node.activation.kind not in ("relu", "clip"):
        raise GraphError(f"{where}: unknown activation {node.activation.kind!r}; known are relu and clip")
    if node.activation is not None and not node.activation.low <= node.activation.high:
        raise GraphError(f"{where}: clips to [{node.activation.low}, {node.activation.high}], which is empty")
    if node.compute == "int8_static":
        if node.op in _NOT_INTEGER:
            raise GraphError(f"{where}: {node.op} has no int8_static form")
        output = graph.value(node.outputs[0])
        first = graph.value(node.inputs[0])
        for value in (output, first):
            if value.dtype != "i8" or value.affine is None:
                raise GraphError(
                    f"{where}: int8_static needs i8 with scale and zero point; {value.name!r} is {value.dtype}"
                )
    if node.op in ("QuantizeLinear", "DequantizeLinear") and len(node.inputs) == 1:
        name = node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0]
        if graph.value(name).affine is None:
            raise GraphError(f"{where}: value {name!r} has no scale and zero point")


def _check_weight(graph: Graph, node: Node, index: int) -> None:
    value, where = graph.value(node.inputs[index]), describe(node)
    if index != OPS[node.op].weight:
        raise GraphError(
            f"{where}: input {index} ({value.name!r}) is an encoded weight, but only "
            f"{'input ' + str(OPS[node.op].weight) if OPS[node.op].weight is not None else 'no input'} may be one"
        )
    assert value.tree is not None and value.shape is not None
    if graph.layout != "channels_last" and node.op == "Conv":
        raise GraphError(f"{where}: encoded Conv weights need a channels-last graph")
    try:
        expected = weight_geometry(node.op, [int(d) for d in value.shape], node.options)
    except CmfError as error:
        raise GraphError(f"{where}: {error}") from error
    found = value.tree.geometry
    if found.shape != expected.shape:
        raise GraphError(
            f"{where}: weight {value.name!r} of shape {value.shape} needs a tree of [stack, outputs, inputs] = "
            f"{expected.shape}; it has {found.shape}"
        )
    if wrong := _misfit(node, value.tree, [int(d) for d in value.shape], expected):
        raise GraphError(f"{where}: weight {value.name!r}, {value.tree.describe()}: {wrong}")
    if node.compute == "int8_static" and not has_i8(value.tree):
        raise GraphError(
            f"{where}: weight {value.name!r}, {value.tree.describe()}, has no i8 codes with scales by tensor or channel"
        )


def _misfit(node: Node, tree: Tree, shape: list[int], expected: Geometry) -> str | None:
    """What keeps a tree of the right size from being this node's weight (section 2); None: nothing."""
    depthwise = expected.layout == "rows"
    runs = {expected.inputs} if depthwise or node.op != "Conv" else {shape[3], expected.inputs}
    if tree.geometry.run not in runs:
        return f"its run is {tree.geometry.run}, not {' or '.join(map(str, sorted(runs)))}"
    if is_panel(tree) and (tree.geometry.layout == "rows") != depthwise:
        return "layout rows is for depthwise weights, layout lines for all others"
    if isinstance(tree, Winograd):
        steps = [*option(node, "strides"), *option(node, "dilations")] if node.op == "Conv" else [0]
        if shape[1:3] != [3, 3] or expected.stack != 1 or depthwise or any(step != 1 for step in steps):
            return "winograd needs a 3 x 3 convolution of one group, with strides and dilations of 1"
    if isinstance(tree, LowRank) and tree.form == "tucker2":
        if node.op != "Conv" or depthwise or tree.geometry.run != shape[3]:
            return "tucker2 needs a convolution of one group, and a run of its input channels"
    return None


def has_i8(tree: Tree) -> bool:
    """Can int8_static nodes compute with this tree: i8 codes, a scale for the tensor or each channel (section 5.2)?"""
    if isinstance(tree, Sparse):
        return has_i8(tree.values)
    if isinstance(tree, Quantized):
        return tree.bits <= 8 and tree.zeros is None and tree.group == 0
    if isinstance(tree, Codebook):
        return tree.table.dtype == np.int8 and tree.scales is not None and tree.scales.shape[2] == 1
    return isinstance(tree, Bitpacked)


def _check_inferred(node: Node, value: Value, info: Info) -> None:
    if value.dtype != info.dtype:
        raise GraphError(f"{describe(node)}: output {value.name!r} is declared {value.dtype} but is {info.dtype}")
    if value.shape is None or info.shape is None:
        return
    if len(value.shape) != len(info.shape):
        raise GraphError(
            f"{describe(node)}: output {value.name!r} is declared {value.shape} but has shape {info.shape}"
        )
    for declared, found in zip(value.shape, info.shape):
        if isinstance(declared, int) and isinstance(found, int) and declared != found:
            raise GraphError(
                f"{describe(node)}: output {value.name!r} is declared {value.shape} but has shape {info.shape}"
            )
