"""a8: integer nodes where they are possible, floats at the interface, biases that fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from networks import Builder, images, small_net, token_net

import cmf
from cmf.encodings import Quantized
from cmf.ir.graph import Activation, Affine, Graph
from cmf.ir.verify import verify
from cmf.passes.activations import affine_for, make_static, observe
from cmf.reference import evaluate
from cmf.reference.integers import quantize
from cmf.report import sqnr

Array = npt.NDArray[Any]
F = np.float32


def written_by(graph: Graph, op: str) -> Affine:
    """Scale and zero point of what the first node of an operator writes."""
    affine = graph.value(next(node for node in graph.nodes if node.op == op).outputs[0]).affine
    assert affine is not None
    return affine


def computes(graph: Graph) -> dict[str, str]:
    return {node.name: node.compute for node in graph.nodes}


def test_everything_between_quantize_and_dequantize_is_integer() -> None:
    model, report = cmf.compress(cmf.Model(small_net()), "int8 + a8", images())
    verify(model.graph)
    kinds = [(node.op, node.compute) for node in model.graph.nodes]
    assert kinds[0] == ("QuantizeLinear", "f32") and kinds[-1] == ("DequantizeLinear", "f32")
    assert all(compute == "int8_static" for _, compute in kinds[1:-1]) and len(kinds) == len(small_net().nodes) + 2
    assert model.graph.value("x").dtype == model.graph.value("y").dtype == "f32"
    assert not report.notes
    # three rounding steps of 1/255 of the range each for every layer: 35 dB and less with depth
    assert report.outputs["y"] > 22
    assert all(line.output_sqnr is not None and line.output_sqnr > 28 for line in report.layers)
    assert all(line.compute == "int8_static" for line in report.layers)


def test_moving_nodes_keep_the_scale() -> None:
    graph = cmf.compress(cmf.Model(small_net()), "int8 + a8", images())[0].graph
    for node in graph.nodes:
        if node.op in ("MaxPool", "Reshape"):
            assert graph.value(node.inputs[0]).affine == graph.value(node.outputs[0]).affine


@pytest.mark.parametrize("recipe", ["int4 + a8", "ternary + a8", "codebook(16) + a8", "prune(0.5) + int8 + a8",
                                    "codebook(16, scales=channel) + a8", "binary + a8", "a8"])
def test_other_levels_compute_on_integers_too(recipe: str) -> None:
    model, report = cmf.compress(cmf.Model(small_net()), recipe, images())
    verify(model.graph)
    assert all(line.compute == "int8_static" for line in report.layers)
    floats, _ = cmf.compress(cmf.Model(small_net()), recipe.replace(" + a8", "").replace("a8", "int8"), images())
    y, reference = (evaluate(g, {"x": images()})["y"] for g in (model.graph, floats.graph))
    assert sqnr(reference, y) > 12


def test_float_levels_stay_float_and_say_so() -> None:
    model, report = cmf.compress(cmf.Model(small_net()), "conv: f16 + a8; int8 + a8", images())
    verify(model.graph)
    assert all("no 8-bit codes" in report.notes[name][0] for name in ("stem_w", "wide_w"))
    assert {line.name: line.compute for line in report.layers}["depth_w"] == "int8_static"
    assert sqnr(evaluate(small_net(), {"x": images()})["y"], evaluate(model.graph, {"x": images()})["y"]) > 25


def test_only_chosen_layers() -> None:
    model, _ = cmf.compress(cmf.Model(small_net()), "wide_node: int8 + a8; int8", images())
    verify(model.graph)
    assert {name for name, compute in computes(model.graph).items() if compute != "f32"} == {"wide_node"}


def test_a_graph_input_that_is_also_an_output_of_an_integer_node() -> None:
    b = Builder(("N", 6))
    x = b.add("MatMul", ["x", b.weight("w", (6, 6), 6)], "one", Activation("relu"))
    graph = b.done(x, b.add("MatMul", [x, b.weight("v", (6, 4), 6)], "two"))
    data = np.random.default_rng(0).normal(size=(20, 6)).astype(F)
    model, _ = cmf.compress(cmf.Model(graph), "a8", data)
    verify(model.graph)
    exact, found = evaluate(graph, {"x": data}), evaluate(model.graph, {"x": data})
    assert all(sqnr(exact[name], found[name]) > 30 for name in ("one", "two"))


def test_dynamic() -> None:
    model, report = cmf.compress(cmf.Model(token_net()), "int8 + a8(dynamic)")
    verify(model.graph)
    assert computes(model.graph) == {"embedded_node": "f32", "mixed_node": "int8_dynamic",
                                     "stacked_node": "int8_dynamic", "y_node": "f32"}
    ids = np.arange(40).reshape(4, 10)
    assert sqnr(evaluate(token_net(), {"x": ids})["y"], evaluate(model.graph, {"x": ids})["y"]) > 30
    assert not report.notes


# ---------------------------------------------------------------- ranges


@given(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32))
@example(0.0, 2.2953e-42)
def test_zero_is_exact_and_the_range_is_covered(a: float, b: float) -> None:
    affine = affine_for(min(a, b), max(a, b))
    assert -128 <= affine.zero_point <= 127 and affine.scale > 0
    assert quantize(np.zeros(1, F), affine)[0] == affine.zero_point
    for real in (a, b):
        code = int(quantize(np.array([real], F), affine)[0])
        if affine.scale != 1.0:
            assert abs(affine.scale * (code - affine.zero_point) - real) <= affine.scale * 1.01


def test_observe() -> None:
    b = Builder((4,))
    graph = b.done(b.add("Relu", ["x"], "y"))
    data = [np.array([-1, 0, 2, 3], F), np.array([-5, 1, 1, 1], F)]
    seen: list[int] = []
    ranges = observe(graph, [{"x": x} for x in data], done=seen.append)
    assert ranges == {"x": (-5, 3), "y": (0, 3)} and seen == [1, 2]
    b = Builder((1000,))
    graph = b.done(b.add("Relu", ["x"], "y"))
    x = np.concatenate([np.full(1, 1e6), np.linspace(-1, 1, 999)]).astype(F)
    low, high = observe(graph, [{"x": x}], percentile=99)["x"]
    assert -1 < low < -0.98 and 0.98 < high < 1.01


def test_percentile_of_a_recipe() -> None:
    x = images(4)
    x[0, 0, 0, 0] = 1000
    scale = {}
    for recipe in ("a8", "a8(percentile=99)"):
        graph = cmf.compress(cmf.Model(small_net()), recipe, x)[0].graph
        affine = written_by(graph, "QuantizeLinear")
        scale[recipe] = affine.scale
    assert scale["a8"] > 100 * scale["a8(percentile=99)"]


# ---------------------------------------------------------------- biases


def one_layer(weight: Array, bias: Array) -> Graph:
    b = Builder(("N", weight.shape[0]))
    w, c = b.constant("w", weight.astype(F)), b.constant("b", bias.astype(F))
    return b.done(b.add("MatMul", ["x", w, c], "y"))


def test_the_bias_holds_the_zero_point() -> None:
    rng = np.random.default_rng(0)
    weight, bias, x = rng.normal(size=(16, 4)), rng.normal(size=4), rng.uniform(-1, 3, (50, 16)).astype(F)
    graph = cmf.compress(cmf.Model(one_layer(weight, bias)), "int8(rounding=nearest) + a8", x)[0].graph
    affine, tree = written_by(graph, "QuantizeLinear"), graph.value("w").tree
    assert isinstance(tree, Quantized)
    units = affine.scale * tree.scales[0, :, 0].astype(np.float64)
    expected = np.rint(bias.astype(F) / units) - affine.zero_point * tree.codes[0].astype(int).sum(axis=1)
    node = next(node for node in graph.nodes if node.op == "MatMul")
    np.testing.assert_array_equal(graph.value(node.inputs[2]).data, expected.astype(np.int32))


@pytest.mark.parametrize("recipe", ["int8 + a8", "prune(0.6) + int8 + a8"])
def test_channels_without_weights_and_huge_biases_keep_their_bias(recipe: str) -> None:
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(64, 5)), np.array([0.5, -0.25, 0.7, 0.1, -0.6])
    weight[:, 1] = 0
    weight[:, 2] *= 1e-13
    x = rng.uniform(0, 1, (50, 64)).astype(F) * F(0.05)
    source = one_layer(weight, bias)
    model, report = cmf.compress(cmf.Model(source), recipe, x)
    assert not report.notes
    y = evaluate(model.graph, {"x": x})["y"]
    step = written_by(model.graph, "MatMul")
    np.testing.assert_allclose(y[:, 1:3], np.broadcast_to(bias[1:3].astype(F), (50, 2)), atol=0.51 * step.scale)


def test_sums_that_do_not_fit_stay_float() -> None:
    weight, bias = np.ones((200_000, 1)), np.zeros(1)
    x = np.full((1, 200_000), -1, F)
    source = one_layer(weight, bias)
    model, report = cmf.compress(cmf.Model(source), "int8 + a8", x)
    assert "do not fit 32 bits" in report.notes["w"][-1]
    assert computes(model.graph) == {"y_node": "f32"}


def test_make_static_in_place() -> None:
    graph = cmf.compress(cmf.Model(one_layer(np.ones((8, 2)), np.ones(2))), "int8")[0].graph
    outcome = make_static(graph, {"w"}, {"x": (-1.0, 1.0), "y": (-0.5, 9.0)})
    assert outcome.codes == {"x": "x_i8", "y": "y_i8"} and not outcome.notes
    assert graph.value("x_i8").affine == Affine(float(F(2 / 255)), -1)
    verify(graph)
    untouched = cmf.compress(cmf.Model(one_layer(np.ones((8, 2)), np.ones(2))), "int8")[0].graph
    assert "no range is known" in make_static(untouched, {"w"}, {}).notes["w"]
