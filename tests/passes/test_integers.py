"""QDQ networks run as integers. Scales are powers of two, so that every rounding is the same whoever computes it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from onnx_models import check, model, node, ops, random

from cmf.encodings import Quantized
from cmf.errors import UnsupportedError
from cmf.frontend import load
from cmf.ir.graph import Activation, Affine, Graph
from cmf.passes.pipeline import lower


class Qdq:
    """Builds QDQ models: ``q`` quantizes, ``dq`` dequantizes, ``weight`` is a dequantized constant."""

    def __init__(self, dtype: Any = np.uint8) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def parameters(self, name: str, scale: float, zero: int) -> str:
        self.constants[f"{name}_s"] = np.float32(scale)
        self.constants[f"{name}_z"] = self.dtype(zero)
        return f"{name}_s {name}_z"

    def pair(self, name: str, scale: float, zero: int, source: str | None = None) -> str:
        """name (or source) -> QuantizeLinear -> DequantizeLinear; returns the result's name."""
        parameters = self.parameters(name, scale, zero)
        self.nodes.append(node("QuantizeLinear", f"{source or name} {parameters}", f"{name}_q"))
        self.nodes.append(node("DequantizeLinear", f"{name}_q {parameters}", f"{name}_d"))
        return f"{name}_d"

    def weight(self, name: str, codes: Any, scale: Any, axis: int = 0) -> str:
        self.constants[f"{name}_w"] = codes
        self.constants[f"{name}_ws"] = np.asarray(scale, np.float32)
        self.constants[f"{name}_wz"] = np.zeros(np.shape(scale), codes.dtype)
        self.nodes.append(node("DequantizeLinear", f"{name}_w {name}_ws {name}_wz", f"{name}_wd", axis=axis))
        return f"{name}_wd"

    def op(self, op: str, inputs: str, output: str, **attributes: Any) -> str:
        self.nodes.append(node(op, inputs, output, **attributes))
        return output

    def build(self, inputs: dict[str, Any], outputs: str) -> Any:
        return model(self.nodes, inputs, outputs, self.constants, opset=17)


def codes(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8)


def powers(n: int, seed: int = 0) -> Any:
    return np.float32(2.0) ** np.random.default_rng(seed).integers(-8, -5, n)


def computes(graph: Graph) -> Counter[str]:
    return Counter(n.compute for n in graph.nodes)


def biases(g: Qdq, name: str, unit: Any, seed: int = 1) -> str:
    """A bias as quantizers write it: i32 with scale input times weight."""
    g.constants[f"{name}_b"] = np.random.default_rng(seed).integers(-3000, 3000, np.shape(unit)).astype(np.int32)
    g.constants[f"{name}_bs"] = np.asarray(unit, np.float32)
    g.constants[f"{name}_bz"] = np.zeros(np.shape(unit), np.int32)
    g.nodes.append(node("DequantizeLinear", f"{name}_b {name}_bs {name}_bz", f"{name}_bd", axis=0))
    return f"{name}_bd"


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("bias", ["none", "i32", "f32"])
@pytest.mark.parametrize("relu", [False, True])
def test_conv_runs_as_integers(dtype: Any, group: int, bias: str, relu: bool) -> None:
    g = Qdq(dtype)
    zero = 120 if dtype is np.uint8 else -7
    source = g.pair("x", 2**-4, zero)
    scales = powers(8)
    names = f"{source} {g.weight('c', codes(8, 4 // group, 3, 3), scales)}"
    if bias == "i32":
        names += " " + biases(g, "c", scales * np.float32(2**-4))
    elif bias == "f32":
        g.constants["b"] = np.round(random(8) * 1000).astype(np.float32) * np.float32(2**-10)
        names += " b"
    out = g.op("Conv", names, "a", group=group, pads=[1, 0, 1, 1], strides=[1, 2])
    if relu:
        out = g.op("Relu", out, "r")
    g.pair("y", 2**-3, 100 if dtype is np.uint8 else 3, out)
    graph = check(g.build({"x": ["N", 4, 6, 5]}, "y_d"), {"x": random(2, 4, 6, 5) * 4})
    assert ops(graph) == ["QuantizeLinear", "Transpose", "Conv", "Transpose", "DequantizeLinear"]
    conv = graph.nodes[2]
    assert conv.compute == "int8_static"
    assert conv.activation == (Activation("relu") if relu else None)
    assert graph.value(conv.inputs[0]).affine == Affine(2**-4, zero - (128 if dtype is np.uint8 else 0))
    assert graph.value(conv.inputs[2]).dtype == "i32"
    tree = graph.value(conv.inputs[1]).tree
    assert isinstance(tree, Quantized) and tree.bits == 8
    assert {graph.value(n).dtype for n in (*graph.inputs, *graph.outputs)} == {"f32"}, "the interface stays float"


