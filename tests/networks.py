"""Small channels-last networks with every kind of layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.ir.graph import Activation, Graph, Node, Value

Array = npt.NDArray[Any]
F = np.float32


class Builder:
    """Adds nodes with random weights of He's scale (arXiv 1502.01852), so that activations stay near 1."""

    def __init__(self, shape: tuple[Any, ...], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = Graph("net", inputs=["x"])
        self.graph.values["x"] = Value("x", "f32", shape)

    def add(self, op: str, inputs: list[str], name: str, activation: Activation | None = None, **options: Any) -> str:
        self.graph.values[name] = Value(name)
        self.graph.nodes.append(Node(op, inputs, [name], options, f"{name}_node", activation=activation))
        return name

    def constant(self, name: str, data: Array) -> str:
        return self.graph.constant(name, data)

    def weight(self, name: str, shape: tuple[int, ...], fan_in: int) -> str:
        return self.constant(name, (self.rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype(F))

    def conv(self, x: str, name: str, shape: tuple[int, int, int, int], bias: bool = True,
             activation: Activation | None = None, **options: Any) -> str:
        inputs = [x, self.weight(f"{name}_w", shape, int(np.prod(shape[1:])))]
        if bias:
            inputs.append(self.constant(f"{name}_b", self.rng.normal(size=shape[0]).astype(F) * F(0.1)))
        return self.add("Conv", inputs, name, activation, **options)

    def done(self, *outputs: str) -> Graph:
        from cmf.ir.shapes import annotate

        self.graph.outputs = list(outputs)
        annotate(self.graph)
        return self.graph


def small_net() -> Graph:
    """[N, 12, 12, 3] -> [N, 10]: convolutions of every kind, a residual, pools, a MatMul."""
    relu, clip = Activation("relu"), Activation("clip", 0.0, 6.0)
    b = Builder(("N", 12, 12, 3))
    x = b.conv("x", "stem", (16, 3, 3, 3), pads=[1, 1, 1, 1], activation=relu)
    y = b.conv(x, "depth", (16, 3, 3, 1), group=16, pads=[1, 1, 1, 1], activation=clip)
    y = b.conv(y, "point", (16, 1, 1, 16))
    x = b.add("Add", [x, y], "sum", relu)
    x = b.add("MaxPool", [x], "pool", kernel=[2, 2], strides=[2, 2])
    x = b.conv(x, "grouped", (24, 3, 3, 8), group=2, pads=[1, 1, 1, 1], activation=relu)
    x = b.conv(x, "wide", (32, 3, 3, 24), pads=[1, 1, 1, 1], activation=relu, bias=False)
    x = b.conv(x, "strided", (20, 5, 5, 32), strides=[2, 2], pads=[2, 2, 2, 2], activation=relu)
    x = b.add("GlobalAveragePool", [x], "mean")
    x = b.add("Reshape", [x, b.constant("flat", np.array([0, -1]))], "flattened")
    x = b.add("MatMul", [x, b.weight("head_w", (20, 10), 20), b.constant("head_b", np.zeros(10, F))], "y")
    return b.done(x)


def token_net() -> Graph:
    """ids [N, S] -> [N, S, 4]: an embedding, a stack of matrices, a softmax."""
    b = Builder(("N", "S"))
    b.graph.values["x"].dtype = "i64"
    x = b.add("Gather", [b.weight("table", (50, 40), 1), "x"], "embedded")
    x = b.add("MatMul", [x, b.weight("mix_w", (40, 40), 40)], "mixed", Activation("relu"))
    x = b.add("MatMul", [x, b.weight("stack_w", (1, 40, 4), 40)], "stacked")
    return b.done(b.add("Softmax", [x], "y", axis=-1))


def images(count: int = 4, seed: int = 9) -> Array:
    return np.random.default_rng(seed).normal(size=(count, 12, 12, 3)).astype(F)
