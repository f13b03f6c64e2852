"""Networks in QDQ form (DequantizeLinear, float operator, QuantizeLinear) are made to run as integers (FORMAT.md 5.2).

u8 values become i8: 128 less in codes and zero points. An operator between DequantizeLinear and QuantizeLinear computes
int8_static; operators that only move codes need no conversion at all. Biases become i32 in units of input scale times
weight scale, with the zero point's share folded in. Operators that cannot be turned (no quantized weight, say) stay f32
between the conversions, so the graph always means what it meant; results of turned ones differ only by how the
requantization rounds.
"""

from __future__ import annotations

import numpy as np

from cmf.encodings.base import Tree
from cmf.ir.graph import Affine, Graph, Node, Value
from cmf.ir.ops import op_of
from cmf.ir.verify import has_i8
from cmf.passes.fold_constants import dequantize_inputs
from cmf.passes.rewrite import Array, Rewriter, sort

#: Operators that compute with real numbers between integer inputs and an integer result.
_REAL = {
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Max",
    "Min",
    "Concat",
    "GlobalAveragePool",
    "AveragePool",
    "Relu",
    "Clip",
    "LeakyRelu",
    "Sigmoid",
    "Tanh",
    "HardSigmoid",
    "HardSwish",
    "Gelu",
    "Softmax",
    "ReduceMean",
    "ReduceMax",
    "Resize",
}
#: Operators that move codes of their first input; MaxPool too, since rounding keeps the order.
_MOVES = {"Reshape", "Transpose", "Slice", "Gather", "MaxPool", "Expand"}
_I32 = 2**31


def run(graph: Graph) -> int:
    """Returns the number of nodes that now compute with integers. Needs a channels-last graph."""
    _spread_affines(graph)
    _signed(graph)
    rewriter = Rewriter(graph)
    count = 0
    changed = True
    while changed:
        changed = False
        for node in list(graph.nodes):
            if rewriter.alive(node):
                changed |= _cancel(rewriter, node) or _sink(rewriter, node) or _raise(rewriter, node)
        sort(graph)
    for node in list(graph.nodes):
        if rewriter.alive(node) and node.compute == "f32":
            count += _turn(graph, rewriter, node)
    count += sum(node.compute == "int8_static" and node.op in _MOVES for node in graph.nodes)
    for node in list(graph.nodes):
        if rewriter.alive(node):
            _cancel(rewriter, node)
            _spell_out(graph, rewriter, node)
    return count


# ---------------------------------------------------------------- u8 and i8


def _spread_affines(graph: Graph) -> None:
    """What moves codes has the affine of what it moves."""
    for forward in (True, False):
        for node in graph.nodes if forward else reversed(graph.nodes):
            if node.op not in _MOVES:
                continue
            source, result = graph.value(node.inputs[0]), graph.value(node.outputs[0])
            if source.dtype == result.dtype and source.dtype in ("i8", "u8") and not source.is_constant:
                if forward and result.affine is None:
                    result.affine = source.affine
                elif not forward and source.affine is None:
                    source.affine = result.affine


def _signed(graph: Graph) -> None:
    """Turns u8 values into i8 where everything that touches them allows it."""
    interface = {*graph.inputs, *graph.outputs}
    able = {
        v.name for v in graph.values.values() if v.dtype == "u8" and v.affine is not None and v.name not in interface
    }
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            touched = {n for n in (*node.inputs, *node.outputs) if n and graph.value(n).dtype == "u8"}
            fine = node.op in ("QuantizeLinear", "DequantizeLinear") and len(node.inputs) == 1 or node.op in _MOVES
            if touched & able and not (fine and touched <= able):
                able -= touched
                changed = True
    for name in able:
        value = graph.value(name)
        assert value.affine is not None
        value.dtype = "i8"
        value.affine = Affine(value.affine.scale, value.affine.zero_point - 128)
        if value.data is not None:
            value.data = (value.data.astype(np.int16) - 128).astype(np.int8)


# ---------------------------------------------------------------- conversions that move or cancel


