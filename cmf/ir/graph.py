"""The graph between front ends and files: mutable, small, plain.

Operator names and semantics are those of FORMAT.md section 5 (ONNX, channels-last convolutions). A front end may build
a channels-first graph first; ``Graph.layout`` says which one it is, and only channels-last graphs are written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable

import numpy.typing as npt

from cmf.encodings.base import Tree
from cmf.errors import GraphError

Dim = int | str
Shape = tuple[Dim, ...]

#: dtype name in cmf.fbs -> numpy dtype (bf16 through ml_dtypes, looked up by name)
NUMPY_DTYPES: dict[str, str] = {
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "f64": "float64",
    "i8": "int8",
    "u8": "uint8",
    "i16": "int16",
    "u16": "uint16",
    "i32": "int32",
    "u32": "uint32",
    "i64": "int64",
    "u64": "uint64",
    "boolean": "bool",
}


@dataclass(frozen=True)
class Affine:
    """``real = scale * (integer - zero_point)``."""

    scale: float
    zero_point: int = 0


@dataclass
class Value:
    """A named tensor: a constant (``data``), an encoded weight (``tree``) or an activation (neither).

    A weight that no recipe touched is a constant until it is written; then it becomes a dense tree.
    """

    name: str
    dtype: str = "f32"
    shape: Shape | None = None
    affine: Affine | None = None
    data: npt.NDArray[Any] | None = None
    tree: Tree | None = None

    @property
    def is_constant(self) -> bool:
        return self.data is not None or self.tree is not None


@dataclass(frozen=True)
class Activation:
    """A fused activation: ``relu``, or ``clip`` to [low, high]."""

    kind: str
    low: float = 0.0
    high: float = float("inf")


@dataclass
class Node:
    """One operator.

    ``inputs`` holds value names, "" where an optional input is absent; ``options`` uses the field names of cmf.fbs.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    compute: str = "f32"
    requantize: str = "f32_rne"
    activation: Activation | None = None


@dataclass
class Graph:
    """Nodes in execution order over named values."""

    name: str = "model"
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    layout: str = "channels_last"
    metadata: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> Value:
        try:
            return self.values[name]
        except KeyError:
            raise GraphError(f"graph {self.name!r} has no value {name!r}") from None

    def producer(self, name: str) -> Node | None:
        """The node that writes a value; None for inputs and constants. Linear: use :meth:`producers` in loops."""
        return next((n for n in self.nodes if name in n.outputs), None)

    def producers(self) -> dict[str, Node]:
        return {out: node for node in self.nodes for out in node.outputs if out}

    def consumers(self) -> dict[str, list[Node]]:
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    users.setdefault(name, []).append(node)
        return users

    def fresh(self, stem: str) -> str:
        """A value name not yet in use."""
        if stem not in self.values:
            return stem
        number = 1
        while f"{stem}_{number}" in self.values:
            number += 1
        return f"{stem}_{number}"

    def constant(self, stem: str, data: npt.NDArray[Any], dtype: str | None = None) -> str:
        """Adds a constant and returns its name."""
        name = self.fresh(stem)
        names = {v: k for k, v in NUMPY_DTYPES.items()}
        self.values[name] = Value(name, dtype or names[data.dtype.name], tuple(int(d) for d in data.shape), data=data)
        return name

    def rename(self, old: str, new: str) -> None:
        """Gives a constant another name, which nothing may use; a value of that name is dropped."""
        self.values.pop(new, None)
        self.values = {new if name == old else name: value for name, value in self.values.items()}
        self.values[new].name = new
        self.replace_uses(old, new)

    def replace_uses(self, old: str, new: str) -> None:
        """Makes every consumer (and graph output) of ``old`` use ``new``."""
        for node in self.nodes:
            node.inputs = [new if i == old else i for i in node.inputs]
        self.outputs = [new if o == old else o for o in self.outputs]

    def symbols(self) -> list[str]:
        """Symbolic dimension names in order of first appearance (inputs first)."""
        seen: dict[str, None] = {}
        names: Iterable[str] = [*self.inputs, *self.outputs, *self.values]
        for name in names:
            for dim in self.values[name].shape or ():
                if isinstance(dim, str):
                    seen[dim] = None
        return list(seen)
