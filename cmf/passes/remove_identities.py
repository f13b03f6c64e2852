"""Removes what changes nothing: Identity, Cast to the same type, Reshape to the same shape, Clip without limits."""

from __future__ import annotations

from cmf.ir.graph import Graph, Node
from cmf.ir.shapes import is_static
from cmf.passes.rewrite import Rewriter


def run(graph: Graph) -> int:
    rewriter, count = Rewriter(graph), 0
    for node in list(graph.nodes):
        if _changes_nothing(graph, node):
            count += rewriter.bypass(node, node.inputs[0])
    return count


def _changes_nothing(graph: Graph, node: Node) -> bool:
    if node.activation is not None or node.compute != "f32":
        return False
    source, result = graph.value(node.inputs[0]), graph.value(node.outputs[0])
    if source.affine != result.affine:
        return False
    if node.op == "Identity":
        return True
    if node.op == "Cast":
        return source.dtype == result.dtype
    if node.op == "Clip":
        return not any(node.inputs[1:])
    return node.op in ("Reshape", "Expand") and is_static(source.shape) and source.shape == result.shape