def test_the_bias_holds_the_zero_point_s_share() -> None:
    g = Qdq()
    w = codes(5, 3, seed=3)
    g.nodes, unit = [], np.full(3, 2**-9, np.float32)
    names = f"{g.pair('x', 2**-4, 100)} {g.weight('c', w, np.full(3, 2**-5), axis=1)} {biases(g, 'c', unit)}"
    g.pair("y", 2**-2, 128, g.op("Gemm", names, "a"))
    graph = check(g.build({"x": ["N", 5]}, "y_d"), {"x": random(7, 5)})
    product = next(n for n in graph.nodes if n.op == "MatMul")
    bias = graph.value(product.inputs[2]).data
    assert bias is not None
    assert np.array_equal(bias, g.constants["c_b"] - (100 - 128) * w.astype(np.int32).sum(0))


@pytest.mark.parametrize("op", ["Add", "Mul", "Sub"])
def test_two_inputs(op: str) -> None:
    g = Qdq()
    out = g.op(op, f"{g.pair('a', 2**-4, 128)} {g.pair('b', 2**-3, 90)}", "c")
    g.pair("y", 2**-2, 120, out)
    graph = check(g.build({"a": [3, 4], "b": [3, 4]}, "y_d"), {"a": random(3, 4) * 3, "b": random(3, 4, seed=1) * 5})
    assert ops(graph) == ["QuantizeLinear", "QuantizeLinear", op, "DequantizeLinear"]
    assert computes(graph)["int8_static"] == 1


@pytest.mark.parametrize("case", ["MaxPool", "Flatten", "Transpose", "Slice"])
def test_what_moves_codes_needs_no_conversion(case: str) -> None:
    g = Qdq()
    names = {
        "MaxPool": lambda s: g.op("MaxPool", s, "m", kernel_shape=[2, 2]),
        "Flatten": lambda s: g.op("Flatten", s, "m"),
        "Transpose": lambda s: g.op("Transpose", s, "m", perm=[0, 2, 3, 1]),
        "Slice": lambda s: g.op("Slice", f"{s} from to", "m"),
    }
    g.constants.update({"from": np.array([1], np.int64), "to": np.array([2], np.int64)})
    g.pair("y", 2**-4, 100, names[case](g.pair("x", 2**-4, 100)))
    graph = check(g.build({"x": [3, 4, 6, 6]}, "y_d"), {"x": random(3, 4, 6, 6)})
    assert set(ops(graph)) <= {"QuantizeLinear", "MaxPool", "Transpose", "Reshape", "Slice", "DequantizeLinear"}
    assert ops(graph).count("QuantizeLinear") == ops(graph).count("DequantizeLinear") == 1


