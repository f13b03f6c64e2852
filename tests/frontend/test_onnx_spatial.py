"""Convolutions, pools and Resize: every attribute that changes the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_models import check, model, node, ops, random

from cmf.errors import GraphError, UnsupportedError
from cmf.frontend import load


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1]},
        {"pads": [1, 0, 2, 3]},
        {"dilations": [2, 1]},
        {"auto_pad": "VALID"},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "kernel_shape": [3, 2]},
    ],
)
@pytest.mark.parametrize("group", [1, 2, 4])
def test_conv(attributes: dict[str, Any], group: int) -> None:
    constants = {"w": random(8, 4 // group, 3, 2), "b": random(8, seed=1)}
    conv = node("Conv", "x w b", "y", group=group, **attributes)
    graph = check(model([conv], {"x": ["N", 4, 9, 8]}, constants=constants), {"x": random(2, 4, 9, 8, seed=2)})
    assert ops(graph) == ["Transpose", "Conv", "Transpose"]
    assert graph.value("x").shape == ("N", 4, 9, 8), "the interface keeps its shape"


def test_same_padding_of_unknown_size() -> None:
    constants = {"w": random(8, 4, 3, 3)}
    same = node("Conv", "x w", "y", auto_pad="SAME_UPPER")
    check(model([same], {"x": ["N", 4, "H", "W"]}, constants=constants), {"x": random(2, 4, 9, 8)})
    strided = node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2, 2])
    with pytest.raises(UnsupportedError, match="auto_pad with strides"):
        load(model([strided], {"x": ["N", 4, "H", "W"]}, constants=constants))


@pytest.mark.parametrize(
    ("shape", "group", "match"),
    [
        ((8, 3, 3, 3), 1, "channels"),
        ((8, 4, 3, 3), 3, "group"),
        ((8, 4, 3), 1, "4 known dimensions"),
        ((8, 4, 30, 3), 1, "does not fit"),
        ((8, 4, 0, 3), 1, "kernel_shape"),
    ],
)
def test_conv_that_does_not_fit(shape: tuple[int, ...], group: int, match: str) -> None:
    conv = node("Conv", "x w", "y", group=group)
    with pytest.raises(GraphError.__bases__[0], match=match):
        load(model([conv], {"x": [1, 4, 9, 9]}, constants={"w": np.zeros(shape, np.float32)}))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2]},
        {"strides": [2, 2], "ceil_mode": 1},
        {"pads": [1, 1, 0, 1]},
        {"strides": [2, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    ],
)
def test_pool(op: str, attributes: dict[str, Any]) -> None:
    pool = node(op, "x", "y", kernel_shape=[3, 2], **attributes)
    check(model([pool], {"x": ["N", 3, 8, 9]}), {"x": random(2, 3, 8, 9)})


def test_pool_details() -> None:
    check(
        model([node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 3])], {"x": [1, 3, 8, 9]}),
        {"x": random(1, 3, 8, 9)},
    )
    average = node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    check(model([average], {"x": [1, 3, 8, 9]}), {"x": random(1, 3, 8, 9)})


def test_rounding_up_is_dropped_where_it_changes_nothing() -> None:
    pool = node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    assert load(model([pool], {"x": [1, 3, 8, 8]})).nodes[0].options["ceil_mode"] is False
    assert load(model([pool], {"x": [1, 3, 9, 8]})).nodes[0].options["ceil_mode"] is True


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pool(op: str) -> None:
    nodes = [node(op, "x", "a"), node("Flatten", "a", "y")]
    graph = check(model(nodes, {"x": ["N", 3, 5, 4]}), {"x": random(2, 3, 5, 4)})
    assert ops(graph)[-1] == "Reshape"


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("size", [(8, 12), (7, 9), (2, 1)])
def test_resize_to_sizes(mode: str, coordinates: str, size: tuple[int, int]) -> None:
    resize = node("Resize", "x - - s", "y", mode=mode, coordinate_transformation_mode=coordinates, nearest_mode="floor")
    sizes = np.array([1, 3, *size], np.int64)
    check(model([resize], {"x": [1, 3, 4, 6]}, constants={"s": sizes}), {"x": random(1, 3, 4, 6)})


@pytest.mark.parametrize("shape", [[2, 3, 4, 6], ["N", 3, "H", "W"]])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_by_scales(shape: list[int | str], mode: str) -> None:
    resize = node("Resize", "x - s", "y", mode=mode, nearest_mode="floor", coordinate_transformation_mode="asymmetric")
    check(model([resize], {"x": shape}, constants={"s": np.array([1, 1, 2, 3], np.float32)}), {"x": random(2, 3, 4, 6)})


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil"])
def test_rounding_to_nearest_with_half_pixels(factor: int, rounding: str) -> None:
    """The default of ONNX and of exporters: the same indices as rounding down asymmetric coordinates."""
    resize = node("Resize", "x - s", "y", mode="nearest", nearest_mode=rounding)
    scales = np.array([1, 1, factor, factor], np.float32)
    check(model([resize], {"x": [1, 2, 3, 5]}, constants={"s": scales}), {"x": random(1, 2, 3, 5)})


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [-1], [0, 1, 2, 3]])
@pytest.mark.parametrize("by", ["scales", "sizes"])
@pytest.mark.parametrize("shape", [[2, 3, 4, 5], ["N", 3, "H", "W"]])
def test_resize_of_some_axes(axes: list[int], by: str, shape: list[int | str]) -> None:
    factors = {0: 1, 1: 1, 2: 2, 3: 3}
    resize = node("Resize", "x - s" if by == "scales" else "x - - s", "y", axes=axes, mode="linear")
    if by == "scales":
        data = np.array([factors[a % 4] for a in axes], np.float32)
    else:
        data = np.array([factors[a % 4] * (2, 3, 4, 5)[a] for a in axes], np.int64)
    check(model([resize], {"x": shape}, constants={"s": data}, opset=18), {"x": random(2, 3, 4, 5)})


def test_resize_that_is_not_supported() -> None:
    sizes = np.array([1, 2, 5, 7], np.int64)
    for attributes, match in [
        ({}, "nearest_mode"),
        ({"mode": "cubic"}, "cubic"),
        ({"mode": "linear", "antialias": 1}, "antialias"),
        ({"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}, "tf_crop_and_resize"),
    ]:
        resize = node("Resize", "x - - s", "y", **attributes)
        with pytest.raises(UnsupportedError, match=match):
            load(model([resize], {"x": [1, 2, 3, 5]}, constants={"s": sizes}, opset=19))


def test_resize_by_a_factor_that_gives_no_whole_number() -> None:
    resize = node("Resize", "x - s", "y", mode="linear")
    with pytest.raises(UnsupportedError, match="whole number"):
        load(model([resize], {"x": [1, 2, 3, 5]}, constants={"s": np.array([1, 1, 1.5, 2], np.float32)}))


def test_one_dimensional_convolutions_say_what_is_supported() -> None:
    with pytest.raises(UnsupportedError, match=r"Conv node 'Conv_y': .*\[N, C, H, W\]"):
        load(model([node("Conv", "x w", "y")], {"x": [1, 2, 9]}, constants={"w": random(4, 2, 3)}))
