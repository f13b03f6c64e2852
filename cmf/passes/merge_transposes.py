"""Reshape, Transpose of the last two dimensions, Reshape back: one Transpose. Exact.

Exporters write the transposed keys of attention like this: [b, h, s, d] -> [b h, s, d] -> [b h, d, s] -> [b, h, d, s].
"""

from __future__ import annotations

from cmf.ir.graph import Graph, Node
from cmf.ir.ops import option
from cmf.passes.rewrite import Rewriter


def run(graph: Graph) -> int:
    rewriter, count = Rewriter(graph), 0
    for node in list(graph.nodes):
        if node.op == "Reshape" and rewriter.alive(node):
            count += _merge(graph, rewriter, node)
    return count


def _merge(graph: Graph, rewriter: Rewriter, last: Node) -> bool:
    middle = rewriter.producer(last.inputs[0], "Transpose")
    first = rewriter.producer(middle.inputs[0], "Reshape") if middle is not None else None
    if middle is None or first is None or tuple(option(middle, "perm")) != (0, 2, 1):
        return False
    before, flat = graph.value(first.inputs[0]).shape, graph.value(first.outputs[0]).shape
    after = graph.value(last.outputs[0]).shape
    if before is None or flat is None or after is None or len(before) < 3 or len(before) != len(after):
        return False
    # equal symbols are equal numbers, so this holds for every run
    swapped = (*before[:-2], before[-1], before[-2])
    if flat[1:] != before[-2:] or after != swapped:
        return False
    rank = len(before)
    perm = (*range(rank - 2), rank - 1, rank - 2)
    rewriter.remove(last)
    rewriter.add(Node("Transpose", [first.inputs[0]], last.outputs, {"perm": perm}, last.name))
    return True