@pytest.mark.parametrize("same", [True, False])
def test_concat(same: bool) -> None:
    g = Qdq()
    out = g.op("Concat", f"{g.pair('a', 2**-4, 100)} {g.pair('b', 2**-4 if same else 2**-3, 100)}", "c", axis=1)
    g.pair("y", 2**-4, 100, out)
    graph = check(g.build({"a": [2, 3], "b": [2, 4]}, "y_d"), {"a": random(2, 3) * 3, "b": random(2, 4, seed=1) * 3})
    assert ops(graph) == ["QuantizeLinear", "QuantizeLinear", "Concat", "DequantizeLinear"]


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize(mode: str) -> None:
    g = Qdq()
    g.constants["f"] = np.array([1, 1, 2, 2], np.float32)
    g.pair("y", 2**-5, 128, g.op("Resize", f"{g.pair('x', 2**-4, 100)} - f", "p", mode=mode))
    graph = check(g.build({"x": [2, 3, 4, 4]}, "y_d"), {"x": random(2, 3, 4, 4)})
    assert next(n for n in graph.nodes if n.op == "Resize").compute == "int8_static"


@pytest.mark.parametrize("op", ["Relu", "Sigmoid", "HardSwish", "Clip", "Softmax", "ReduceMean"])
def test_one_input(op: str) -> None:
    g = Qdq()
    g.constants.update({"low": np.float32(-0.5), "high": np.float32(0.75)})
    attributes = {"axes": [1], "keepdims": 0} if op == "ReduceMean" else {}
    out = g.op(op, g.pair("x", 2**-4, 100) + (" low high" if op == "Clip" else ""), "a", **attributes)
    g.pair("y", 2**-7, 90, out)
    graph = check(g.build({"x": [4, 6]}, "y_d"), {"x": random(4, 6)})
    assert next(n for n in graph.nodes if n.op == op).compute == "int8_static"


@pytest.mark.parametrize("op", ["GlobalAveragePool", "AveragePool"])
def test_average_pools(op: str) -> None:
    g = Qdq()
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]} if op == "AveragePool" else {}
    g.pair("y", 2**-5, 128, g.op(op, g.pair("x", 2**-4, 100), "p", **attributes))
    graph = check(g.build({"x": [2, 3, 4, 4]}, "y_d"), {"x": random(2, 3, 4, 4)})
    assert next(n for n in graph.nodes if n.op == op).compute == "int8_static"


def test_a_whole_network_keeps_only_the_interface_s_conversions() -> None:
    """Convolution, residual addition, pooling, flatten, dense: everything between two conversions is integers."""
    g = Qdq()
    x = g.pair("x", 2**-4, 128)
    a = g.pair(
        "a", 2**-3, 128, g.op("Conv", f"{x} {g.weight('c1', codes(4, 4, 3, 3), powers(4))}", "c", pads=[1, 1, 1, 1])
    )
    s = g.pair("s", 2**-2, 120, g.op("Add", f"{a} {x}", "add"))
    p = g.pair("p", 2**-2, 120, g.op("MaxPool", s, "pool", kernel_shape=[2, 2], strides=[2, 2]))
    f = g.pair("f", 2**-2, 120, g.op("Flatten", p, "flat"))
    g.pair(
        "y", 2**-1, 128, g.op("Gemm", f"{f} {g.weight('d', codes(10, 36, seed=5), powers(10), axis=0)}", "fc", transB=1)
    )
    graph = check(g.build({"x": ["N", 4, 6, 6]}, "y_d"), {"x": random(3, 4, 6, 6) * 3})
    assert ops(graph) == [
        "QuantizeLinear",
        "Transpose",
        "Conv",
        "Add",
        "MaxPool",
        "Reshape",
        "MatMul",
        "DequantizeLinear",
    ]
    assert computes(graph) == {"f32": 2, "int8_static": 6}


def test_what_cannot_be_turned_stays_float_and_right() -> None:
    """Float weights between integers; an operator whose float result is read too; another scale for each channel."""
    g = Qdq()
    g.constants["w"] = random(4, 4, 1, 1)
    g.pair("y", 2**-4, 128, g.op("Conv", f"{g.pair('x', 2**-4, 128)} w", "a"))
    graph = lower(load(g.build({"x": ["N", 4, 3, 3]}, "y_d")))
    assert Counter(ops(graph))["DequantizeLinear"] == 2
    assert all(n.compute == "f32" for n in graph.nodes if n.op == "Conv")

    g = Qdq()
    out = g.op("Add", f"{g.pair('a', 2**-4, 128)} {g.pair('b', 2**-4, 128)}", "c")
    g.pair("y", 2**-4, 128, out)
    graph = check(g.build({"a": [3], "b": [3]}, "y_d c"), {"a": random(3), "b": random(3, seed=1)})
    assert all(n.compute == "f32" for n in graph.nodes if n.op == "Add")


