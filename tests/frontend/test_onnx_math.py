"""Elementwise operators, products, norms and reductions, through opsets in which their form changed."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_models import check, model, node, ops, random

UNARY = [
    "Relu",
    "Sigmoid",
    "Tanh",
    "Erf",
    "Exp",
    "Abs",
    "Neg",
    "Floor",
    "Ceil",
    "LeakyRelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
]


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    x = random(3, 5)
    x[0, 0] = 0.0
    check(model([node(op, "x", "y")], {"x": [3, 5]}, opset=14), {"x": x * 3})


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Reciprocal"])
def test_unary_of_positive_numbers(op: str) -> None:
    check(model([node(op, "x", "y")], {"x": [3, 5]}), {"x": np.abs(random(3, 5)) + 0.1})


def test_alpha_and_beta_are_read() -> None:
    nodes = [node("LeakyRelu", "x", "a", alpha=0.3), node("HardSigmoid", "a", "y", alpha=0.4, beta=0.1)]
    check(model(nodes, {"x": [4, 4]}), {"x": random(4, 4)})


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    check(model([node("Gelu", "x", "y", approximate=approximate)], {"x": [3, 5]}, opset=20), {"x": random(3, 5) * 3})


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"])
def test_binary_with_broadcasting(op: str) -> None:
    a, b = np.abs(random(2, 1, 4)) + 0.5, np.abs(random(3, 1, seed=1)) + 0.5
    check(model([node(op, "a b", "y")], {"a": [2, 1, 4], "b": [3, 1]}), {"a": a, "b": b})


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_variadic(op: str, count: int) -> None:
    names = "abc"[:count]
    feeds = {n: random(2, 3, seed=i) for i, n in enumerate(names)}
    check(model([node(op, " ".join(names), "y")], {n: [2, 3] for n in names}), feeds)


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons(op: str) -> None:
    a, b = np.round(random(4, 4)), np.round(random(4, 4, seed=1))
    check(model([node(op, "a b", "y")], {"a": [4, 4], "b": [4, 4]}, out_type="b"), {"a": a, "b": b})


def test_logic() -> None:
    nodes = [
        node("Greater", "a zero", "p"),
        node("IsNaN", "b", "q"),
        node("Or", "p q", "r"),
        node("Not", "r", "s"),
        node("And", "p s", "t"),
        node("Or", "t r", "y"),
    ]
    b = random(4, 4)
    b[1, 1] = np.nan
    check(
        model(nodes, {"a": [4, 4], "b": [4, 4]}, constants={"zero": np.float32(0)}, out_type="b"),
        {"a": random(4, 4, seed=1), "b": b},
    )


def test_where() -> None:
    nodes = [node("Greater", "a zero", "p"), node("Where", "p a b", "y")]
    check(model(nodes, {"a": [2, 3], "b": [3]}, constants={"zero": np.float32(0)}), {"a": random(2, 3), "b": random(3)})


@pytest.mark.parametrize("limits", ["low high", "low -", "- high", "- -"])
def test_clip(limits: str) -> None:
    constants = {"low": np.float32(-0.5), "high": np.float32(0.4)}
    check(model([node("Clip", f"x {limits}", "y")], {"x": [5, 5]}, constants=constants), {"x": random(5, 5)})


@pytest.mark.parametrize("op", ["Add", "Mul", "Div", "Mod"])
def test_integer_arithmetic(op: str) -> None:
    a, b = np.array([7, -7, 7, -7], np.int64), np.array([2, 2, -2, -2], np.int64)
    check(model([node(op, "a b", "y")], {"a": ("i64", [4]), "b": ("i64", [4])}, out_type="i64"), {"a": a, "b": b})


def test_cast() -> None:
    nodes = [node("Cast", "x", "i", to=7), node("Cast", "i", "b", to=9), node("Cast", "b", "y", to=1)]
    check(model(nodes, {"x": [3, 3]}), {"x": random(3, 3) * 2})


# ---------------------------------------------------------------- softmax before and since opset 13


@pytest.mark.parametrize("opset", [11, 12, 13, 17])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3])
def test_softmax(opset: int, axis: int | None) -> None:
    attributes = {} if axis is None else {"axis": axis}
    x = random(2, 3, 4) * 3
    check(model([node("Softmax", "x", "y", **attributes)], {"x": [2, 3, 4]}, opset=opset), {"x": x})


def test_old_softmax_with_symbolic_dimensions() -> None:
    check(model([node("Softmax", "x", "y", axis=1)], {"x": ["N", "C", 4]}, opset=11), {"x": random(2, 3, 4)})


# ---------------------------------------------------------------- products


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((4,), (4, 5)), ((3, 4), (4,))]
)
def test_matmul(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = random(*shapes[0]), random(*shapes[1], seed=1)
    check(model([node("MatMul", "a b", "y")], {"a": list(shapes[0]), "b": list(shapes[1])}), {"a": a, "b": b})
    check(model([node("MatMul", "a b", "y")], {"a": list(shapes[0])}, constants={"b": b}), {"a": a})


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,), (3, 1), (3, 5), ()])
def test_gemm_of_a_constant(trans_a: int, trans_b: int, bias: tuple[int, ...] | None) -> None:
    constants = {"b": random(*((5, 4) if trans_b else (4, 5)), seed=1)}
    if bias is not None:
        constants["c"] = random(*bias, seed=2)
    gemm = node(
        "Gemm", "a b c" if bias is not None else "a b", "y", transA=trans_a, transB=trans_b, alpha=0.5, beta=2.0
    )
    shape = [4, 3] if trans_a else [3, 4]
    graph = check(model([gemm], {"a": shape}, constants=constants), {"a": random(*shape)})
    assert ops(graph).count("MatMul") == 1
    assert "Mul" not in ops(graph), "factors go into constants"
    if bias in (None, (5,), (1, 5), (1,)):
        assert ops(graph) == (["Transpose", "MatMul"] if trans_a else ["MatMul"])


def test_gemm_of_activations() -> None:
    gemm = node("Gemm", "a b c", "y", transB=1, alpha=0.5, beta=2.0)
    check(
        model([gemm], {"a": ["N", 4], "b": [5, 4], "c": ["N", 5]}),
        {"a": random(3, 4), "b": random(5, 4, seed=1), "c": random(3, 5, seed=2)},
    )


# ---------------------------------------------------------------- norms and reductions


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalization(axis: int) -> None:
    shape = [4] if axis == -1 else [3, 4]
    constants = {"s": random(*shape, seed=1), "b": random(*shape, seed=2)}
    ln = node("LayerNormalization", "x s b", "y", axis=axis, epsilon=1e-4)
    check(model([ln], {"x": ["N", 3, 4]}, constants=constants), {"x": random(2, 3, 4)})


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax"])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axes", [None, [1], [-1, 0]])
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_reductions(op: str, keepdims: int, axes: list[int] | None, opset: int) -> None:
    as_input = axes is not None and opset >= (13 if op == "ReduceSum" else 18)
    attributes = {} if axes is None or as_input else {"axes": axes}
    constants = {"axes": np.array(axes, np.int64)} if as_input else {}
    reduce = node(op, "x axes" if as_input else "x", "y", keepdims=keepdims, **attributes)
    check(model([reduce], {"x": [2, 3, 4]}, constants=constants, opset=opset), {"x": random(2, 3, 4)})


def test_reduction_that_does_nothing() -> None:
    reduce = node("ReduceSum", "x", "y", noop_with_empty_axes=1)
    assert ops(check(model([reduce], {"x": [2, 3]}), {"x": random(2, 3)})) == ["Identity"]


@pytest.mark.parametrize("opset", [11, 14, 15])
def test_batch_normalization_alone(opset: int) -> None:
    constants = {"s": random(3), "b": random(3, seed=1), "m": random(3, seed=2), "v": np.abs(random(3, seed=3))}
    bn = node("BatchNormalization", "x s b m v", "y", epsilon=1e-3, momentum=0.8)
    check(model([bn], {"x": ["N", 3, 4, 5]}, constants=constants, opset=opset), {"x": random(2, 3, 4, 5)})


def test_dropout_is_nothing() -> None:
    nodes = [node("Dropout", "x ratio", "a"), node("Relu", "a", "y")]
    graph = check(model(nodes, {"x": [2, 3]}, constants={"ratio": np.float32(0.3)}), {"x": random(2, 3)})
    assert ops(graph) == ["Relu"]
