"""Moves Relu and Clip into the node before them. Exact."""

from __future__ import annotations

import math

from cmf.ir.graph import Activation, Graph, Node
from cmf.passes.rewrite import Rewriter

#: Operators that apply an activation while their result is still at hand.
_HOSTS = ("Conv", "MatMul", "Add", "Sub", "Mul", "Div", "AveragePool", "GlobalAveragePool")


def run(graph: Graph) -> int:
    rewriter, count = Rewriter(graph), 0
    for node in list(graph.nodes):
        if node.op not in ("Relu", "Clip") or node.compute != "f32" or node.activation is not None:
            continue
        before = rewriter.producer(node.inputs[0], *_HOSTS)
        activation = _activation(rewriter, graph, node)
        if before is None or activation is None or rewriter.only_use(node.inputs[0]) is not node:
            continue
        merged = _merge(before.activation, activation)
        if merged is None or before.compute != "f32":
            continue
        before.activation = merged
        rewriter.remove(node)
        rewriter.set_output(before, node.outputs[0])
        count += 1
    return count


def _activation(rewriter: Rewriter, graph: Graph, node: Node) -> Activation | None:
    if graph.value(node.inputs[0]).dtype != "f32":
        return None
    if node.op == "Relu":
        return Activation("relu")
    bounds = [-math.inf, math.inf]
    for i, name in enumerate(node.inputs[1:]):
        if name:
            data = rewriter.data(name)
            if data is None or data.size != 1:
                return None
            bounds[i] = float(data.reshape(()))
    low, high = bounds
    if low == 0 and high == math.inf:
        return Activation("relu")
    # infinite limits, and limits that are empty or not numbers, stay a Clip
    return Activation("clip", low, high) if math.isfinite(low) and math.isfinite(high) and low <= high else None


def _merge(first: Activation | None, second: Activation) -> Activation | None:
    """One activation that does what two do one after the other."""
    if first is None or first == second:
        return second
    if first.kind == "relu" and second.kind == "clip":
        low, high = max(0.0, second.low), max(0.0, second.high)
        return Activation("clip", low, high) if second.low <= 0.0 <= second.high or second.low > 0 else None
    if first.kind == "clip" and second.kind == "relu" and first.low >= 0:
        return first
    return None