def test_requantization_of_a_pair_is_kept() -> None:
    """Two pairs of different scales in a row are two roundings; of the same scale one."""
    g = Qdq()
    g.pair("y", 2**-2, 100, g.pair("x", 2**-4, 128))
    graph = check(g.build({"x": [40]}, "y_d"), {"x": random(40) * 5})
    assert ops(graph) == ["QuantizeLinear", "DequantizeLinear"] * 2
    g = Qdq()
    g.pair("y", 2**-4, 128, g.pair("x", 2**-4, 128))
    assert ops(check(g.build({"x": [40]}, "y_d"), {"x": random(40) * 5})) == ["QuantizeLinear", "DequantizeLinear"]


def test_integer_inputs_of_the_model() -> None:
    """u8 pixels as input: (x - zero) * scale in f32."""
    g = Qdq()
    g.nodes.append(node("DequantizeLinear", f"x {g.parameters('x', 2**-7, 128)}", "d"))
    g.op("Relu", "d", "y")
    proto = g.build({"x": ("u8", [2, 3])}, "y")
    graph = check(proto, {"x": np.array([[0, 1, 128], [129, 200, 255]], np.uint8)})
    assert graph.value("x").dtype == "u8"


# ---------------------------------------------------------------- weights


def weights(graph: Graph) -> list[Quantized]:
    found = [v.tree for v in graph.values.values() if v.tree is not None]
    assert all(isinstance(t, Quantized) for t in found)
    return [t for t in found if isinstance(t, Quantized)]


@pytest.mark.parametrize("form", ["dequantize", "cast"])
@pytest.mark.parametrize("scale", ["tensor", "channel"])
def test_dequantized_weights_become_quantized_trees(form: str, scale: str) -> None:
    g, q = Qdq(), codes(6, 5)
    scales = np.float32(0.013) if scale == "tensor" else np.abs(random(5)) + np.float32(0.1)
    if form == "dequantize":
        g.weight("m", q, scales, axis=1)
    else:
        g.constants.update({"q": q, "s": np.asarray(scales).reshape(1, -1)})
        g.nodes += [node("Cast", "q", "f", to=1), node("Mul", "s f", "m_wd")]
    g.op("MatMul", "x m_wd", "y")
    graph = check(g.build({"x": ["N", 6]}, "y"), {"x": random(3, 6)})
    (tree,) = weights(graph)
    assert np.array_equal(tree.codes[0], q.T)
    assert tree.scales.shape == ((1, 1, 1) if scale == "tensor" else (1, 5, 1))
    assert np.array_equal(tree.scales.reshape(-1), np.asarray(scales, np.float32).reshape(-1))
    assert tree.zeros is None


@pytest.mark.parametrize(("dtype", "zero"), [(np.uint8, 131), (np.uint8, 128), (np.int8, 3), (np.int8, 0)])
@pytest.mark.parametrize("form", ["dequantize", "cast"])
def test_zero_points_of_weights(dtype: Any, zero: int, form: str) -> None:
    g = Qdq()
    q = np.random.default_rng(0).integers(0, 120, (6, 5)).astype(dtype)
    g.constants.update({"q": q, "s": np.float32(0.02), "z": dtype(zero), "zf": np.float32(zero)})
    if form == "dequantize":
        g.nodes.append(node("DequantizeLinear", "q s z", "w"))
    else:
        g.nodes += [node("Cast", "q", "f", to=1), node("Sub", "f zf", "g"), node("Mul", "g s", "w")]
    g.op("MatMul", "x w", "y")
    graph = check(g.build({"x": ["N", 6]}, "y"), {"x": random(3, 6)})
    (tree,) = weights(graph)
    shift = 128 if dtype is np.uint8 else 0
    assert (0 if tree.zeros is None else int(tree.zeros.reshape(-1)[0])) == zero - shift
    assert np.array_equal(tree.decode()[0].T, np.float32(0.02) * (q.astype(np.float32) - np.float32(zero)))


