"""A file and what its network computes; small graphs to make them of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.ir.graph import Graph, Node, Value


@dataclass(frozen=True)
class Case:
    """A file and what its network computes."""

    path: Path
    answer: Callable[..., npt.NDArray[Any]]


def linear_graph() -> tuple[Graph, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """y = x w + b, x [N, 8], y [N, 5]."""
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(8, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    graph = Graph(name="linear")
    graph.values["x"] = Value("x", "f32", ("N", 8))
    graph.values["y"] = Value("y", "f32", ("N", 5))
    graph.inputs, graph.outputs = ["x"], ["y"]
    graph.nodes.append(Node("MatMul", ["x", graph.constant("w", weight), graph.constant("b", bias)], ["y"], name="fc"))
    return graph, weight, bias
