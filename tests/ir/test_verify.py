"""Every rule of the verifier has a graph that breaks it, and an error that names the place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cmf.encodings import Dense, Geometry, Quantized
from cmf.errors import CmfError
from cmf.ir.geometry import weight_geometry
from cmf.ir.graph import Activation, Affine, Graph, Node, Value
from cmf.ir.verify import verify


def good() -> Graph:
    """x -> Conv (8 x 3 x 3 x 2, an encoded weight) -> Add of a constant -> y, and an integer Relu on the side."""
    graph = Graph(inputs=["x", "q"], outputs=["y", "r"])
    geometry = weight_geometry("Conv", (8, 3, 3, 2))
    values = [
        Value("x", "f32", ("N", 5, 5, 2)),
        Value("w", "f32", (8, 3, 3, 2), tree=Dense(geometry, np.zeros(geometry.shape, np.float32))),
        Value("c", "f32", (8,), data=np.zeros(8, np.float32)),
        Value("a", "f32", ("N", 3, 3, 8)),
        Value("y", "f32", ("N", 3, 3, 8)),
        Value("q", "i8", ("N", 4), Affine(0.5, 3)),
        Value("r", "i8", ("N", 4), Affine(0.5, 3)),
    ]
    graph.values = {v.name: v for v in values}
    graph.nodes = [
        Node("Conv", ["x", "w"], ["a"], {"strides": (1, 1)}, "conv"),
        Node("Add", ["a", "c"], ["y"], {}, "add", activation=Activation("relu")),
        Node("Relu", ["q"], ["r"], {}, "relu", compute="int8_static"),
    ]
    return graph


def test_a_good_graph() -> None:
    infos = verify(good())
    assert infos["y"].shape == ("N", 3, 3, 8)


def set_value(name: str, /, **fields: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        for key, new in fields.items():
            setattr(graph.values[name], key, new)

    return change


def set_node(index: int, /, **fields: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        for key, new in fields.items():
            setattr(graph.nodes[index], key, new)

    return change


def quantized(bits: int, group: int) -> Callable[[Graph], None]:
    """The Relu becomes an int8_static MatMul with a weight that gives no plain i8 codes."""

    def change(graph: Graph) -> None:
        geometry = Geometry(1, 4, 4, 4)
        scales = np.ones((1, 4, 1), np.float32)
        codes = np.zeros((1, 4, 4), np.int16 if bits == 16 else np.int8)
        graph.values["v"] = Value("v", "f32", (4, 4), tree=Quantized(geometry, codes, scales, bits=bits, group=group))
        graph.nodes[2] = Node("MatMul", ["q", "v"], ["r"], {}, "product", compute="int8_static")

    return change


def misplaced(graph: Graph) -> None:
    graph.nodes[1].inputs = ["a", "w"]


BROKEN: dict[str, tuple[Callable[[Graph], None], str]] = {
    "layout": (lambda g: setattr(g, "layout", "sideways"), "unknown layout 'sideways'"),
    "name of a value": (set_value("c", name="d"), "'c' calls itself 'd'"),
    "dtype": (set_value("a", dtype="f31"), "'a' has unknown dtype"),
    "affine of a float": (set_value("a", affine=Affine(1.0)), "'a' is f32: only integers"),
    "scale": (set_value("q", affine=Affine(0.0)), "'q' has scale 0.0"),
    "tiny scale": (set_value("q", affine=Affine(1e-50)), "'q' has scale 1e-50"),
    "infinite scale": (set_value("q", affine=Affine(1e39)), "'q' has scale"),
    "zero point": (set_value("q", affine=Affine(1.0, 200)), "zero point 200, outside i8"),
    "data and tree": (set_value("w", data=np.zeros(1, np.float32)), "both data and a tree"),
    "dtype of data": (set_value("c", data=np.zeros(8, np.float64)), "declared f32 but holds float64"),
    "shape of data": (set_value("c", shape=(7,)), r"declared \(7,\) but has shape \(8,\)"),
    "shape of a weight": (set_value("w", shape=("O", 3, 3, 2)), "weight 'w' must be f32 with a shape of numbers"),
    "dtype of a weight": (set_value("w", dtype="i8"), "weight 'w' must be f32"),
    "limit": (set_value("x", shape=(1,) * 9), "9 dimensions"),
    "no outputs": (lambda g: setattr(g, "outputs", []), "has no outputs"),
    "output missing": (lambda g: setattr(g, "outputs", ["z"]), "no value 'z'"),
    "input missing": (lambda g: setattr(g, "inputs", ["z"]), "no value 'z'"),
    "input twice": (lambda g: setattr(g, "inputs", ["x", "x"]), "'x' is listed twice"),
    "input is a constant": (lambda g: g.inputs.append("c"), "input 'c' is a constant"),
    "output never written": (lambda g: (g.outputs.append("b"), g.values.update(b=Value("b"))), "'b' is never written"),
    "operator": (set_node(0, op="Convolve"), "Convolve node 'conv': unknown operator"),
    "too few inputs": (set_node(1, inputs=["a"]), "Add node 'add': has 1 inputs; it takes 2 to 2"),
    "too many inputs": (set_node(1, inputs=["a", "c", "c"]), "has 3 inputs"),
    "absent input": (set_node(1, inputs=["", "c"]), "input 0 is missing"),
    "input does not exist": (set_node(1, inputs=["a", "z"]), "input 'z' does not exist"),
    "used before it is written": (set_node(0, inputs=["y", "w"]), "'y' is not defined before it is used"),
    "two outputs": (set_node(1, outputs=["y", "z"]), "exactly one output"),
    "no output": (set_node(1, outputs=[""]), "exactly one output"),
    "output does not exist": (set_node(1, outputs=["z"]), "output 'z' does not exist"),
    "written twice": (set_node(1, outputs=["a"]), "'a' is written twice"),
    "writes an input": (set_node(1, outputs=["x"]), "'x' is written twice"),
    "writes a constant": (set_node(1, outputs=["c"]), "'c' is written twice"),
    "unknown option": (set_node(0, options={"stride": (1, 1)}), "unknown option 'stride'; known are strides"),
    "kind of an option": (set_node(0, options={"strides": 2}), "option 'strides' must be a sequence"),
    "length of an option": (set_node(0, options={"strides": (1,)}), "must have 2 entries"),
    "low option": (set_node(0, options={"strides": (0, 1)}), "at least 1 each"),
    "group": (set_node(0, options={"group": 0}), "at least 1"),
    "choice": (set_node(1, op="Gelu", inputs=["a"], options={"tanh": 1}), "True or False"),
    "missing option": (set_node(1, op="Transpose", inputs=["a"], options={}), "option 'perm' is missing"),
    "compute": (set_node(0, compute="int4"), "unknown compute 'int4'"),
    "dynamic": (set_node(1, compute="int8_dynamic"), "int8_dynamic is for Conv and MatMul"),
    "requantize": (set_node(0, requantize="round"), "unknown requantize"),
    "activation": (set_node(0, activation=Activation("elu")), "unknown activation 'elu'"),
    "empty clip": (set_node(0, activation=Activation("clip", 2.0, 1.0)), "which is empty"),
    "clip of nan": (set_node(0, activation=Activation("clip", float("nan"), 1.0)), "which is empty"),
    "integers without affine": (set_value("q", affine=None), "int8_static needs i8 with scale"),
    "integers of floats": (set_node(1, compute="int8_static"), "int8_static needs i8"),
    "no integer form": (set_node(2, op="Not"), "Not has no int8_static form"),
    "weight elsewhere": (misplaced, r"input 1 \('w'\) is an encoded weight"),
    "channels first": (lambda g: setattr(g, "layout", "channels_first"), "need a channels-last graph|channels"),
    "geometry": (set_value("w", shape=(8, 3, 2, 3)), "needs a tree of|channels"),
    "group and geometry": (set_node(0, options={"group": 3}), "cut into 3 groups"),
    "wide integers": (quantized(16, 0), "no i8 codes"),
    "declared dtype": (set_value("y", dtype="i32"), "declared i32 but is f32"),
    "declared rank": (set_value("y", shape=("N", 3, 8)), "is declared"),
    "declared shape": (set_value("y", shape=("N", 3, 4, 8)), "is declared"),
    "quantize without affine": (
        set_node(2, op="DequantizeLinear", inputs=["q"], outputs=["r"]),
        "declared|int8_static",
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_every_rule(rule: str) -> None:
    change, match = BROKEN[rule]
    graph = good()
    change(graph)
    with pytest.raises(CmfError, match=match):
        verify(graph)


def test_declared_symbols_agree_with_what_is_inferred() -> None:
    graph = good()
    graph.values["y"].shape = ("M", 3, 3, 8)
    graph.values["a"].shape = None
    verify(graph)
