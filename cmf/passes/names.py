"""Gives every node a name of its own, and forgets shapes of activations with symbols that inference made up."""

from __future__ import annotations

from cmf.ir.graph import Graph
from cmf.ir.shapes import is_anonymous


def run(graph: Graph) -> int:
    """Returns the number of nodes named anew."""
    taken: set[str] = set()
    count = 0
    for node in graph.nodes:
        stem = node.name or node.outputs[0]
        name, number = stem, 1
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        count += name != node.name
        node.name = name
        taken.add(name)
    interface = {*graph.inputs, *graph.outputs}
    for value in graph.values.values():
        if value.name not in interface and any(is_anonymous(d) for d in value.shape or ()):
            value.shape = None
    return count
