"""Evaluates what depends on constants only, and shape arithmetic whose result is known.

Weights that the graph dequantizes (DequantizeLinear of a constant, or a Cast of 8-bit integers and what follows) are
never folded while an operator reads them as its weight or bias: ``quantized_weights`` and ``integers`` take them over
as integers.
"""

from __future__ import annotations

import numpy as np

from cmf.errors import UnsupportedError
from cmf.ir.graph import NUMPY_DTYPES, Graph, Node
from cmf.ir.ops import describe, op_of, option
from cmf.ir.shapes import element_count, infer
from cmf.passes.rewrite import Array

#: A result larger than this and than all inputs together is not stored but computed when the model runs.
GROWTH_LIMIT = 1 << 16
_SMALL_INTEGERS = ("i8", "u8")


def run(graph: Graph, keep_weights: bool = True) -> int:
    """Returns the number of nodes folded. ``keep_weights`` False folds dequantized weights too (the last resort)."""
    infos = infer(graph)
    kept = dequantized_weights(graph) if keep_weights else set()
    remaining: list[Node] = []
    for node in graph.nodes:
        name = node.outputs[0]
        info = infos[name]
        if info.content is not None and all(isinstance(e, int) for e in info.content.reshape(-1)):
            data: Array | None = info.content.astype(NUMPY_DTYPES[info.dtype])
        else:
            data = None if name in kept else _evaluate(graph, node)
        if data is None or name in graph.outputs and node.op == "Identity":
            remaining.append(node)
            continue
        if name in graph.outputs:  # an output must be written by a node
            name = graph.constant(f"{name}/value", data)
            remaining.append(Node("Identity", [name], [node.outputs[0]], name=node.name))
            continue
        value = graph.value(name)
        value.data, value.shape = data, tuple(int(d) for d in data.shape)
    folded = len(graph.nodes) - len(remaining)
    graph.nodes = remaining
    return folded


def dequantized_weights(graph: Graph) -> set[str]:
    """Values that are computed from integer constants and that an operator reads as its weight or bias."""
    dequantized: dict[str, Node] = {}
    for node in graph.nodes:
        names = [name for name in node.inputs if name]
        if not all(name in dequantized or graph.value(name).is_constant for name in names):
            continue
        first = graph.value(names[0]) if names else None
        starts = (
            first is not None
            and first.is_constant
            and (
                node.op == "DequantizeLinear"
                or node.op == "Cast"
                and first.dtype in _SMALL_INTEGERS
                and graph.value(node.outputs[0]).dtype == "f32"
            )
        )
        if starts or any(name in dequantized for name in names):
            dequantized[node.outputs[0]] = node
    wanted: list[str] = []
    for node in graph.nodes:
        weight = op_of(node).weight
        if weight is not None:
            slots = (weight, 2) if node.op in ("Conv", "MatMul") else (weight,)
            wanted += [node.inputs[i] for i in slots if i < len(node.inputs)]
    kept: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in dequantized and name not in kept:
            kept.add(name)
            wanted += dequantized[name].inputs
    return kept


def _evaluate(graph: Graph, node: Node) -> Array | None:
    """The result of a node of constants, None if it is not one."""
    values = [graph.value(name) for name in node.inputs if name]
    if not values or any(v.data is None for v in values):
        return None
    if node.op in ("QuantizeLinear", "DequantizeLinear") and len(node.inputs) > 1:
        return dequantize(graph, node) if node.op == "DequantizeLinear" else None
    result = graph.value(node.outputs[0])
    count = element_count(result.shape)
    if count is None or count > max(GROWTH_LIMIT, sum(v.data.size for v in values if v.data is not None)):
        return None
    from cmf.reference import evaluate_node

    return np.ascontiguousarray(evaluate_node(node, {}, graph)[node.outputs[0]])


def dequantize(graph: Graph, node: Node) -> Array:
    """scale * (x - zero) of a DequantizeLinear node of constants, in f32."""
    x, scale, zero = dequantize_inputs(graph, node)
    return np.asarray((x.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale)


def dequantize_inputs(graph: Graph, node: Node) -> tuple[Array, Array, Array]:
    """Integers, scale and zero point of a DequantizeLinear node of constants; the last two ready to be broadcast."""
    x = graph.value(node.inputs[0])
    assert x.data is not None
    if len(node.inputs) == 1:
        affine = x.affine
        assert affine is not None
        return x.data, np.array(affine.scale, np.float32), np.array(affine.zero_point, np.int32)
    scale = graph.value(node.inputs[1]).data
    zero = graph.value(node.inputs[2]).data if len(node.inputs) > 2 and node.inputs[2] else np.zeros((), np.int32)
    if scale is None or zero is None or scale.dtype != np.float32:
        raise UnsupportedError(f"{describe(node)}: scale and zero point must be constants, the scale f32")
    return x.data, _wide(node, scale, x.data), _wide(node, zero, x.data)


def _wide(node: Node, data: Array, x: Array) -> Array:
    if data.size == 1:
        return data.reshape(())
    axis = option(node, "axis")
    if data.ndim != 1 or not -x.ndim <= axis < x.ndim or data.shape[0] != x.shape[axis]:
        raise UnsupportedError(
            f"{describe(node)}: a scale or zero point of shape {data.shape} for {x.shape} on axis {axis} is not "
            "supported; supported: one for the tensor or one for each index of the axis"
        )
    return data.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
