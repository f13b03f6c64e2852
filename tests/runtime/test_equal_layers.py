"""A deep network of like layers: equal options, shapes and vectors are written once, and the opener accepts that."""

from __future__ import annotations

import numpy as np

from cmf.container.weights import encode_constants
from cmf.container.writer import to_bytes
from cmf.ir.graph import Activation, Graph, Node, Value
from cmf.runtime import load

LAYERS, SHAPE = 300, (1, 5, 5, 4)


def test_many_equal_layers_open_and_run() -> None:
    rng = np.random.default_rng(3)
    graph = Graph(name="deep", inputs=["x0"], outputs=[f"x{LAYERS}"])
    graph.values["x0"] = Value("x0", "f32", SHAPE)
    options = {"strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1}
    for k in range(LAYERS):
        weight = graph.constant(f"w{k}", (rng.standard_normal((4, 3, 3, 4)) * 0.2).astype(np.float32))
        graph.nodes.append(Node("Conv", [f"x{k}", weight], [f"x{k + 1}"], dict(options), f"layer{k}",
                                activation=Activation("relu")))
        graph.values[f"x{k + 1}"] = Value(f"x{k + 1}", "f32", SHAPE)
    file = to_bytes(encode_constants(graph))
    metadata = int.from_bytes(file[24:32], "little")
    assert metadata < 300 * LAYERS, "equal options are no longer shared: the test is void"
    for verify in ("structure", "full"):
        y = load(file, verify=verify)(rng.standard_normal(SHAPE).astype(np.float32))
        assert y.shape == SHAPE and np.isfinite(y).all()