def _codes(rewriter: Rewriter, name: str) -> Value | None:
    """The i8 value that a DequantizeLinear turned into ``name``."""
    node = rewriter.producer(name, "DequantizeLinear")
    if node is None or len(node.inputs) != 1 or node.activation is not None:
        return None
    value = rewriter.graph.value(node.inputs[0])
    return value if value.dtype == "i8" and value.affine is not None else None


def _cancel(rewriter: Rewriter, node: Node) -> bool:
    """QuantizeLinear of a DequantizeLinear with the same affine gives the same codes."""
    if node.op != "QuantizeLinear" or len(node.inputs) != 1:
        return False
    source, result = _codes(rewriter, node.inputs[0]), rewriter.graph.value(node.outputs[0])
    if source is None or result.dtype != "i8" or source.affine != result.affine:
        return False
    return rewriter.bypass(node, source.name)


def _sink(rewriter: Rewriter, node: Node) -> bool:
    """Moves a DequantizeLinear below an operator that moves its result."""
    if node.op not in _MOVES and node.op != "Concat" or node.compute != "f32" or node.activation is not None:
        return False
    moved = node.inputs if node.op == "Concat" else node.inputs[:1]
    sources = [_codes(rewriter, name) for name in moved]
    affines = {source.affine if source is not None else None for source in sources}
    if len(affines) != 1 or None in affines:
        return False
    for index, source in enumerate(sources):
        assert source is not None
        rewriter.set_input(node, index, source.name)
    output = node.outputs[0]
    inner = rewriter.value(f"{output}/codes", "i8", rewriter.graph.value(output).shape)
    inner.affine = affines.pop()
    rewriter.set_output(node, inner.name)
    node.compute = "int8_static"
    rewriter.add(Node("DequantizeLinear", [inner.name], [output], {}, f"{node.name}/dequantize"))
    return True


def _raise(rewriter: Rewriter, node: Node) -> bool:
    """Moves a QuantizeLinear above an operator whose f32 result only it reads."""
    if node.op != "QuantizeLinear" or len(node.inputs) != 1 or rewriter.only_use(node.inputs[0]) is not node:
        return False
    result = rewriter.graph.value(node.outputs[0])
    mover = rewriter.producer(node.inputs[0], *_MOVES)
    if mover is None or mover.compute != "f32" or mover.activation is not None or result.dtype != "i8":
        return False
    source = mover.inputs[0]
    if (
        rewriter.graph.value(source).dtype != "f32"
        or rewriter.graph.value(source).is_constant
        or rewriter.only_use(source) is not mover
    ):
        return False
    inner = rewriter.value(f"{source}/codes", "i8", rewriter.graph.value(source).shape)
    inner.affine = result.affine
    rewriter.remove(node)
    rewriter.add(Node("QuantizeLinear", [source], [inner.name], {}, node.name))
    rewriter.set_input(mover, 0, inner.name)
    rewriter.set_output(mover, result.name)
    mover.compute = "int8_static"
    return True


def _spell_out(graph: Graph, rewriter: Rewriter, node: Node) -> None:
    """A DequantizeLinear of other integers than i8 becomes (x - zero point) * scale in f32, the same numbers."""
    if node.op != "DequantizeLinear" or len(node.inputs) != 1:
        return
    value = graph.value(node.inputs[0])
    if value.dtype == "i8" or value.affine is None or rewriter.producer(value.name, "QuantizeLinear") is not None:
        return
    affine, output = value.affine, node.outputs[0]
    if value.dtype == "i32" and affine.zero_point != 0:
        return  # f32 does not hold all differences
    real = rewriter.emit("Cast", [value.name], stem=f"{output}/real", name=f"{node.name}/cast")
    if affine.zero_point != 0:
        zero = rewriter.constant(f"{output}/zero", np.array(affine.zero_point, np.float32))
        real = rewriter.emit("Sub", [real, zero], stem=f"{output}/real", name=f"{node.name}/sub")
    scale = rewriter.constant(f"{output}/scale", np.array(affine.scale, np.float32))
    rewriter.remove(node)
    rewriter.add(Node("Mul", [real, scale], [output], {}, node.name))
    value.affine = None


# ---------------------------------------------------------------- operators


