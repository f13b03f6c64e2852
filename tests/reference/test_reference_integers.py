"""Integer nodes, against FORMAT.md 5.2 written out one number at a time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cmf.encodings import Bitpacked, Codebook, Geometry, Quantized, Sparse, Tree
from cmf.errors import CmfError, GraphError, UnsupportedError
from cmf.ir.geometry import weight_geometry
from cmf.ir.graph import Activation, Affine, Graph, Node, Value
from cmf.reference import evaluate
from cmf.reference.integers import code_bounds, multiplier, quantize
from cmf.reference.weights import has_i8

Array = npt.NDArray[Any]
F = np.float32
SX, SY = Affine(0.043, 17), Affine(0.31, -9)
ACTIVATIONS = [None, Activation("relu"), Activation("clip", -3.0, 6.0)]


def rne(x: Any) -> int:
    """Rounds half to even, in exact arithmetic."""
    return round(float(x))


def clamp(x: int, low: int = -128, high: int = 127) -> int:
    return max(low, min(high, x))


def requantized(acc: int, sw: Any, activation: Activation | None) -> int:
    m = F(np.float64(F(SX.scale)) * np.float64(F(sw)) / np.float64(F(SY.scale)))
    low, high = -128, 127
    if activation is not None and activation.kind == "relu":
        low = SY.zero_point
    elif activation is not None:
        low = clamp(rne(F(activation.low) / F(SY.scale)) + SY.zero_point)
        high = clamp(rne(F(activation.high) / F(SY.scale)) + SY.zero_point)
    return clamp(rne(F(acc) * m) + SY.zero_point, low, high)


def trees(geometry: Geometry, rng: np.random.Generator) -> dict[str, tuple[Tree, Array, Array]]:
    """Trees with i8 codes; with each its codes [S, O, K] and scales [S, O] by the format's own words."""
    shape = geometry.shape
    channel = rng.uniform(0.01, 0.1, (*shape[:2], 1)).astype(F)
    codes8 = rng.integers(-128, 128, shape).astype(np.int8)
    codes4 = rng.integers(-8, 8, shape).astype(np.int8)
    table = rng.integers(-128, 128, (1, 16)).astype(np.int8)
    index = rng.integers(0, 16, shape).astype(np.uint8)
    mask = rng.random(shape) < 0.4
    ternary = rng.integers(-1, 2, shape).astype(np.int8)
    wide = np.broadcast_to(channel, (*shape[:2], 1))[..., 0]
    one = np.full((1, 1, 1), 0.02, F)
    all_one = np.full(shape[:2], F(0.02))
    return {
        "quantized8": (Quantized(geometry, codes8, channel), codes8, wide),
        "quantized4": (Quantized(geometry, codes4, channel, bits=4), codes4, wide),
        "quantized tensor": (Quantized(geometry, codes8, one), codes8, all_one),
        "codebook": (Codebook(geometry, index, table, scales=channel), table[0][index], wide),
        "ternary": (Bitpacked(geometry, ternary, one), ternary, all_one),
        "sparse": (Sparse(geometry, mask, Quantized(geometry, codes8, channel)), np.where(mask, codes8, 0), wide),
    }


NAMES = ["quantized8", "quantized4", "quantized tensor", "codebook", "ternary", "sparse"]


def one_node(node: Node, x: Value, y: Value, constants: list[Value]) -> Graph:
    graph = Graph(inputs=["x"], outputs=["y"], nodes=[node])
    graph.values = {value.name: value for value in (x, y, *constants)}
    return graph


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_static_mat_mul(name: str, activation: Activation | None) -> None:
    rng = np.random.default_rng(3)
    tree, codes, scales = trees(Geometry(1, 5, 40, 40), rng)[name]
    x = rng.integers(-128, 128, (3, 40)).astype(np.int8)
    bias = rng.integers(-3000, 3000, 5).astype(np.int32)
    graph = one_node(Node("MatMul", ["x", "w", "b"], ["y"], compute="int8_static", activation=activation),
                     Value("x", "i8", (3, 40), SX), Value("y", "i8", (3, 5), SY),
                     [Value("w", "f32", (40, 5), tree=tree), Value("b", "i32", (5,), data=bias)])
    y = evaluate(graph, {"x": x})["y"]
    for r, o in itertools.product(range(3), range(5)):
        acc = int(bias[o]) + sum(int(x[r, k]) * int(codes[0, o, k]) for k in range(40))
        assert y[r, o] == requantized(acc, scales[0, o], activation)


