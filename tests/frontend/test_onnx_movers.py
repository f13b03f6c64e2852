"""Operators that move elements, and shape arithmetic with symbolic dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx_models import check, model, node, ops, random

from cmf.errors import CmfError, GraphError, ShapeError, UnsupportedError
from cmf.frontend import load

INT64_MAX = 2**63 - 1


def i64(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (-1, 4), (0, -1), (24,), (0, 0, 4)])
def test_reshape(shape: tuple[int, ...]) -> None:
    check(model([node("Reshape", "x s", "y")], {"x": [2, 3, 4]}, constants={"s": i64(*shape)}), {"x": random(2, 3, 4)})


def test_reshape_with_allowzero_and_no_zero() -> None:
    reshape = node("Reshape", "x s", "y", allowzero=1)
    check(model([reshape], {"x": [2, 3]}, constants={"s": i64(3, 2)}), {"x": random(2, 3)})
    with pytest.raises(UnsupportedError, match="allowzero"):
        load(model([reshape], {"x": [2, 3]}, constants={"s": i64(3, 0)}))


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
@pytest.mark.parametrize("shape", [[2, 3, 4], ["N", 3, 4], ["N", "C", 4], ["N", "C", "L"]])
def test_flatten(axis: int, shape: list[int | str]) -> None:
    check(model([node("Flatten", "x", "y", axis=axis)], {"x": shape}), {"x": random(2, 3, 4)})


@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize("shape", [[1, 3, 1, 4], ["A", 3, 1, "B"]])
def test_squeeze_and_unsqueeze(opset: int, shape: list[int | str]) -> None:
    def one(op: str, inputs: str, output: str, axes: list[int], name: str) -> tuple[Any, dict[str, Any]]:
        if opset < 13:
            return node(op, inputs, output, axes=axes), {}
        return node(op, f"{inputs} {name}", output), {name: i64(*axes)}

    squeeze, first = one("Squeeze", "x", "a", [2, -4], "p")
    unsqueeze, second = one("Unsqueeze", "a", "y", [0, -1], "q")
    check(
        model([squeeze, unsqueeze], {"x": shape}, constants={**first, **second}, opset=opset), {"x": random(1, 3, 1, 4)}
    )


def test_squeeze_of_all_ones() -> None:
    check(model([node("Squeeze", "x", "y")], {"x": [1, 3, 1]}), {"x": random(1, 3, 1)})


def test_squeeze_of_a_dimension_that_is_not_one() -> None:
    with pytest.raises(GraphError, match="Squeeze node .* is not 1"):
        load(model([node("Squeeze", "x a", "y")], {"x": [2, 3]}, constants={"a": i64(1)}))


@pytest.mark.parametrize("perm", [None, [2, 0, 1], [0, 2, 1]])
def test_transpose(perm: list[int] | None) -> None:
    attributes = {} if perm is None else {"perm": perm}
    check(model([node("Transpose", "x", "y", **attributes)], {"x": ["N", 3, 4]}), {"x": random(2, 3, 4)})


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_with_a_constant(axis: int) -> None:
    check(
        model([node("Concat", "x c x", "y", axis=axis)], {"x": [2, 3, 4]}, constants={"c": random(2, 3, 4, seed=1)}),
        {"x": random(2, 3, 4)},
    )


@pytest.mark.parametrize(
    "cut",
    [
        ((1,), (3,), None, None),
        ((0, 1), (INT64_MAX, -1), (1, 2), None),
        ((-2,), (INT64_MAX,), (-1,), (1,)),
        ((4, 0), (-6, 9), (2, 0), (-2, 1)),
        ((10,), (20,), (1,), None),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_slice(cut: tuple[Any, ...], dtype: Any) -> None:
    most = int(np.iinfo(dtype).max)
    constants = {
        name: np.array([min(n, most) for n in numbers], dtype)
        for name, numbers in zip("seat", cut)
        if numbers is not None
    }
    names = " ".join(n if numbers is not None else "-" for n, numbers in zip("seat", cut)).rstrip("- ")
    check(model([node("Slice", f"x {names}", "y")], {"x": [4, 4, 5]}, constants=constants), {"x": random(4, 4, 5)})


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("sizes", [None, [1, 3, 2]])
def test_split(opset: int, sizes: list[int] | None) -> None:
    as_input = sizes is not None and opset >= 13
    attributes: dict[str, Any] = {} if sizes is None or as_input else {"split": sizes}
    if sizes is None and opset >= 18:
        attributes["num_outputs"] = 3
    split = node("Split", "x s" if as_input else "x", "a b c", axis=-1, **attributes)
    constants = {"s": i64(*sizes)} if as_input and sizes is not None else {}
    check(model([split], {"x": [2, 6]}, "c a b", constants, opset=opset), {"x": random(2, 6)})


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("index", [i64(2), i64(0, 2, -1), np.array([[1, 0], [2, -3]], np.int32), np.array(1, np.int64)])
def test_gather(axis: int, index: Any) -> None:
    gather = node("Gather", "x i", "y", axis=axis)
    check(model([gather], {"x": [3, 4, 3]}, constants={"i": index}), {"x": random(3, 4, 3)})
    kind = "i64" if index.dtype == np.int64 else "i32"
    check(model([gather], {"i": (kind, list(index.shape))}, constants={"x": random(3, 4, 3)}), {"i": index})


def test_gather_nd() -> None:
    index = i64(0, 1, 2, 0, 1, 1).reshape(3, 2)
    check(
        model([node("GatherND", "x i", "y")], {"x": [3, 4, 2], "i": ("i64", [3, 2])}),
        {"x": random(3, 4, 2), "i": index},
    )


def test_expand() -> None:
    check(model([node("Expand", "x s", "y")], {"x": [3, 1]}, constants={"s": i64(2, 1, 4)}), {"x": random(3, 1)})


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(mode: str) -> None:
    pad = node("Pad", "x p v", "y", mode=mode)
    constants = {"p": i64(0, 1, 2, 1, 0, 2), "v": np.float32(0.7)}
    check(model([pad], {"x": [2, 3, 4]}, constants=constants), {"x": random(2, 3, 4)})


def test_pad_of_some_axes() -> None:
    constants = {"p": i64(1, 2), "a": i64(-1)}
    check(model([node("Pad", "x p - a", "y")], {"x": [2, 3]}, constants=constants, opset=18), {"x": random(2, 3)})


def test_constant_of_every_kind() -> None:
    from onnx import numpy_helper

    nodes = [
        node("Constant", "", "a", value=numpy_helper.from_array(random(2))),
        node("Constant", "", "b", value_float=2.0),
        node("Constant", "", "c", value_floats=[1.0, 3.0]),
        node("Constant", "", "d", value_ints=[1, 2]),
        node("Add", "x a", "e"),
        node("Mul", "e b", "f"),
        node("Add", "f c", "g"),
        node("Reshape", "g d", "y"),
    ]
    check(model(nodes, {"x": [2]}), {"x": random(2, seed=1)})


# ---------------------------------------------------------------- shape arithmetic


def test_shape_arithmetic_becomes_a_constant_reshape() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n zero1", "n1"),
        node("Concat", "n1 rest", "t", axis=0),
        node("Reshape", "x t", "y"),
    ]
    constants = {"zero": np.array(0, np.int64), "zero1": i64(0), "rest": i64(2, -1)}
    graph = check(model(nodes, {"x": ["N", 4, 6]}, constants=constants), {"x": random(3, 4, 6)})
    assert ops(graph) == ["Reshape"]
    assert graph.value(graph.nodes[0].inputs[1]).data.tolist() == [0, 2, -1]
    assert graph.value("y").shape == ("N", 2, 12)


@pytest.mark.parametrize("opset", [13, 15])
def test_shape_with_start_and_end(opset: int) -> None:
    shape = node("Shape", "x", "y", **({"start": 1, "end": -1} if opset >= 15 else {}))
    check(model([shape], {"x": ["N", 3, "L", 5]}, opset=opset, out_type="i64"), {"x": random(2, 3, 4, 5)})


def test_range_and_constant_of_shape() -> None:
    from onnx import numpy_helper

    value = numpy_helper.from_array(np.array([1.5], np.float32))
    nodes = [
        node("Shape", "x", "s"),
        node("ConstantOfShape", "s", "c", value=value),
        node("Gather", "s one", "n"),
        node("Range", "zero n step", "r"),
        node("Cast", "r", "rf", to=1),
        node("Add", "c rf", "d"),
        node("Add", "d x", "y"),
    ]
    constants = {"one": np.array(1, np.int64), "zero": np.array(0, np.int64), "step": np.array(1, np.int64)}
    graph = check(model(nodes, {"x": ["N", "L"]}, constants=constants), {"x": random(2, 5)})
    assert graph.value("y").shape == ("N", "L")


def test_static_shape_arithmetic_vanishes() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Slice", "s a b", "t"),
        node("Concat", "t c", "u", axis=0),
        node("Expand", "x u", "y"),
    ]
    constants = {"a": i64(0), "b": i64(1), "c": i64(3, 4)}
    graph = check(model(nodes, {"x": [2, 1, 4]}, constants=constants), {"x": random(2, 1, 4)})
    assert ops(graph) == ["Expand"]


def test_symbols_of_inputs_are_kept() -> None:
    graph = load(model([node("Relu", "x", "y")], {"x": ["batch", 3, "a b/c"]}))
    assert graph.value("x").shape == ("batch", 3, "a_b_c")
    assert graph.value("y").shape == ("batch", 3, "a_b_c")


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Reshape", "x s", "y")], {"s": i64(5, 5)}),
        ([node("Reshape", "x s", "y")], {"s": i64(-1, -1)}),
        ([node("Concat", "x c", "y", axis=0)], {"c": np.zeros((2, 5), np.float32)}),
        ([node("Concat", "x c", "y", axis=7)], {"c": np.zeros((2, 3), np.float32)}),
        ([node("Add", "x c", "y")], {"c": np.zeros(2, np.float32)}),
        ([node("Add", "x c", "y")], {"c": np.zeros(3, np.int64)}),
        ([node("Gather", "x c", "y")], {"c": i64(2)}),
        ([node("Gather", "x c", "y")], {"c": np.zeros(1, np.float32)}),
        ([node("Transpose", "x", "y", perm=[0, 0])], {}),
        ([node("Slice", "x s s s t", "y")], {"s": i64(0), "t": i64(0)}),
        ([node("Split", "x s", "y z")], {"s": i64(1, 2)}),
        ([node("MatMul", "x c", "y")], {"c": np.zeros((2, 3), np.float32)}),
        ([node("Sigmoid", "c", "y")], {"c": i64(1)}),
    ],
)
def test_shapes_that_do_not_fit(nodes: list[Any], constants: dict[str, Any]) -> None:
    with pytest.raises((ShapeError, GraphError, CmfError), match="node '"):
        load(model(nodes, {"x": [2, 3]}, constants=constants))