def _turn(graph: Graph, rewriter: Rewriter, node: Node) -> bool:
    """Makes one node compute with integers, if all around it is in order."""
    output = node.outputs[0]
    users = rewriter.uses.get(output, [])
    if not users or output in graph.outputs or any(u.op != "QuantizeLinear" or len(u.inputs) != 1 for u in users):
        return False
    results = [graph.value(u.outputs[0]) for u in users]
    if any(r.dtype != "i8" or r.affine != results[0].affine for r in results):
        return False
    if node.op in ("Conv", "MatMul"):
        if not _turn_product(graph, rewriter, node, results[0]):
            return False
    elif node.op in _REAL:
        sources = [_codes(rewriter, name) if name else None for name in node.inputs]
        if sources[0] is None or not all(sources[i] is not None or _stays(graph, node, i) for i in range(len(sources))):
            return False
        if node.op == "Concat" and not all(sources):
            return False
        for index, source in enumerate(sources):
            if source is not None:
                rewriter.set_input(node, index, source.name)
    else:
        return False
    node.compute = "int8_static"
    kept = next((u for u in users if u.outputs[0] in graph.outputs), users[0])
    for user in list(users):
        if user is kept:
            continue
        if user.outputs[0] in graph.outputs:
            return True  # two names of the interface for one value: the second keeps its QuantizeLinear
        rewriter.replace(user.outputs[0], kept.outputs[0])
        rewriter.remove(user)
    rewriter.remove(kept)
    rewriter.set_output(node, kept.outputs[0])
    return True


def _stays(graph: Graph, node: Node, index: int) -> bool:
    """May an input of an integer node be other than i8: absent, a float constant, or a shape?"""
    name = node.inputs[index]
    if not name or index in op_of(node).shape_inputs:
        return True
    value = graph.value(name)
    return value.data is not None and value.dtype == "f32"


def _turn_product(graph: Graph, rewriter: Rewriter, node: Node, result: Value) -> bool:
    """Conv and MatMul: the bias in integers, the zero point's share folded in."""
    source, weight = _codes(rewriter, node.inputs[0]), graph.value(node.inputs[1])
    if source is None or source.affine is None or weight.tree is None:
        return False
    found = weight_codes(weight.tree)
    if found is None or node.op == "MatMul" and (weight.shape is None or len(weight.shape) != 2):
        return False
    codes, scales = found
    unit = np.float64(np.float32(source.affine.scale)) * scales.astype(np.float64)
    bias = _bias(graph, rewriter, node, unit)
    if bias is None:
        return False
    sums = codes.sum(axis=2, dtype=np.int64).reshape(-1)
    bias = bias - source.affine.zero_point * sums
    if np.any(np.abs(bias) >= _I32):
        return False
    rewriter.set_input(node, 0, source.name)
    rewriter.set_input(node, 2, rewriter.constant(f"{node.outputs[0]}/bias", bias.astype(np.int32)))
    return True


def weight_codes(tree: Tree) -> tuple[Array, Array] | None:
    """i8 codes [S, O, K] and f32 scales [S * O] of a tree that integer nodes can compute with, else None."""
    from cmf.reference.weights import i8_codes

    if not has_i8(tree):
        return None
    codes, scales = i8_codes(tree)
    return codes, scales.reshape(-1)


def _bias(graph: Graph, rewriter: Rewriter, node: Node, unit: Array) -> Array | None:
    """The bias in units of input scale times weight scale: as stored if it is in these units, else rounded."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    if not name:
        return np.zeros(unit.shape, np.int64)
    data = rewriter.data(name)
    if data is None:
        dequantize = rewriter.producer(name, "DequantizeLinear")
        if dequantize is None or graph.value(dequantize.inputs[0]).data is None:
            return None
        codes, scale, zero = dequantize_inputs(graph, dequantize)
        if not np.any(zero) and np.allclose(scale, unit, rtol=1e-5, atol=0):
            return codes.astype(np.int64)
        data = (codes.astype(np.int64) - zero).astype(np.float64) * scale
    with np.errstate(all="ignore"):
        rounded = np.rint(data.astype(np.float64) / unit)
    rounded = np.where((data == 0) & (unit == 0), 0.0, rounded)
    return rounded.astype(np.int64) if np.all(np.abs(rounded) < _I32) else None
