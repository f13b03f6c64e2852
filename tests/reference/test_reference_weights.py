"""Nodes with weights in trees compute what they compute with the decoded weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cmf.encodings import Dct, Dense, Geometry, LowRank, Quantized, Tree, Winograd, winograd_filters, winograd_geometry
from cmf.errors import GraphError, ShapeError
from cmf.ir.geometry import from_matrix, to_matrix, weight_geometry
from cmf.ir.graph import Graph, Node, Value
from cmf.reference import Evaluator, evaluate

Array = npt.NDArray[Any]
RNG = np.random.default_rng(2)


def floats(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def run(op: str, inputs: list[str], x: Array, weight: Value, options: dict[str, Any]) -> Array:
    graph = Graph(inputs=["x"], outputs=["y"], nodes=[Node(op, inputs, ["y"], options)])
    dtype = "f32" if x.dtype == np.float32 else "i64"
    graph.values = {"x": Value("x", dtype, x.shape), "w": weight, "y": Value("y")}
    return evaluate(graph, {"x": x})["y"]


def panel(geometry: Geometry) -> Tree:
    scales = RNG.uniform(0.01, 0.1, (geometry.stack, geometry.outputs, 1)).astype(np.float32)
    return Quantized(geometry, RNG.integers(-128, 128, geometry.shape).astype(np.int8), scales)


def some_trees(geometry: Geometry) -> dict[str, Tree]:
    rank = min(geometry.outputs, 3)
    lines = Geometry(geometry.stack, geometry.outputs, geometry.inputs, geometry.run)
    return {
        "dense": Dense(geometry, floats(*geometry.shape)),
        "quantized": panel(geometry),
        "lowrank": LowRank(lines, (panel(Geometry(lines.stack, rank, lines.inputs, lines.run)),
                                   panel(Geometry(lines.stack, lines.outputs, rank, rank)))),
        "dct": Dct(geometry, panel(geometry), 4, 2),
    }


CASES = [
    ("Conv", (6, 3, 3, 8), {"pads": [1, 1, 1, 1]}, (2, 5, 6, 8)),
    ("Conv", (6, 3, 3, 4), {"group": 2}, (1, 5, 6, 8)),
    ("Conv", (8, 3, 3, 1), {"group": 8, "strides": [2, 2]}, (1, 7, 7, 8)),
    ("MatMul", (8, 5), {}, (3, 8)),
    ("MatMul", (2, 8, 5), {}, (2, 3, 8)),
]


@pytest.mark.parametrize("op, shape, options, x_shape", CASES)
@pytest.mark.parametrize("name", ["dense", "quantized", "lowrank", "dct"])
def test_tree_equals_decoded_weight(op: str, shape: Any, options: dict[str, Any], x_shape: Any, name: str) -> None:
    tree = some_trees(weight_geometry(op, shape, options))[name]
    x = floats(*x_shape)
    dense = from_matrix(tree.decode(), op, shape)
    expected = run(op, ["x", "w"], x, Value("w", "f32", shape, data=dense), options)
    np.testing.assert_array_equal(run(op, ["x", "w"], x, Value("w", "f32", shape, tree=tree), options), expected)


def test_gather_from_a_tree() -> None:
    tree = panel(weight_geometry("Gather", (20, 3, 2)))
    ids = np.array([[3, -1], [0, 19]])
    y = run("Gather", ["w", "x"], ids, Value("w", "f32", (20, 3, 2), tree=tree), {})
    np.testing.assert_array_equal(y, tree.decode().reshape(20, 3, 2)[ids])


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3)])
@pytest.mark.parametrize("size", [(5, 7), (8, 6), (3, 3)])
def test_winograd_convolution(tile: int, pads: tuple[int, ...], size: tuple[int, int]) -> None:
    weight, x = floats(5, 3, 3, 8), floats(2, *size, 8)
    geometry = weight_geometry("Conv", weight.shape)
    u = winograd_filters(weight, tile).astype(np.float32)
    tree = Winograd(geometry, Dense(winograd_geometry(geometry, tile), u), tile)
    options = {"pads": pads}
    y = run("Conv", ["x", "w"], x, Value("w", "f32", weight.shape, tree=tree), options)
    expected = run("Conv", ["x", "w"], x, Value("w", "f32", weight.shape, data=weight), options)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(ShapeError, match="strides 1"):
        run("Conv", ["x", "w"], x, Value("w", "f32", weight.shape, tree=tree), {**options, "strides": (2, 2)})


def test_weights_are_decoded_once_and_only_where_they_may_stand() -> None:
    tree = panel(Geometry(1, 5, 8, 8))
    graph = Graph(inputs=["x"], outputs=["y"], nodes=[Node("MatMul", ["x", "w"], ["y"])])
    graph.values = {"x": Value("x", "f32", (1, 8)), "w": Value("w", "f32", (8, 5), tree=tree), "y": Value("y")}
    evaluator, x = Evaluator(graph), floats(1, 8)
    first = evaluator.run({"x": x})["y"]
    graph.values["w"] = Value("w", "f32", (8, 5), tree=panel(Geometry(1, 5, 8, 8)))
    np.testing.assert_array_equal(evaluator.run({"x": x})["y"], first)
    graph.nodes = [Node("Add", ["x", "w"], ["y"])]
    with pytest.raises(GraphError, match="input 1 is absent or is a weight"):
        evaluate(graph, {"x": x})


def test_to_matrix_and_back() -> None:
    weight = floats(2, 4, 3)
    matrix = to_matrix(weight, "MatMul", weight_geometry("MatMul", weight.shape))
    np.testing.assert_array_equal(matrix[1, 2], weight[1, :, 2])
    np.testing.assert_array_equal(from_matrix(matrix, "MatMul", weight.shape), weight)
