"""What passes share: looking around in a graph and changing it."""

from __future__ import annotations

from typing import Any, Iterable

import numpy as np
import numpy.typing as npt

from cmf.errors import GraphError
from cmf.ir.graph import Graph, Node, Shape, Value
from cmf.ir.ops import describe

Array = npt.NDArray[Any]


class Rewriter:
    """A graph with its producers and uses kept up to date while it is changed.

    New nodes go to the end of the list; :func:`sort` puts them in their places when the pass is done.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = graph.producers()
        self.uses: dict[str, list[Node]] = graph.consumers()
        self._dead: dict[int, Node] = {}  # keeps removed nodes, so that their ids stay theirs

    # ------------------------------------------------------------ looking

    def producer(self, name: str, *ops: str) -> Node | None:
        """The node that writes a value, if its operator is one of ``ops`` (any, if none are given)."""
        node = self.producers.get(name)
        return node if node is not None and (not ops or node.op in ops) else None

    def data(self, name: str) -> Array | None:
        """The contents of a plain constant."""
        return self.graph.value(name).data if name else None

    def only_use(self, name: str) -> Node | None:
        """The one node that reads a value; None if there are others, or it is an output of the graph."""
        users = self.uses.get(name, [])
        return users[0] if len(users) == 1 and name not in self.graph.outputs else None

    def alive(self, node: Node) -> bool:
        return id(node) not in self._dead

    # ------------------------------------------------------------ changing

    def value(self, stem: str, dtype: str = "f32", shape: Shape | None = None) -> Value:
        """A new activation."""
        name = self.graph.fresh(stem)
        value = Value(name, dtype, shape)
        self.graph.values[name] = value
        return value

    def constant(self, stem: str, data: Array) -> str:
        return self.graph.constant(stem, data)

    def change_constant(self, node: Node, index: int, data: Array) -> None:
        """Gives a node other contents of a constant input, which keeps its name if nothing else reads it."""
        value = self.graph.value(node.inputs[index])
        if self.only_use(value.name) is node and node.inputs.count(value.name) == 1:
            value.data, value.shape = data, tuple(int(d) for d in data.shape)
        else:
            self.set_input(node, index, self.constant(value.name, data))
            self.graph.value(node.inputs[index]).affine = value.affine

    def add(self, node: Node) -> Node:
        self.graph.nodes.append(node)
        for name in node.outputs:
            self.producers[name] = node
        for name in node.inputs:
            if name:
                self.uses.setdefault(name, []).append(node)
        return node

    def emit(
        self,
        op: str,
        inputs: list[str],
        options: dict[str, Any] | None = None,
        *,
        stem: str,
        dtype: str = "f32",
        name: str = "",
    ) -> str:
        """Adds a node with a new output and returns the output's name."""
        value = self.value(stem, dtype)
        self.add(Node(op, inputs, [value.name], options or {}, name))
        return value.name

    def remove(self, node: Node) -> None:
        self._dead[id(node)] = node
        self.graph.nodes.remove(node)
        for name in node.outputs:
            if self.producers.get(name) is node:
                del self.producers[name]
        for name in node.inputs:
            if name:
                self.uses[name].remove(node)

    def set_input(self, node: Node, index: int, name: str) -> None:
        while len(node.inputs) <= index:
            node.inputs.append("")
        if node.inputs[index]:
            self.uses[node.inputs[index]].remove(node)
        node.inputs[index] = name
        if name:
            self.uses.setdefault(name, []).append(node)

    def set_output(self, node: Node, name: str) -> None:
        """Lets a node write another value, which nothing else writes."""
        del self.producers[node.outputs[0]]
        node.outputs[0] = name
        self.producers[name] = node

    def replace(self, old: str, new: str) -> None:
        """Makes all nodes that read ``old`` read ``new``. Outputs of the graph keep their names."""
        for node in list(self.uses.get(old, [])):
            for index, name in enumerate(node.inputs):
                if name == old:
                    self.set_input(node, index, new)

    def bypass(self, node: Node, source: str) -> bool:
        """Removes a node whose result equals ``source``; False if it must stay, both names being the interface's."""
        graph, output = self.graph, node.outputs[0]
        if output not in graph.outputs:
            self.replace(output, source)
            self.remove(node)
            return True
        producer = self.producers.get(source)
        if producer is None or source in graph.outputs or source in graph.inputs:
            return False
        affine = graph.value(source).affine
        self.replace(source, output)
        self.remove(node)
        self.set_output(producer, output)
        graph.value(output).affine = affine
        return True


def sort(graph: Graph) -> None:
    """Puts nodes in an order in which every value is written before it is read, changing as little as possible."""
    producers = graph.producers()
    done: set[int] = set()
    ordered: list[Node] = []
    for root in graph.nodes:
        stack: list[tuple[Node, bool]] = [(root, False)]
        path: set[int] = set()
        while stack:
            node, expanded = stack.pop()
            if id(node) in done:
                continue
            if expanded:
                path.discard(id(node))
                done.add(id(node))
                ordered.append(node)
                continue
            if id(node) in path:
                raise GraphError(f"{describe(node)}: depends on its own result")
            path.add(id(node))
            stack.append((node, True))
            for name in reversed(node.inputs):
                before = producers.get(name)
                if before is not None and id(before) not in done:
                    if id(before) in path:
                        raise GraphError(f"{describe(before)}: depends on its own result")
                    stack.append((before, False))
    graph.nodes = ordered


def drop_unused_values(graph: Graph) -> None:
    """Forgets values that no node and no interface names."""
    used = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)}
    used.update(graph.inputs)
    used.update(graph.outputs)
    graph.values = {name: value for name, value in graph.values.items() if name in used}


def by_channel(data: Array, rank: int, axis: int, channels: int) -> Array | None:
    """A constant that is broadcast against ``rank`` dimensions as one f32 number a channel, None if it is not.

    Returns a vector of ``channels``, all the same where the constant is a single number.
    """
    if data.dtype != np.float32 or data.ndim > rank:
        return None
    wide = (1,) * (rank - data.ndim) + data.shape
    if any(d != 1 for i, d in enumerate(wide) if i != axis) or wide[axis] not in (1, channels):
        return None
    return np.broadcast_to(data.reshape(-1), (channels,)).astype(np.float32)


def fixed(shape: Iterable[Any] | None) -> tuple[int, ...] | None:
    """A shape of numbers, None if it is anything else."""
    dims = None if shape is None else tuple(shape)
    return dims if dims is not None and all(isinstance(d, int) for d in dims) else None