@pytest.mark.parametrize(
    "low_high", [(-1, 1, 1), (-2, 2, 2), (-4, 4, 3), (-8, 8, 4), (-16, 16, 5), (-32, 32, 6), (-33, 32, 8)]
)
def test_the_narrowest_width_that_holds_the_codes(low_high: tuple[int, int, int]) -> None:
    low, high, bits = low_high
    high = 1 if bits == 1 else high
    q = np.random.default_rng(0).integers(low, high, (8, 8)).astype(np.int8)
    q.flat[:2] = low, high - 1
    g = Qdq()
    g.op("MatMul", f"x {g.weight('m', q, np.float32(0.5))}", "y")
    (tree,) = weights(check(g.build({"x": ["N", 8]}, "y"), {"x": random(3, 8)}))
    assert tree.bits == bits


def test_an_embedding_of_integers() -> None:
    g, q = Qdq(), codes(10, 4)
    g.constants.update({"q": q, "s": np.abs(random(10, 1))})
    g.nodes += [node("Cast", "q", "f", to=1), node("Mul", "f s", "w"), node("Gather", "w x", "y")]
    graph = check(g.build({"x": ("i64", ["N", 3])}, "y"), {"x": np.array([[0, 9, 3], [1, 1, 2]], np.int64)})
    (tree,) = weights(graph)
    assert tree.geometry.shape == (1, 10, 4)


def test_convolution_weights_are_permuted_as_integers() -> None:
    g, q = Qdq(), codes(6, 3, 3, 2)
    g.op("Conv", f"x {g.weight('c', q, np.abs(random(6)) + 0.1)}", "y")
    (tree,) = weights(check(g.build({"x": ["N", 3, 5, 5]}, "y"), {"x": random(2, 3, 5, 5)}))
    assert np.array_equal(tree.codes.reshape(6, 3, 2, 3), q.transpose(0, 2, 3, 1))


def test_a_scale_for_each_input_stays_exact_as_floats() -> None:
    g, q = Qdq(), codes(6, 5)
    g.op("MatMul", f"x {g.weight('m', q, np.abs(random(6)) + 0.1, axis=0)}", "y")
    graph = check(g.build({"x": ["N", 6]}, "y"), {"x": random(3, 6)})
    assert not weights(graph)
    assert ops(graph) == ["MatMul"]


def test_conversions_that_are_not_supported() -> None:
    """A scale for each channel of an activation; u8 as the model's output."""
    for name, dtype in (("channel", np.int8), ("output", np.uint8)):
        g = Qdq(dtype)
        g.constants.update({"s": np.float32([0.5, 0.25]) if name == "channel" else np.float32(0.5)})
        g.constants["z"] = np.zeros(np.shape(g.constants["s"]), dtype)
        g.nodes.append(node("QuantizeLinear", "x s z", "q", axis=1))
        g.nodes.append(node("DequantizeLinear", "q s z", "y", axis=1))
        proto = g.build({"x": [3, 2]}, "y" if name == "channel" else "y q")
        with pytest.raises(
            UnsupportedError, match="QuantizeLinear node 'QuantizeLinear_q': is supported with a constant"
        ):
            lower(load(proto))


def test_a_convolution_s_weight_must_be_constant() -> None:
    with pytest.raises(UnsupportedError, match="Conv node 'Conv_y': the weight 'w.*' must be a constant"):
        lower(load(model([node("Conv", "x w", "y")], {"x": [1, 2, 3, 3], "w": [4, 2, 1, 1]})))
