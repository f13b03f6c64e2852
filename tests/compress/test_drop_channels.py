"""Channels that hardly change go, and the network computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import Builder

import cmf
from cmf.ir.graph import Activation, Graph
from cmf.ir.verify import verify
from cmf.passes import drop_channels
from cmf.reference import evaluate

CLIP = Activation("clip", 0.0, 6.0)
DEAD = [3, 7, 8]


def block(inside: Activation | None = CLIP, outside: Activation | None = CLIP, project: tuple[int, ...] = (5, 1, 1, 16),
          **options: Any) -> Graph:
    """expand -> depthwise -> project with three channels that do not change."""
    b = Builder(("N", 6, 6, 4))
    x = b.conv("x", "expand", (16, 1, 1, 4), activation=inside)
    x = b.conv(x, "depth", (16, 3, 3, 1), group=16, pads=[1, 1, 1, 1], activation=outside)
    graph = b.done(b.conv(x, "project", project, **options))
    weight, bias = graph.value("depth_w").data, graph.value("depth_b").data
    assert weight is not None and bias is not None
    weight[DEAD] *= np.float32(1e-7)
    bias[DEAD] = [0.7, -0.2, 9]
    return graph


def images() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype(np.float32)


@pytest.mark.parametrize("outside", [None, CLIP, Activation("relu")])
def test_the_network_computes_the_same(outside: Activation | None) -> None:
    source = block(outside=outside)
    graph = drop_channels.copied(source)
    assert drop_channels.run(graph) == {"depth_w": 3}
    verify(graph)
    assert graph.value("expand_w").shape == (13, 1, 1, 4) and graph.value("depth_w").shape == (13, 3, 3, 1)
    assert graph.value("project_w").shape == (5, 1, 1, 13) and graph.nodes[1].options["group"] == 13
    assert source.value("expand_w").shape == (16, 1, 1, 4) and source.value("depth").shape == ("N", 6, 6, 16)
    before, after = (evaluate(g, {"x": images()})["project"] for g in (source, graph))
    np.testing.assert_allclose(after, before, atol=2e-6 * np.abs(before).max())


def test_a_padded_border_is_not_the_constant() -> None:
    graph = block(project=(5, 3, 3, 16), pads=[1, 1, 1, 1])
    before = evaluate(graph, {"x": images()})["project"]
    assert drop_channels.run(graph) == {"depth_w": 1}  # the one whose constant is 0 behind the clip
    np.testing.assert_allclose(evaluate(graph, {"x": images()})["project"], before, atol=2e-6 * np.abs(before).max())


@pytest.mark.parametrize("inside", [None, Activation("relu")])
def test_nothing_is_dropped_where_inputs_have_no_bound(inside: Activation | None) -> None:
    assert drop_channels.run(block(inside=inside)) == {}


def test_nothing_is_dropped_that_is_used_elsewhere() -> None:
    for name in ("expand", "depth"):
        graph = block()
        graph.outputs.append(name)
        assert drop_channels.run(graph) == {}


def test_compress_drops_and_says_so() -> None:
    model, report = cmf.compress(cmf.Model(block()), "int8", images())
    assert report.dropped == {"depth_w": 3} and report.to_dict()["dropped"] == {"depth_w": 3}
    assert "3 channels that never change dropped" in report.summary()
    assert model.graph.value("depth_w").shape == (13, 3, 3, 1)
    assert report.outputs["project"] > 30
    kept, report = cmf.compress(cmf.Model(block()), "f32")
    assert report.dropped == {} and kept.graph.value("depth_w").shape == (16, 3, 3, 1)
