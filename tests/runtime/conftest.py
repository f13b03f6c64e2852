"""Small graphs written to files, with the numpy answer beside each."""

from __future__ import annotations

import numpy as np
import pytest
from small_files import Case, linear_graph

from cmf.container import write
from cmf.ir.graph import Graph, Node, Value


@pytest.fixture(scope="session")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Case:
    graph, weight, bias = linear_graph()
    path = write(graph, tmp_path_factory.mktemp("linear") / "linear.cmf")
    return Case(path, lambda x: x @ weight + bias)


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A matrix of equal rows under zstd."""
    weight = np.tile(np.arange(16, dtype=np.float32), (256, 1))
    graph = Graph(name="packed")
    graph.values["x"] = Value("x", "f32", (1, 256))
    graph.values["y"] = Value("y", "f32", (1, 16))
    graph.inputs, graph.outputs = ["x"], ["y"]
    graph.nodes.append(Node("MatMul", ["x", graph.constant("w", weight)], ["y"]))
    path = write(graph, tmp_path_factory.mktemp("packed") / "packed.cmf", codec="zstd")
    return Case(path, lambda x: x @ weight)


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Two inputs that share a symbol, an integer among them, two outputs: total = a + b, and a cast of ids."""
    graph = Graph(name="two")
    for name, dtype, shape in (("a", "f32", ("N", 3)), ("ids", "i64", ("N",))):
        graph.values[name] = Value(name, dtype, shape)
    for name, dtype, shape in (("doubled", "f32", ("N", 3)), ("rows", "f32", ("N", 2))):
        graph.values[name] = Value(name, dtype, shape)
    graph.inputs, graph.outputs = ["a", "ids"], ["doubled", "rows"]
    table = np.arange(20, dtype=np.float32).reshape(10, 2)
    graph.nodes.append(Node("Add", ["a", "a"], ["doubled"]))
    graph.nodes.append(Node("Gather", [graph.constant("table", table), "ids"], ["rows"]))
    return Case(write(graph, tmp_path_factory.mktemp("two") / "two.cmf"), lambda a, ids: table[ids])
