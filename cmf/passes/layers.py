"""The weights of a graph, and what a recipe may ask about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cmf.encodings.base import Geometry
from cmf.ir.graph import Graph, Node
from cmf.ir.ops import OPS, option


@dataclass(frozen=True)
class Layer:
    """A weight (a value with a tree) and the nodes that use it, in execution order."""

    name: str
    nodes: tuple[Node, ...]
    geometry: Geometry
    kinds: frozenset[str]
    #: positions of a convolution's window
    taps: int = 1
    #: a 3 x 3 convolution with strides and dilations 1 and without groups
    winograd: bool = False

    @property
    def op(self) -> str:
        return self.nodes[0].op

    @property
    def names(self) -> list[str]:
        """What patterns of a recipe are compared with: the weight's name and its nodes'."""
        return [self.name, *(node.name for node in self.nodes if node.name)]

    @property
    def spatial(self) -> Geometry | None:
        """For an ungrouped convolution: its geometry with a run for each tap, as Tucker and Winograd need it."""
        if self.op != "Conv" or "depthwise" in self.kinds or self.geometry.stack != 1:
            return None
        return replace(self.geometry, run=self.geometry.inputs // self.taps)



def find_layers(graph: Graph) -> list[Layer]:
    """All values with trees, in the order of their first use."""
    users: dict[str, list[Node]] = {}
    for node in graph.nodes:
        place = OPS[node.op].weight
        if place is not None and place < len(node.inputs) and node.inputs[place]:
            if graph.value(node.inputs[place]).tree is not None:
                users.setdefault(node.inputs[place], []).append(node)
    products = [name for name, nodes in users.items() if nodes[0].op in ("Conv", "MatMul")]
    return [_layer(graph, name, nodes, products) for name, nodes in users.items()]


def _layer(graph: Graph, name: str, nodes: list[Node], products: list[str]) -> Layer:
    value = graph.value(name)
    assert value.tree is not None and value.shape is not None
    node, shape = nodes[0], [int(d) for d in value.shape]
    kinds = {{"Conv": "conv", "MatMul": "matmul"}.get(node.op, "embedding")}
    taps, winograd = 1, False
    if node.op == "Conv":
        group, taps = int(option(node, "group")), int(np.prod(shape[1:3]))
        if group > 1 and shape[3] == 1:
            kinds = {"depthwise"}
        winograd = group == 1 and shape[1:3] == [3, 3] and all(
            list(option(n, what)) == [1, 1] for n in nodes for what in ("strides", "dilations"))
    if products and name == products[0]:
        kinds.add("first")
    if products and name == products[-1]:
        kinds.add("last")
    return Layer(name, tuple(nodes), value.tree.geometry, frozenset(kinds), taps, winograd)
