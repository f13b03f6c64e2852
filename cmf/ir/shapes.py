"""Shapes and data types of every value, with symbolic dimensions, and the contents of small integer tensors.

Nothing here changes a graph but :func:`annotate`. Rules for single operators are in ``shape_rules.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.errors import GraphError, ShapeError
from cmf.ir.graph import Dim, Graph, Node, Shape, Value
from cmf.ir.ops import INTEGERS, describe, op_of

#: Integer tensors of at most this many elements have their contents followed.
CONTENT_LIMIT = 64
#: FORMAT.md, section 1.3
MAX_RANK, MAX_DIM, MAX_ELEMENTS = 8, 2**31 - 1, 2**40

Content = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Info:
    """What is known of a value. ``shape`` None: unknown rank.

    ``content`` is an object array of the value's shape whose entries are an int, a dimension's symbol, or None.
    """

    dtype: str
    shape: Shape | None
    content: Content | None = None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class Call:
    """One node as a shape rule sees it."""

    node: Node
    inputs: list[Info | None]
    output: Value
    channels_last: bool

    def fail(self, message: str) -> ShapeError:
        return ShapeError(f"{describe(self.node)}: {message}")

    def symbol(self, axis: int) -> str:
        """A symbol for a dimension of which nothing is known."""
        return f"{self.output.name}:{axis}"

    def input(self, index: int) -> Info:
        info = self.inputs[index] if index < len(self.inputs) else None
        if info is None:
            raise self.fail(f"input {index} is missing")
        return info

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def content(self, index: int) -> list[Any] | None:
        """Entries of a one-dimensional (or scalar) input; None where they are not known."""
        info = self.input(index)
        return None if info.content is None else list(info.content.reshape(-1))

    def integers(self, index: int) -> list[int] | None:
        """Like :meth:`content`, but None unless all entries are numbers."""
        entries = self.content(index)
        return entries if entries is not None and all(isinstance(e, int) for e in entries) else None


def is_anonymous(dim: Dim) -> bool:
    """Is this a symbol that inference made up (``value:axis`` or ``min(n,symbol)``)?"""
    return isinstance(dim, str) and (":" in dim or "(" in dim)


def element_count(shape: Shape | None) -> int | None:
    """Elements of a shape whose dimensions are all numbers, else None."""
    if shape is None or any(isinstance(d, str) for d in shape):
        return None
    count = 1
    for dim in shape:
        count *= int(dim)
    return count


def is_static(shape: Shape | None) -> bool:
    return shape is not None and all(isinstance(d, int) for d in shape)


def info_of(value: Value) -> Info:
    """What a value says of itself (inputs and constants)."""
    if value.data is not None:
        shape: Shape = tuple(int(d) for d in value.data.shape)
        content: Content | None = None
        if value.dtype in INTEGERS and value.affine is None and value.data.size <= CONTENT_LIMIT:
            content = np.array([int(x) for x in value.data.reshape(-1)] or [], dtype=object).reshape(shape)
        return Info(value.dtype, shape, content)
    return Info(value.dtype, value.shape)


def check_limits(name: str, shape: Shape | None) -> None:
    """Raises :class:`ShapeError` where a shape exceeds the format's limits."""
    if shape is None:
        return
    if len(shape) > MAX_RANK:
        raise ShapeError(f"value {name!r} has {len(shape)} dimensions; at most {MAX_RANK} are possible", "E_LIMIT")
    count = 1
    for dim in shape:
        if isinstance(dim, int):
            if not 0 <= dim <= MAX_DIM:
                raise ShapeError(f"value {name!r} has a dimension of {dim}; 0 to {MAX_DIM} are possible", "E_LIMIT")
            count *= max(dim, 1)
    if count > MAX_ELEMENTS:
        raise ShapeError(f"value {name!r} has {count} elements; at most 2^40 are possible", "E_LIMIT")


def infer_node(graph: Graph, node: Node, infos: dict[str, Info]) -> Info:
    """The output of one node, given what is known of its inputs."""
    from cmf.ir.shape_rules import RULES

    op_of(node)
    inputs: list[Info | None] = []
    for name in node.inputs:
        if name and name not in infos:
            raise GraphError(f"{describe(node)}: input {name!r} is not defined before it is used")
        inputs.append(infos[name] if name else None)
    if not node.outputs:
        raise GraphError(f"{describe(node)}: has no output")
    call = Call(node, inputs, graph.value(node.outputs[0]), graph.layout == "channels_last")
    info = RULES[node.op](call)
    check_limits(node.outputs[0], info.shape)
    if info.content is not None and (info.content.size > CONTENT_LIMIT or info.shape != info.content.shape):
        info = Info(info.dtype, info.shape)
    return info


def infer(graph: Graph) -> dict[str, Info]:
    """What is known of every value of a run. Raises :class:`ShapeError` on a contradiction."""
    infos: dict[str, Info] = {}
    for value in graph.values.values():
        if value.is_constant:
            infos[value.name] = info_of(value)
    for name in graph.inputs:
        infos[name] = info_of(graph.value(name))
    for node in graph.nodes:
        infos[node.outputs[0] if node.outputs else ""] = infer_node(graph, node, infos)
    return infos


def annotate(graph: Graph) -> dict[str, Info]:
    """Infers, and writes dtypes and shapes of activations into the graph."""
    infos = infer(graph)
    for node in graph.nodes:
        for name in node.outputs:
            value = graph.value(name)
            value.dtype, value.shape = infos[name].dtype, infos[name].shape
    return infos
