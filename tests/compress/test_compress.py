"""Whole networks: every recipe gives legal trees for every layer, says what it left out, and loses what is expected."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from networks import Builder, images, small_net, token_net

import cmf
from cmf.container.reader import read
from cmf.container.writer import to_bytes
from cmf.encodings import check_tree, same
from cmf.errors import CmfError, RecipeError
from cmf.ir.graph import Graph
from cmf.ir.verify import verify
from cmf.passes.layers import find_layers
from cmf.passes.steps import Integers, Prune
from cmf.recipe import Recipe
from cmf.reference import evaluate
from cmf.report import LayerReport, Report, sqnr

#: recipe -> least SQNR in dB of every weight (of normal numbers)
RECIPES = {
    "f32": math.inf, "f16": 65, "bf16": 48, "int16": 75, "int8": 38, "int6": 27, "int5": 21, "int4": 16, "int3": 11,
    "int2": 5, "int1": 1, "int4(group=32)": 16, "int8(scales=tensor)": 34, "codebook(256)": 38, "codebook(16)": 18,
    "codebook(16, scales=channel)": 17, "codebook(3)": 6, "ternary": 5.5, "binary": 3.5, "prune(0.5)": 10,
    "prune(0.8)": 3, "prune(0.5) + int8": 10, "prune(0.8) + codebook(16)": 3, "prune(0.5) + ternary": 5,
    "prune(0.3) + binary": 3, "prune(0.5) + f16": 10, "svd(0.9)": 3, "svd(0.5) + int8": 1, "tucker(0.9)": 1,
    "tucker(0.5) + codebook(16)": 1, "dct(16)": 120, "dct(8, 4) + int8": 37, "dct(16) + prune(0.9) + int8": 1,
    "svd(0.5) + dct(4) + prune(0.5) + codebook(16)": 1, "winograd(2x2)": math.inf, "winograd(4x4)": math.inf,
    "winograd(2x2) + int8": 37, "winograd(4x4) + prune(0.5) + int8": 5, "a8(dynamic)": 38, "int4 + a8(dynamic)": 16,
    "ternary + a8(dynamic)": 5.5, "codebook(16) + a8(dynamic)": 17, "svd(0.5) + a8(dynamic)": 1,
    "conv: int4; last: int8; f16": 16, "int8 + zstd": 38,
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("network", [small_net, token_net])
def test_recipe_on_every_layer(recipe: str, network: Any) -> None:
    source = network()
    model, report = cmf.compress(cmf.Model(source), recipe)
    assert report.recipe == str(Recipe.parse(recipe))
    verify(model.graph)
    for layer, line in zip(find_layers(model.graph), report.layers, strict=True):
        value = model.graph.value(layer.name)
        assert value.tree is not None and value.shape == source.value(layer.name).shape
        check_tree(value.tree)
        assert line.tree == value.tree.describe()
        assert line.weight_sqnr >= RECIPES[recipe], line
    back = read(to_bytes(model.graph, codec=model.codec))
    for name, value in model.graph.values.items():
        if value.tree is not None:
            stored = back.value(name).tree
            assert stored is not None and same(value.tree, stored)
    assert model.codec == ("zstd" if "zstd" in recipe else "raw")


def trees(graph: Graph, recipe: Any, **inputs: Any) -> tuple[dict[str, str], Report]:
    _, report = cmf.compress(cmf.Model(graph), recipe, **inputs)
    return {line.name: line.tree for line in report.layers}, report


def test_kinds_of_layers() -> None:
    kinds = {line.name: set(line.kinds) for line in trees(small_net(), "f32")[1].layers}
    assert kinds == {"stem_w": {"conv", "first"}, "depth_w": {"depthwise"}, "point_w": {"conv"}, "grouped_w": {"conv"},
                     "wide_w": {"conv"}, "strided_w": {"conv"}, "head_w": {"matmul", "last"}}
    kinds = {line.name: set(line.kinds) for line in trees(token_net(), "f32")[1].layers}
    assert kinds == {"table": {"embedding"}, "mix_w": {"matmul", "first"}, "stack_w": {"matmul", "last"}}


def test_rules_choose_by_kind_and_name() -> None:
    found, _ = trees(small_net(), "stem*: f16; wide_node: ternary; depthwise: int6; last: int8; int4")
    assert found["stem_w"] == "dense(f16)"
    assert found["wide_w"].startswith("bitpacked(ternary")
    assert found["depth_w"].startswith("quantized(int6")
    assert found["head_w"].startswith("quantized(int8")
    assert found["point_w"].startswith("quantized(int4")


def test_what_is_not_possible_is_left_out_and_said() -> None:
    found, report = trees(small_net(), "winograd(2x2) + int8")
    assert found["wide_w"].startswith("winograd(2x2, quantized(int8")
    assert found["stem_w"].startswith("winograd")
    assert {name for name, tree in found.items() if tree.startswith("quantized(int8")} == set(report.notes) == {
        "depth_w", "point_w", "grouped_w", "strided_w", "head_w"}
    assert "3 x 3 convolutions with strides and dilations 1" in report.notes["strided_w"][0]
    found, report = trees(small_net(), "tucker(0.5) + int8")
    tucker = {name for name, tree in found.items() if tree.startswith("lowrank(tucker2")}
    assert tucker == {"stem_w", "wide_w", "strided_w"}
    assert set(report.notes) == {"depth_w", "point_w", "grouped_w", "head_w"}
    found, report = trees(small_net(), "svd(0.5)")
    assert set(report.notes) == {"depth_w"} and found["depth_w"] == "dense(f32)"
    _, report = trees(small_net(), "int4(group=32)")
    assert set(report.notes) == set()  # a depthwise window of 9 inputs is one group
    _, report = trees(small_net(), "int4(group=32) + a8(dynamic)")
    assert set(report.notes) == {"grouped_w", "wide_w", "strided_w"}  # elsewhere one group is the channel
    assert all("no 8-bit codes" in notes[0] for notes in report.notes.values())


def test_sparse_only_where_it_is_smaller() -> None:
    assert trees(small_net(), "prune(0.5) + int8")[0]["wide_w"].startswith("sparse(")
    assert trees(small_net(), "prune(0.05) + int8")[0]["wide_w"].startswith("quantized(")
    assert trees(small_net(), "prune(0.8) + codebook(16)")[0]["wide_w"].startswith("sparse(20.0 %, codebook(")
    assert trees(small_net(), "prune(0.1) + codebook(16)")[0]["wide_w"].startswith("codebook(")
    assert trees(small_net(), "prune(0.5) + ternary")[0]["wide_w"].startswith("sparse(")
    assert "binary" in trees(small_net(), "prune(0.3) + binary")[0]["wide_w"]


def test_zeros_of_the_network_stay() -> None:
    graph = small_net()
    rng = np.random.default_rng(3)
    values = rng.normal(size=200).astype(np.float32)
    shape = (32, 3, 3, 24)
    weight = np.where(rng.random(shape) < 0.3, values[rng.integers(0, 200, shape)], 0).astype(np.float32)
    graph.values["wide_w"].data = weight
    for recipe in ("codebook(256)", "prune(0) + codebook(256)"):
        model, report = cmf.compress(cmf.Model(graph), recipe)
        line = next(line for line in report.layers if line.name == "wide_w")
        assert line.tree.startswith("sparse(") and line.weight_sqnr == math.inf
    for recipe in ("int4", "codebook(16)", "ternary", "binary", "f16"):
        tree = cmf.compress(cmf.Model(graph), recipe)[0].graph.value("wide_w").tree
        assert tree is not None and not tree.decode().reshape(weight.shape)[weight == 0].any()


def test_few_zeros_do_not_cost_binary_a_mask() -> None:
    graph = small_net()
    data = graph.values["wide_w"].data
    assert data is not None
    data.reshape(-1)[::100] = 0
    found, report = trees(graph, "binary")
    assert found["wide_w"].startswith("bitpacked(binary")
    assert "zeros become positive" in report.notes["wide_w"][0]


def test_numbers_that_are_not_finite_are_kept() -> None:
    graph = small_net()
    data = graph.values["wide_w"].data
    assert data is not None
    data[0, 0, 0, 0] = np.inf
    found, report = trees(graph, "int4")
    assert found["wide_w"] == "dense(f32)" and "not finite" in report.notes["wide_w"][0]
    data[0, 0, 0, 0] = 1e6
    found, report = trees(graph, "f16")
    assert found["wide_w"] == "dense(f32)" and "beyond its range" in report.notes["wide_w"][0]


def test_the_model_given_is_not_changed_and_bytes_repeat() -> None:
    graph = small_net()
    model = cmf.Model(graph)
    before = {name: (value.data, value.tree) for name, value in graph.values.items()}
    nodes = [(node.op, list(node.inputs), list(node.outputs), node.compute) for node in graph.nodes]
    first, _ = cmf.compress(model, "int8 + a8", images())
    second, _ = cmf.compress(model, "int8 + a8", images())
    assert {name: (value.data, value.tree) for name, value in graph.values.items()} == before
    assert [(node.op, list(node.inputs), list(node.outputs), node.compute) for node in graph.nodes] == nodes
    assert to_bytes(first.graph) == to_bytes(second.graph)


def test_a_weight_used_twice_is_encoded_once() -> None:
    b = Builder(("N", 8))
    w = b.weight("w", (8, 8), 8)
    x = b.add("MatMul", ["x", w], "one")
    graph = b.done(b.add("MatMul", [x, w], "two"))
    model, report = cmf.compress(cmf.Model(graph), "int8 + a8", [np.ones((1, 8), np.float32)])
    assert len(report.layers) == 1
    assert len({id(v.tree) for v in model.graph.values.values() if v.tree is not None}) == 1


def test_compressing_again() -> None:
    once, _ = cmf.compress(cmf.Model(small_net()), "int8")
    twice, report = cmf.compress(once, "int4")
    assert all(line.tree.startswith("quantized(int4") for line in report.layers)
    integers, _ = cmf.compress(cmf.Model(small_net()), "int8 + a8", images())
    _, report = cmf.compress(integers, "int4")
    assert "computes with its integers" in report.notes["wide_w"][0]


# ---------------------------------------------------------------- reports, progress, errors


def test_report() -> None:
    model, report = cmf.compress(cmf.Model(small_net()), "int8", images(3))
    assert report.weights == sum(line.weights for line in report.layers)
    wide = next(line for line in report.layers if line.name == "wide_w")
    assert wide.weights == 32 * 9 * 24 and wide.bytes == wide.weights + 2 * 32
    assert wide.bits_per_weight == pytest.approx(8 + 16 / (9 * 24))
    assert report.other_bytes == sum(v.data.nbytes for v in model.graph.values.values() if v.data is not None)
    assert report.bytes == sum(line.bytes for line in report.layers) + report.other_bytes
    exact = evaluate(small_net(), {"x": images(3)})["y"]
    found = evaluate(model.graph, {"x": images(3)})["y"]
    assert report.outputs["y"] == pytest.approx(sqnr(exact, found), abs=0.01)
    assert all(line.output_sqnr is not None and line.output_sqnr > 30 for line in report.layers)
    data = json.loads(report.to_json())
    assert data["layers"][0]["name"] == "stem_w" and data["bits_per_weight"] == report.bits_per_weight
    from rich.console import Console

    console = Console(width=250, record=True, file=io.StringIO())
    console.print(report.table())
    text = console.export_text()
    assert all(line.node in text and f"{line.bytes:,}" in text for line in report.layers)
    assert "bits each" in report.summary()


def test_sqnr() -> None:
    one = np.array([3.0, 4.0])
    assert sqnr(one, one) == math.inf
    assert sqnr(one, one * 0.9) == pytest.approx(20)
    assert sqnr(one * 0, one) == -math.inf
    line = LayerReport("w", "n", "Conv", (), "dense", "f32", (2,), 2, 8, math.inf)
    assert json.loads(Report("m", "f32", (line,), 0).to_json())["layers"][0]["weight_sqnr"] is None


def test_progress_is_told() -> None:
    calls: list[tuple[str, int, int]] = []
    cmf.compress(cmf.Model(small_net()), "int8 + a8", images(2), progress=lambda *call: calls.append(call))
    for what, total in (("weights", 7), ("activation ranges", 2), ("errors", 2)):
        assert [c for c in calls if c[0] == what] == [(what, done, total) for done in range(total + 1)]


def test_objects_work_as_recipes() -> None:
    recipe = Recipe.for_layers({"conv": [Prune(0.5), Integers(4)]}, Integers(8))
    _, report = cmf.compress(cmf.Model(small_net()), recipe)
    assert report.recipe == "conv: prune(0.5) + int4; int8"


def test_errors() -> None:
    model = cmf.Model(small_net())
    with pytest.raises(RecipeError, match="a8 needs calibration inputs"):
        cmf.compress(model, "int8 + a8")
    with pytest.raises(RecipeError, match="unknown step"):
        cmf.compress(model, "int9")
    with pytest.raises(CmfError):
        cmf.compress("missing.onnx", "int8")
    with pytest.raises(CmfError, match="cannot read a model of type"):
        cmf.compress(3, "int8")
