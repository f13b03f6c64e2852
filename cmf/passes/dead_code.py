"""Removes nodes whose results nobody reads."""

from __future__ import annotations

from cmf.ir.graph import Graph
from cmf.passes.rewrite import drop_unused_values


def run(graph: Graph) -> int:
    """Removes dead nodes, and values nothing names. Returns the number of nodes removed."""
    needed, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if any(name in needed for name in node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    removed = len(graph.nodes) - len(kept)
    graph.nodes = kept[::-1]
    drop_unused_values(graph)
    return removed
