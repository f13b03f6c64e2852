"""What an operator sees: its node, its inputs and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.errors import GraphError
from cmf.ir.graph import Node, Value
from cmf.ir.ops import describe, option

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Call:
    """One evaluation of a node. Inputs that are absent, or weights in a tree, have no array."""

    node: Node
    arrays: tuple[Array | None, ...]
    values: tuple[Value | None, ...]
    output: Value
    layout: str
    #: decoded weights by name, kept from one run to the next
    decoded: dict[str, Array] = field(default_factory=dict)

    def input(self, index: int) -> Array:
        """The array of a required input."""
        array = self.optional(index)
        if array is None:
            raise GraphError(f"{self.where}: input {index} is absent or is a weight that this operator cannot read")
        return array

    def optional(self, index: int) -> Array | None:
        """The array of an optional input, None where it is absent."""
        return self.arrays[index] if index < len(self.arrays) else None

    def inputs(self) -> list[Array]:
        """All inputs, each of them required."""
        return [self.input(i) for i in range(len(self.arrays))]

    def value(self, index: int) -> Value:
        """What the graph says of a required input."""
        value = self.values[index] if index < len(self.values) else None
        if value is None:
            raise GraphError(f"{self.where}: input {index} is absent")
        return value

    def option(self, name: str) -> Any:
        """An option, or its default."""
        return option(self.node, name)

    @property
    def where(self) -> str:
        return describe(self.node)

    @property
    def channels_first(self) -> bool:
        return self.layout == "channels_first"


def to_last(x: Array) -> Array:
    """[N, C, spatial...] -> [N, spatial..., C]."""
    return np.moveaxis(x, 1, -1)


def to_first(x: Array) -> Array:
    """[N, spatial..., C] -> [N, C, spatial...]."""
    return np.moveaxis(x, -1, 1)