@pytest.mark.parametrize("group, outputs, inputs", [(1, 4, 3), (2, 4, 6), (6, 6, 6)])
@pytest.mark.parametrize("name", NAMES)
def test_static_conv_pads_with_the_zero_point(name: str, group: int, outputs: int, inputs: int) -> None:
    rng = np.random.default_rng(4)
    shape, options = (outputs, 3, 3, inputs // group), {"group": group, "pads": [1, 1, 1, 1], "strides": [2, 2]}
    tree, codes, scales = trees(weight_geometry("Conv", shape, options), rng)[name]
    weights, sw = codes.reshape(shape), scales.reshape(-1)
    x = rng.integers(-128, 128, (1, 5, 5, inputs)).astype(np.int8)
    bias = rng.integers(-3000, 3000, outputs).astype(np.int32)
    graph = one_node(Node("Conv", ["x", "w", "b"], ["y"], options, compute="int8_static"),
                     Value("x", "i8", x.shape, SX), Value("y", "i8", (1, 3, 3, outputs), SY),
                     [Value("w", "f32", shape, tree=tree), Value("b", "i32", (outputs,), data=bias)])
    y = evaluate(graph, {"x": x})["y"]
    per_group = inputs // group
    for i, j, o in itertools.product(range(3), range(3), range(outputs)):
        acc = int(bias[o])
        for a, b, c in itertools.product(range(3), range(3), range(per_group)):
            row, column = 2 * i + a - 1, 2 * j + b - 1
            inside = 0 <= row < 5 and 0 <= column < 5
            channel = o // (outputs // group) * per_group + c
            acc += int(weights[o, a, b, c]) * (int(x[0, row, column, channel]) if inside else SX.zero_point)
        assert y[0, i, j, o] == requantized(acc, sw[o], None)


@pytest.mark.parametrize("name", NAMES)
def test_dynamic_mat_mul(name: str) -> None:
    rng = np.random.default_rng(5)
    tree, codes, scales = trees(Geometry(1, 5, 33, 33), rng)[name]
    x = rng.normal(size=(4, 33)).astype(F)
    x[2] = 0
    bias = rng.normal(size=5).astype(F)
    graph = one_node(Node("MatMul", ["x", "w", "b"], ["y"], compute="int8_dynamic", activation=Activation("relu")),
                     Value("x", "f32", (4, 33)), Value("y", "f32", (4, 5)),
                     [Value("w", "f32", (33, 5), tree=tree), Value("b", "f32", (5,), data=bias)])
    y = evaluate(graph, {"x": x})["y"]
    for r, o in itertools.product(range(4), range(5)):
        s = F(np.abs(x[r]).max() / F(127))
        q = [0 if s == 0 else rne(v / s) for v in x[r]]
        acc = sum(a * int(b) for a, b in zip(q, codes[0, o], strict=True))
        assert y[r, o] == max(F(0), F(F(F(acc) * F(s * scales[0, o])) + bias[o]))


def test_dynamic_conv_has_one_scale_for_each_image() -> None:
    rng = np.random.default_rng(6)
    shape = (4, 1, 1, 8)
    tree, codes, scales = trees(weight_geometry("Conv", shape), rng)["quantized8"]
    x = rng.normal(size=(2, 2, 2, 8)).astype(F) * np.array([1, 100], F).reshape(2, 1, 1, 1)
    graph = one_node(Node("Conv", ["x", "w"], ["y"], compute="int8_dynamic"), Value("x", "f32", x.shape),
                     Value("y", "f32", (2, 2, 2, 4)), [Value("w", "f32", shape, tree=tree)])
    y = evaluate(graph, {"x": x})["y"]
    for n in range(2):
        s = F(np.abs(x[n]).max() / F(127))
        q = np.rint(x[n] / s).astype(int)
        expected = (q @ codes[0].T.astype(int)).astype(F) * (s * scales[0])
        np.testing.assert_array_equal(y[n], expected)


@pytest.mark.parametrize("op", ["Add", "Mul", "Sub"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_static_elementwise(op: str, activation: Activation | None) -> None:
    rng = np.random.default_rng(7)
    a, b = (rng.integers(-128, 128, 200).astype(np.int8) for _ in range(2))
    sb = Affine(0.11, -40)
    graph = one_node(Node(op, ["x", "b"], ["y"], compute="int8_static", activation=activation),
                     Value("x", "i8", (200,), SX), Value("y", "i8", (200,), SY), [Value("b", "i8", (200,), sb)])
    graph.inputs.append("b")
    y = evaluate(graph, {"x": a, "b": b})["y"]
    for p, q, found in zip(a, b, y, strict=True):
        u = F(SX.scale) * F(int(p) - SX.zero_point)
        v = F(sb.scale) * F(int(q) - sb.zero_point)
        r = {"Add": u + v, "Sub": u - v, "Mul": u * v}[op]
        if activation is not None:
            r = max(r, F(0 if activation.kind == "relu" else activation.low))
            r = min(r, F(activation.high))
        assert found == clamp(rne(F(r) / F(SY.scale)) + SY.zero_point)


@pytest.mark.parametrize("op, options", [
    ("GlobalAveragePool", {}), ("AveragePool", {"kernel": [2, 2], "strides": [1, 1], "pads": [1, 0, 0, 1]}),
    ("AveragePool", {"kernel": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": True}),
])
def test_static_averages(op: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(8)
    x = rng.integers(-128, 128, (1, 3, 4, 2)).astype(np.int8)
    graph = one_node(Node(op, ["x"], ["y"], options, compute="int8_static"), Value("x", "i8", x.shape, SX),
                     Value("y", "i8", None, SY), [])
    y = evaluate(graph, {"x": x})["y"]
    top, left = options.get("pads", (0, 0))[:2]
    kh, kw = options.get("kernel", (3, 4))
    for i, j, c in itertools.product(range(y.shape[1]), range(y.shape[2]), range(2)):
        acc = n = 0
        for a, b in itertools.product(range(kh), range(kw)):
            row, column = i + a - top, j + b - left
            inside = 0 <= row < 3 and 0 <= column < 4
            acc += int(x[0, row, column, c]) - SX.zero_point if inside else 0
            n += inside or options.get("count_include_pad", False)
        m = F(np.float64(F(SX.scale)) / (np.float64(F(SY.scale)) * n))
        assert y[0, i, j, c] == clamp(rne(F(acc) * m) + SY.zero_point)


@pytest.mark.parametrize("op, options", [("MaxPool", {"kernel": [2, 2], "pads": [1, 1, 0, 0]}),
                                         ("Transpose", {"perm": [0, 3, 1, 2]})])
def test_movers_move_codes(op: str, options: dict[str, Any]) -> None:
    x = np.random.default_rng(9).integers(-128, 128, (1, 4, 4, 3)).astype(np.int8)
    def run(affine: Affine) -> Array:
        return evaluate(one_node(Node(op, ["x"], ["y"], options, compute="int8_static"), Value("x", "i8", x.shape, SX),
                                 Value("y", "i8", None, affine), []), {"x": x})["y"]
    same, other = run(SX), run(SY)
    expected = (F(SX.scale) * (same.astype(np.int32) - SX.zero_point).astype(F)) / F(SY.scale)
    np.testing.assert_array_equal(other, np.clip(np.rint(expected) + SY.zero_point, -128, 127))
    assert set(np.unique(same)) <= set(np.unique(x))


def test_quantize_and_dequantize_nodes() -> None:
    half = Affine(0.5, 17)
    x = np.array([-1e9, -0.25, 0.25, 0.75, 1, 1e9, np.inf], F)
    graph = one_node(Node("QuantizeLinear", ["x"], ["y"]), Value("x", "f32", (7,)), Value("y", "i8", (7,), half), [])
    q = evaluate(graph, {"x": x})["y"]
    np.testing.assert_array_equal(q, [-128, 17, 17, 19, 19, 127, 127])  # -0.5 and 0.5 go to 0, 1.5 to 2
    graph = one_node(Node("DequantizeLinear", ["x"], ["y"]), Value("x", "i8", (7,), half), Value("y"), [])
    np.testing.assert_array_equal(evaluate(graph, {"x": q})["y"], F(0.5) * (q.astype(F) - 17))


def test_every_code_survives_a_round_trip() -> None:
    codes = np.arange(-128, 128).astype(np.int8)
    for scale in (1e-6, 0.0123456, 3.7, 1e5):
        for zero in (-128, -3, 0, 127):
            real = F(scale) * (codes.astype(np.int32) - zero).astype(F)
            np.testing.assert_array_equal(quantize(real, Affine(scale, zero)), codes)


def test_bounds_of_activations() -> None:
    assert code_bounds(None, SY) == (-128, 127)
    assert code_bounds(Activation("relu"), SY) == (-9, 127)
    assert code_bounds(Activation("clip", 0, 6), SY) == (-9, -9 + round(6 / 0.31))
    assert code_bounds(Activation("clip", -1e30, 1e30), SY) == (-128, 127)


def test_multiplier_is_rounded_once() -> None:
    sw = np.array([0.1, 1e-20], F)
    expected = [F(np.float64(F(0.3)) * np.float64(s) / np.float64(F(0.7))) for s in sw]
    np.testing.assert_array_equal(multiplier(0.3, sw, 0.7), expected)


def test_what_integer_nodes_cannot_do() -> None:
    geometry = Geometry(1, 4, 64, 64)
    codes = np.zeros(geometry.shape, np.int8)
    grouped = Quantized(geometry, codes, np.ones((1, 4, 2), F), group=32)
    assert not has_i8(grouped)
    assert not has_i8(Quantized(geometry, codes, np.ones((1, 4, 1), F), zeros=np.ones((1, 4, 1), np.int8)))
    values = [Value("w", "f32", (64, 4), tree=grouped)]
    x, y = Value("x", "i8", (1, 64), SX), Value("y", "i8", (1, 4), SY)
    with pytest.raises(GraphError, match="gives no i8 codes"):
        evaluate(one_node(Node("MatMul", ["x", "w"], ["y"], compute="int8_static"), x, y, values),
                 {"x": np.zeros((1, 64), np.int8)})
    node = Node("MatMul", ["x", "w"], ["y"], compute="int8_static", requantize="tflite_q31")
    with pytest.raises(UnsupportedError, match="tflite_q31"):
        evaluate(one_node(node, x, y, values), {"x": np.zeros((1, 64), np.int8)})
    with pytest.raises(CmfError, match="int8_dynamic is for Conv and MatMul"):
        evaluate(one_node(Node("Relu", ["x"], ["y"], compute="int8_dynamic"), Value("x", "f32", (1,)), Value("y"), []),
                 {"x": np.zeros(1, F)})
