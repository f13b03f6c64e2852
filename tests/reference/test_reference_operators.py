"""Every operator of the evaluator against ONNX's own reference, channels first and last."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cmf.reference.ops
from cmf.errors import GraphError, ShapeError, UnsupportedError
from cmf.ir.graph import NUMPY_DTYPES, Graph, Node, Value
from cmf.ir.ops import OPS
from cmf.reference import evaluate, evaluate_node
from cmf.reference.registry import module_name, operator

Array = npt.NDArray[Any]
NAMES = {np.dtype(numpy): name for name, numpy in NUMPY_DTYPES.items() if name != "bf16"}
RNG = np.random.default_rng(1)


def graph_of(op: str, arrays: list[Array | None], options: dict[str, Any], out: str, layout: str) -> Graph:
    graph = Graph(layout=layout)
    names = []
    for index, array in enumerate(arrays):
        names.append("" if array is None else f"x{index}")
        if array is not None:
            graph.values[f"x{index}"] = Value(f"x{index}", NAMES[array.dtype], array.shape)
            graph.inputs.append(f"x{index}")
    graph.values["y"] = Value("y", out)
    graph.nodes = [Node(op, names, ["y"], options, op)]
    graph.outputs = ["y"]
    return graph


def ours(op: str, arrays: list[Array | None], options: dict[str, Any] | None = None, out: str = "f32",
         layout: str = "channels_first") -> Array:
    graph = graph_of(op, arrays, options or {}, out, layout)
    return evaluate(graph, {f"x{i}": a for i, a in enumerate(arrays) if a is not None})["y"]


def onnx_says(op: str, arrays: list[Array | None], attributes: dict[str, Any] | None = None, opset: int = 21) -> Array:
    helper = pytest.importorskip("onnx").helper
    from onnx.reference import ReferenceEvaluator

    names = ["" if a is None else f"x{i}" for i, a in enumerate(arrays)]
    node = helper.make_node(op, names, ["y"], **(attributes or {}))
    inputs = [helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
              for i, a in enumerate(arrays) if a is not None]
    graph = helper.make_graph([node], "t", inputs, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    result = ReferenceEvaluator(model).run(None, {f"x{i}": a for i, a in enumerate(arrays) if a is not None})[0]
    return np.asarray(result)


def agree(mine: Array, theirs: Array, tolerance: float = 2e-6) -> None:
    assert mine.dtype == theirs.dtype
    assert mine.shape == theirs.shape
    if mine.dtype.kind != "f":
        np.testing.assert_array_equal(mine, theirs)
    else:
        scale = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=1e-6))
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * scale)


def floats(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


# ---------------------------------------------------------------- all operators are there


def test_every_operator_of_the_schema_has_a_file_and_no_file_is_left_over() -> None:
    files = {module.name for module in pkgutil.iter_modules(cmf.reference.ops.__path__)}
    assert files == {module_name(op) for op in OPS}
    for op in OPS:
        assert callable(operator(op).run)


def test_unknown_operator() -> None:
    with pytest.raises(UnsupportedError, match="no operator 'Nonsense'"):
        operator("Nonsense")


# ---------------------------------------------------------------- elementwise

UNARY = ["Relu", "Sigmoid", "Tanh", "Erf", "HardSwish", "Exp", "Abs", "Neg", "Reciprocal", "Floor", "Ceil", "Identity"]


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    x = floats(3, 4, 5) * 3
    agree(ours(op, [x]), onnx_says(op, [x]))


@pytest.mark.parametrize("op", ["Sqrt", "Log"])
def test_unary_of_positive_numbers(op: str) -> None:
    x = np.abs(floats(7, 3)) + np.float32(0.1)
    agree(ours(op, [x]), onnx_says(op, [x]))


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
def test_binary_broadcasts(op: str) -> None:
    a, b = floats(2, 1, 4), floats(3, 1) + np.float32(3)
    agree(ours(op, [a, b]), onnx_says(op, [a, b]))


def test_powers() -> None:
    a, b = np.abs(floats(3, 4)), floats(4)
    agree(ours("Pow", [a, b]), onnx_says("Pow", [a, b]))
    agree(ours("Pow", [a, np.array(2, np.int64)]), a * a)


def test_integer_division_cuts_and_mod_follows_the_divisor() -> None:
    a, b = np.array([7, -7, 7, -7], np.int64), np.array([2, 2, -2, -2], np.int64)
    np.testing.assert_array_equal(ours("Div", [a, b], out="i64"), [3, -3, -3, 3])
    agree(ours("Mod", [a, b], out="i64"), onnx_says("Mod", [a, b]))
    x, y = floats(5) * 4, floats(5)
    agree(ours("Mod", [x, y]), onnx_says("Mod", [x, y], {"fmod": 1}))
    with pytest.raises(ShapeError, match="divided by zero"):
        ours("Div", [a, a * 0], out="i64")


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons(op: str) -> None:
    a, b = RNG.integers(0, 3, (4, 5)), RNG.integers(0, 3, 5)
    agree(ours(op, [a, b], out="boolean"), onnx_says(op, [a, b]))


def test_logic_and_where() -> None:
    a, b = RNG.random((4, 5)) > 0.5, RNG.random((4, 5)) > 0.5
    for op in ("And", "Or"):
        agree(ours(op, [a, b], out="boolean"), onnx_says(op, [a, b]))
    agree(ours("Not", [a], out="boolean"), ~a)
    x = floats(4, 5)
    agree(ours("Where", [a, x, x[0]]), onnx_says("Where", [a, x, x[0]]))
    x[0, 0] = np.nan
    agree(ours("IsNaN", [x], out="boolean"), np.isnan(x))


def test_activations_with_options() -> None:
    x = floats(50) * 4
    agree(ours("LeakyRelu", [x], {"alpha": 0.1}), onnx_says("LeakyRelu", [x], {"alpha": 0.1}))
    options = {"alpha": 0.3, "beta": 0.4}
    agree(ours("HardSigmoid", [x], options), onnx_says("HardSigmoid", [x], options))
    agree(ours("Gelu", [x]), onnx_says("Gelu", [x]))
    agree(ours("Gelu", [x], {"tanh": True}), onnx_says("Gelu", [x], {"approximate": "tanh"}))
    low, high = np.array(-1, np.float32), np.array(2, np.float32)
    agree(ours("Clip", [x, low, high]), np.clip(x, -1, 2))
    agree(ours("Clip", [x, None, high]), np.minimum(x, 2))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_and_layer_normalization(axis: int) -> None:
    x = floats(3, 4, 5) * 5
    agree(ours("Softmax", [x], {"axis": axis}), onnx_says("Softmax", [x], {"axis": axis}))
    scale, bias = floats(*x.shape[axis:]), floats(*x.shape[axis:])
    agree(ours("LayerNormalization", [x, scale, bias], {"axis": axis}),
          onnx_says("LayerNormalization", [x, scale, bias], {"axis": axis}), 1e-5)


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax"])
@pytest.mark.parametrize("keepdims", [True, False])
def test_reductions(op: str, keepdims: bool) -> None:
    x = floats(3, 4, 5)
    mine = ours(op, [x], {"axes": [0, -1], "keepdims": keepdims})
    agree(mine, onnx_says(op, [x, np.array([0, -1])], {"keepdims": int(keepdims)}))


# ---------------------------------------------------------------- movers and shapes


def test_concat_transpose_expand_shape() -> None:
    a, b = floats(2, 3), floats(2, 5)
    agree(ours("Concat", [a, b], {"axis": 1}), np.concatenate([a, b], 1))
    x = floats(2, 3, 4)
    agree(ours("Transpose", [x], {"perm": [2, 0, 1]}), x.transpose(2, 0, 1))
    agree(ours("Expand", [a, np.array([4, 2, 1])]), onnx_says("Expand", [a, np.array([4, 2, 1])]))
    agree(ours("Shape", [x], {"start": -2}, out="i64"), np.array([3, 4]))
    agree(ours("Shape", [x], {"end": 1}, out="i64"), np.array([2]))


@pytest.mark.parametrize("starts, ends, axes, steps", [
    ([1, 0], [3, 4], [0, 1], [1, 2]), ([-3], [2**40], [1], [1]), ([5], [-(2**40)], [1], [-2]), ([10], [0], [0], [-1]),
    ([-2], [-100], [1], [-1]), ([3], [1], [0], [1]),
])
def test_slice(starts: list[int], ends: list[int], axes: list[int], steps: list[int]) -> None:
    x = floats(4, 6)
    index = [x, *(np.array(v, np.int64) for v in (starts, ends, axes, steps))]
    agree(ours("Slice", index), onnx_says("Slice", index))


def test_reshape_keeps_and_infers() -> None:
    x = floats(2, 3, 4)
    assert ours("Reshape", [x, np.array([0, -1])]).shape == (2, 12)
    with pytest.raises(ShapeError, match="Reshape node"):
        ours("Reshape", [x, np.array([5, -1])])


def test_gather_counts_from_the_end_and_refuses_what_is_outside() -> None:
    x, i = floats(4, 5), np.array([[0, -1], [2, 3]])
    agree(ours("Gather", [x, i]), onnx_says("Gather", [x, i]))
    agree(ours("Gather", [x, i], {"axis": 1}), onnx_says("Gather", [x, i], {"axis": 1}))
    for wrong in (4, -5):
        with pytest.raises(ShapeError, match="index is outside"):
            ours("Gather", [x, np.array([wrong])])
    agree(ours("GatherND", [x, np.array([[0, 1], [-1, 2]])]), x[[0, -1], [1, 2]])
    with pytest.raises(ShapeError, match="index is outside"):
        ours("GatherND", [x, np.array([[0, 5]])])


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(mode: str) -> None:
    x, pads = floats(3, 4), np.array([1, 2, 0, 1])
    agree(ours("Pad", [x, pads], {"mode": mode}), onnx_says("Pad", [x, pads], {"mode": mode}))
    if mode == "constant":
        value, crop = np.array(7, np.float32), np.array([-1, 2, 0, -1])
        agree(ours("Pad", [x, crop, value]), np.pad(x[1:, :-1], ((0, 0), (2, 0)), constant_values=7))


@pytest.mark.parametrize("start, limit, delta", [(0, 5, 2), (5, 0, -2), (0, 0, 1), (3, 1, 1)])
def test_range(start: int, limit: int, delta: int) -> None:
    arrays = [np.array(v, np.int64) for v in (start, limit, delta)]
    np.testing.assert_array_equal(ours("Range", arrays, out="i64"), np.arange(start, limit, delta))


def test_cast_cuts_off() -> None:
    np.testing.assert_array_equal(ours("Cast", [np.array([1.7, -1.7], np.float32)], out="i32"), [1, -1])
    np.testing.assert_array_equal(ours("Cast", [np.array([0, 2])], out="boolean"), [False, True])


@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("size", [(1, 2, 7, 3), (1, 2, 2, 9), (1, 2, 1, 5)])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_resize(coordinates: str, size: tuple[int, ...], mode: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx").helper
    x, sizes = floats(1, 2, 4, 5), np.array(size)
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = "floor"
    node = helper.make_node("Resize", ["x", "", "", "s"], ["y"], **attributes)
    graph = helper.make_graph([node], "t", [helper.make_tensor_value_info("x", 1, x.shape),
                                            helper.make_tensor_value_info("s", 7, [4])],
                              [helper.make_tensor_value_info("y", 1, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    theirs = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x, "s": sizes})[0]
    agree(ours("Resize", [x, sizes], {"mode": mode, "coordinates": coordinates}), theirs)


# ---------------------------------------------------------------- windows

CONVS = [
    # input, weight, strides, pads, dilations, group
    ((2, 3, 7, 9), (5, 3, 3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    ((1, 4, 8, 8), (6, 4, 1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1),
    ((1, 3, 11, 10), (4, 3, 3, 2), (2, 1), (1, 2, 0, 1), (1, 1), 1),
    ((2, 4, 9, 9), (4, 1, 3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 4),
    ((1, 3, 9, 9), (6, 1, 3, 3), (1, 1), (1, 1, 1, 1), (2, 2), 3),
    ((1, 6, 9, 9), (4, 3, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2),
    ((1, 2, 12, 5), (3, 2, 5, 1), (3, 1), (2, 0, 2, 0), (2, 1), 1),
]


@pytest.mark.parametrize("x, w, strides, pads, dilations, group", CONVS)
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_conv(x: Any, w: Any, strides: Any, pads: Any, dilations: Any, group: int, layout: str) -> None:
    data, weight, bias = floats(*x), floats(*w), floats(w[0])
    theirs = onnx_says("Conv", [data, weight, bias], {"strides": strides, "pads": pads, "dilations": dilations,
                                                      "group": group})
    options = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    if layout == "channels_first":
        agree(ours("Conv", [data, weight, bias], options), theirs, 1e-5)
    else:
        last = [np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (data, weight)]
        agree(np.moveaxis(ours("Conv", [*last, bias], options, layout=layout), -1, 1), theirs, 1e-5)


def test_conv_in_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = importlib.import_module("cmf.reference.windows")
    x, w = floats(2, 9, 9, 3), floats(4, 3, 3, 3)
    whole = ours("Conv", [x, w], layout="channels_last")
    monkeypatch.setattr(windows, "BLOCK", 1)
    np.testing.assert_allclose(ours("Conv", [x, w], layout="channels_last"), whole, rtol=1e-6)


@pytest.mark.parametrize("group, channels", [(2, 3), (1, 5)])
def test_conv_that_does_not_fit(group: int, channels: int) -> None:
    with pytest.raises(ShapeError, match="Conv node"):
        ours("Conv", [floats(1, channels, 5, 5), floats(4, 3, 3, 3)], {"group": group})
    with pytest.raises(ShapeError, match="does not fit"):
        ours("Conv", [floats(1, 3, 2, 2), floats(4, 3, 3, 3)])


POOLS = [
    ((2, 3, 8, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ((1, 2, 7, 9), {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 1, 1]}),
    ((1, 2, 8, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ((1, 1, 7, 7), {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ((1, 1, 4, 4), {"kernel_shape": [1, 1], "strides": [3, 3], "pads": [0, 0, 0, 0], "ceil_mode": 1}),
    ((1, 2, 9, 9), {"kernel_shape": [3, 3], "dilations": [2, 2]}),
]


def last_and_first(op: str, x: Array, options: dict[str, Any]) -> Array:
    """Evaluates both layouts, which must agree exactly."""
    first = ours(op, [x], options)
    last = ours(op, [np.ascontiguousarray(np.moveaxis(x, 1, -1))], options, layout="channels_last")
    np.testing.assert_array_equal(np.moveaxis(last, -1, 1), first)
    return first


def pool_options(attributes: dict[str, Any]) -> dict[str, Any]:
    options = {**attributes, "kernel": attributes["kernel_shape"]}
    del options["kernel_shape"]
    return {**options, "ceil_mode": bool(attributes.get("ceil_mode"))}


def runtime_says(op: str, x: Array, attributes: dict[str, Any]) -> Array:
    ort = pytest.importorskip("onnxruntime")
    helper = pytest.importorskip("onnx").helper
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], **attributes)], "t",
                              [helper.make_tensor_value_info("x", 1, x.shape)],
                              [helper.make_tensor_value_info("y", 1, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=8)
    return np.asarray(ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0])


@pytest.mark.parametrize("shape, attributes", POOLS)
def test_max_pool(shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
    x = floats(*shape)
    agree(last_and_first("MaxPool", x, pool_options(attributes)), runtime_says("MaxPool", x, attributes))


@pytest.mark.parametrize("shape, attributes", POOLS)
@pytest.mark.parametrize("count_include_pad", [0, 1])
def test_average_pool(shape: tuple[int, ...], attributes: dict[str, Any], count_include_pad: int) -> None:
    x = floats(*shape)
    attributes = {**attributes, "count_include_pad": count_include_pad}
    options = {**pool_options(attributes), "count_include_pad": bool(count_include_pad)}
    agree(last_and_first("AveragePool", x, options), runtime_says("AveragePool", x, attributes))


def test_global_average_pool() -> None:
    x = floats(2, 3, 5, 4)
    agree(last_and_first("GlobalAveragePool", x, {}), x.mean(axis=(2, 3), keepdims=True))


@pytest.mark.parametrize("a, b", [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 5, 2, 3), (5, 3, 4))])
def test_mat_mul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, w, bias = floats(*a), floats(*b), floats(4)
    agree(ours("MatMul", [x, w, bias]), np.matmul(x.astype(np.float64), w).astype(np.float32) + bias, 1e-5)


# ---------------------------------------------------------------- the evaluator itself


def chain() -> Graph:
    """y = relu(x + c) * x, with a batch symbol."""
    graph = Graph(inputs=["x"], outputs=["y"])
    graph.values = {name: Value(name, "f32", ("N", 3)) for name in "xsry"}
    graph.values["c"] = Value("c", "f32", (3,), data=np.arange(3, dtype=np.float32) - 1)
    graph.nodes = [Node("Add", ["x", "c"], ["s"]), Node("Relu", ["s"], ["r"]), Node("Mul", ["r", "x"], ["y"])]
    return graph


def test_keep_returns_all_activations() -> None:
    x = floats(2, 3)
    assert list(evaluate(chain(), {"x": x})) == ["y"]
    kept = evaluate(chain(), {"x": x}, keep=True)
    assert set(kept) == {"x", "s", "r", "y"}
    np.testing.assert_array_equal(kept["y"], np.maximum(x + np.arange(3) - 1, 0).astype(np.float32) * x)


def test_inputs_are_checked() -> None:
    with pytest.raises(GraphError, match="input 'x' is missing"):
        evaluate(chain(), {})
    with pytest.raises(GraphError, match="'z' is not an input"):
        evaluate(chain(), {"x": floats(1, 3), "z": floats(1)})
    with pytest.raises(ShapeError, match="dtype float64"):
        evaluate(chain(), {"x": np.zeros((1, 3))})
    with pytest.raises(ShapeError, match="declared is"):
        evaluate(chain(), {"x": floats(1, 4)})


def test_symbols_are_one_number_everywhere() -> None:
    graph = chain()
    graph.values["z"], graph.inputs = Value("z", "f32", ("N", 1)), ["x", "z"]
    with pytest.raises(ShapeError, match="with N = 2"):
        evaluate(graph, {"x": floats(2, 3), "z": floats(3, 1)})


def test_outputs_must_be_as_declared() -> None:
    graph = chain()
    graph.values["y"].shape = ("N", 4)
    with pytest.raises(ShapeError, match="output 'y' of Mul node"):
        evaluate(graph, {"x": floats(2, 3)})


def test_one_node_alone() -> None:
    graph = chain()
    x = floats(1, 3)
    result = evaluate_node(graph.nodes[0], {"x": x}, graph)
    np.testing.assert_array_equal(result["s"], x + (np.arange(3, dtype=np.float32) - 1))
    with pytest.raises(GraphError, match="'x' has not been computed"):
        evaluate_node(graph.nodes[0], {}, graph)
