"""Biases go to f16 where their layer's weights were rounded, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from networks import small_net

import cmf
from cmf.ir.graph import Graph
from cmf.passes import halve_biases


def biases(graph: Graph) -> dict[str, str]:
    return {node.outputs[0]: graph.value(node.inputs[2]).dtype
            for node in graph.nodes if node.op in ("Conv", "MatMul") and any(node.inputs[2:])}


@pytest.mark.parametrize(("recipe", "dtype"), [("int8", "f16"), ("int4", "f16"), ("f32", "f32"), ("int16", "f32"),
                                               ("winograd(2x2)", "f32")])
def test_biases_follow_the_rounding_of_weights(recipe: str, dtype: str) -> None:
    source = small_net()
    assert biases(source), "the network has no bias: nothing is tested"
    model, _ = cmf.compress(cmf.Model(source), recipe)
    found = biases(model.graph)
    assert len(found) == len(biases(source)) and set(found.values()) == {dtype}
    assert set(biases(source).values()) == {"f32"}  # the model given is as it was


def test_numbers_that_f16_cannot_hold_stay() -> None:
    for numbers in ([1e6, 0.0], [np.nan, 1.0], [1e-6, 1e-7]):
        graph = small_net()
        node = next(node for node in graph.nodes if node.op == "Conv")
        bias = graph.value(node.inputs[2])
        assert bias.data is not None
        bias.data = np.resize(np.asarray(numbers, np.float32), bias.data.shape)
        assert halve_biases.run(graph, {node.inputs[1]}) == 0
        assert bias.dtype == "f32"
