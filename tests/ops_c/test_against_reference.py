"""Every operator in C against the numpy evaluator: one small graph a case, written to a file and run from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cmf
from cmf.container import write
from cmf.ir.graph import NUMPY_DTYPES, Activation, Affine, Graph, Node, Value
from cmf.ir.ops import COMPARISONS, OPS
from cmf.reference import evaluate

Array = npt.NDArray[Any]
DTYPES = {v: k for k, v in NUMPY_DTYPES.items()}


@dataclass
class Given:
    """An input of the operator: an array, perhaps a constant of the file, perhaps integers that stand for reals."""

    data: Array
    constant: bool = False
    affine: Affine | None = None


@dataclass
class OpCase:
    """One node. ``result``: type and affine of the output, by default the first input's."""

    op: str
    given: list[Given | None]
    options: dict[str, Any] = field(default_factory=dict)
    result: str | None = None
    affine: Affine | None = None
    activation: Activation | None = None
    label: str = ""

    def __str__(self) -> str:
        shapes = "_".join("x".join(map(str, g.data.shape)) + g.data.dtype.char for g in self.given if g is not None)
        return f"{self.op}-{self.label}-{shapes}"

    def graph(self) -> tuple[Graph, dict[str, Array]]:
        graph, feed, names = Graph(name="case"), {}, []
        for i, g in enumerate(self.given):
            if g is None:
                names.append("")
                continue
            name = f"x{i}"
            names.append(name)
            shape = tuple(g.data.shape)
            graph.values[name] = Value(name, DTYPES[g.data.dtype.name], shape, g.affine, g.data if g.constant else None)
            if not g.constant:
                graph.inputs.append(name)
                feed[name] = g.data
        first = self.given[1 if self.op == "Where" else 0]
        assert first is not None
        result = self.result or ("boolean" if self.op in COMPARISONS else DTYPES[first.data.dtype.name])
        graph.values["y"] = Value("y", result, None, self.affine)
        compute = "int8_static" if result == "i8" and self.affine and self.op != "QuantizeLinear" else "f32"
        graph.nodes.append(Node(self.op, names, ["y"], self.options, "node", compute, activation=self.activation))
        graph.outputs.append("y")
        return graph, feed


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def f32(*shape: int, seed: int = 0, scale: float = 2.0) -> Given:
    return Given(rng(seed).normal(size=shape, scale=scale).astype(np.float32))


def i8(*shape: int, seed: int = 0, scale: float = 0.05, zero: int = -7) -> Given:
    return Given(rng(seed).integers(-128, 128, shape).astype(np.int8), affine=Affine(scale, zero))


def ints(*shape: int, dtype: str = "int64", low: int = -50, high: int = 50, seed: int = 0) -> Given:
    return Given(rng(seed).integers(low, high, shape).astype(dtype))


def const(values: Any, dtype: str = "int64") -> Given:
    return Given(np.asarray(values, dtype), constant=True)


OUT = Affine(0.07, 5)
SHAPES = [((3, 4, 5), (3, 4, 5)), ((2, 70, 3), (1, 1, 3)), ((4, 1, 6), (5, 1)), ((1,), (7, 130)), ((), (3,)),
          ((2, 3, 1, 5), (1, 3, 4, 1)), ((200, 300), (200, 300))]


def binary_cases() -> Iterator[OpCase]:
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        for a, b in SHAPES:
            yield OpCase(op, [f32(*a), f32(*b, seed=1)])
            yield OpCase(op, [ints(*a), ints(*b, seed=1, low=1)])
            yield OpCase(op, [ints(*a, dtype="int32"), ints(*b, seed=1, low=-9, high=0, dtype="int32")])
        if op not in COMPARISONS:
            for a, b in SHAPES:
                yield OpCase(op, [i8(*a), i8(*b, seed=1, scale=0.03, zero=11)], affine=OUT)
            for activation in (Activation("relu"), Activation("clip", -0.5, 1.5)):
                yield OpCase(op, [f32(3, 5), f32(5, seed=1)], activation=activation, label=activation.kind)
                yield OpCase(op, [i8(3, 70), i8(70, seed=1, zero=3)], affine=OUT, activation=activation,
                             label=activation.kind)
    yield OpCase("Max", [f32(2, 3), f32(3, seed=1)])
    yield OpCase("Equal", [Given(rng(0).random(9) < 0.5), Given(rng(1).random(9) < 0.5)])
    for op in ("And", "Or"):
        yield OpCase(op, [Given(rng(0).random((4, 5)) < 0.5), Given(rng(1).random(5) < 0.5)])
    yield OpCase("Pow", [Given(np.abs(f32(3, 50).data)), f32(50, seed=1)])
    yield OpCase("Pow", [f32(3, 50), Given(np.float32(2).reshape(()))])
    yield OpCase("Pow", [ints(40, low=-5, high=6), ints(40, low=0, high=8, seed=1)])
    yield OpCase("Mod", [ints(60), ints(60, low=1, high=9, seed=1)])
    yield OpCase("Mod", [ints(60), ints(60, low=-9, high=0, seed=1)])
    yield OpCase("Mod", [f32(300, scale=1e6), f32(300, seed=1)])
    yield OpCase("Mul", [Given(np.full(3, 2**62, np.int64)), ints(3, low=3, high=9)], label="wraps")
    yield OpCase("Div", [f32(8), Given(np.zeros(8, np.float32))], label="by-zero")


def unary_cases() -> Iterator[OpCase]:
    options = {"LeakyRelu": {"alpha": 0.1}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5}, "Gelu": {"tanh": True}}
    for op in ("Relu", "Sigmoid", "Tanh", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Sqrt", "Exp", "Log",
               "Abs", "Neg", "Reciprocal", "Floor", "Ceil", "Identity"):
        x = f32(3, 1500)
        q = i8(3, 150)
        if op in ("Sqrt", "Log"):
            x = Given(np.abs(x.data) + np.float32(0.01))
            q = i8(3, 150, zero=-128)
        if op == "Reciprocal":
            q = Given(rng(0).integers(-100, 127, 99).astype(np.int8), affine=Affine(0.1, -128))
        if op == "Log":
            q = Given(rng(0).integers(-100, 127, 99).astype(np.int8), affine=Affine(0.1, -128))
        for given in (options.get(op, {}), {} if op == "Gelu" else None):
            if given is not None:
                yield OpCase(op, [x], given)
                yield OpCase(op, [q], given, affine=OUT)
    for dtype in ("int32", "int64"):
        yield OpCase("Abs", [ints(50, dtype=dtype)])
        yield OpCase("Neg", [ints(50, dtype=dtype)])
    low, high = const(-0.7, "float32"), const(1.1, "float32")
    for bounds in ([low, high], [None, high], [low], []):
        yield OpCase("Clip", [f32(7, 9), *bounds])
        yield OpCase("Clip", [i8(7, 9), *bounds], affine=OUT)
    yield OpCase("Not", [Given(rng(0).random(33) < 0.5)])
    yield OpCase("IsNaN", [Given(np.array([1, np.nan, np.inf, -np.nan], np.float32))])
    yield OpCase("QuantizeLinear", [f32(3, 400, scale=20.0)], result="i8", affine=OUT)
    yield OpCase("QuantizeLinear", [Given(np.array([np.nan, np.inf, -np.inf, 0.035, 0.105, -0.035], np.float32))],
                 result="i8", affine=OUT, label="ends")
    yield OpCase("DequantizeLinear", [i8(3, 400)], result="f32")


def pool_cases() -> Iterator[OpCase]:
    windows: list[dict[str, Any]] = [
        {"kernel": (2, 2), "strides": (2, 2)},
        {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        {"kernel": (3, 2), "strides": (1, 3), "pads": (0, 1, 2, 0)},
        {"kernel": (3, 3), "strides": (2, 2), "ceil_mode": True},
        {"kernel": (2, 3), "strides": (3, 2), "pads": (1, 1, 0, 1), "ceil_mode": True},
        {"kernel": (2, 2), "dilations": (2, 3), "strides": (1, 1), "pads": (1, 0, 1, 2)},
        {"kernel": (1, 1), "strides": (4, 4)},
    ]
    for window in windows:
        for shape in ((1, 9, 10, 3), (2, 8, 7, 70)):
            yield OpCase("MaxPool", [f32(*shape)], window)
            yield OpCase("MaxPool", [i8(*shape)], window, affine=Affine(0.05, -7))
            yield OpCase("MaxPool", [i8(*shape)], window, affine=OUT)
            for include in (False, True):
                given = {**window, "count_include_pad": include}
                yield OpCase("AveragePool", [f32(*shape)], given)
                yield OpCase("AveragePool", [i8(*shape)], given, affine=OUT)
    for shape in ((1, 7, 7, 130), (3, 50, 40, 5), (2, 1, 1, 9)):
        yield OpCase("GlobalAveragePool", [f32(*shape)])
        yield OpCase("GlobalAveragePool", [i8(*shape)], affine=Affine(0.01, 5))
    relu = Activation("relu")
    yield OpCase("AveragePool", [i8(1, 4, 4, 9)], {"kernel": (2, 2)}, affine=OUT, activation=relu, label="relu")
    yield OpCase("MaxPool", [i8(1, 4, 4, 9)], {"kernel": (2, 2)}, affine=OUT, activation=relu, label="relu")
    yield OpCase("GlobalAveragePool", [f32(2, 4, 4, 9)], activation=relu, label="relu")


def row_cases() -> Iterator[OpCase]:
    for shape, axis in (((4, 33), -1), ((4, 33), 0), ((2, 3, 5, 7), 1), ((2, 3, 5, 7), -2), ((1,), 0)):
        yield OpCase("Softmax", [f32(*shape, scale=5.0)], {"axis": axis})
        yield OpCase("Softmax", [i8(*shape, scale=0.03)], {"axis": axis}, affine=Affine(1 / 256, -128))
    yield OpCase("Softmax", [Given(np.array([[1e4, -1e4, 9999.0]], np.float32))], {"axis": -1}, label="large")
    for shape, axis in (((4, 33), -1), ((2, 3, 5, 7), 2), ((6, 100), 1)):
        n = shape[axis:] if axis >= 0 else shape[-1:]
        scale, bias = f32(*n, seed=1), f32(*n, seed=2)
        yield OpCase("LayerNormalization", [f32(*shape), scale, bias], {"axis": axis, "epsilon": 1e-3})
        yield OpCase("LayerNormalization", [f32(*shape), scale], {"axis": axis})
        yield OpCase("LayerNormalization", [i8(*shape), scale, bias], {"axis": axis}, affine=OUT)
    for op in ("ReduceMean", "ReduceSum", "ReduceMax"):
        for shape, axes in (((3, 4, 5), (1,)), ((3, 4, 50), (-1,)), ((3, 4, 5), (0, 2)), ((3, 4, 5), (0, 1, 2)),
                            ((2, 3, 4, 5), (1, 2)), ((70, 3), (0,))):
            for keep in (True, False):
                given = {"axes": axes, "keepdims": keep}
                yield OpCase(op, [f32(*shape)], given)
                yield OpCase(op, [i8(*shape)], given, affine=Affine(0.3, 5))
                if op != "ReduceMean":
                    yield OpCase(op, [ints(*shape)], given)
                    yield OpCase(op, [ints(*shape, dtype="int32")], given)


def move_cases() -> Iterator[OpCase]:
    kinds = [lambda *s: f32(*s), lambda *s: i8(*s), lambda *s: ints(*s), lambda *s: Given(rng(4).random(s) < 0.5),
             lambda *s: Given(f32(*s).data.astype(np.float16))]
    for kind in kinds:
        def case(op: str, given: list[Given | None], options: dict[str, Any] | None = None, label: str = "",
                 kind: Any = kind) -> OpCase:
            first = given[0]
            assert first is not None
            return OpCase(op, given, options or {}, affine=first.affine, label=label)

        for axis in (0, 1, -1):
            yield case("Concat", [kind(2, 3, 4), kind(2, 3, 4), kind(2, 3, 4)], {"axis": axis}, f"axis{axis}")
        slices: list[tuple[Any, ...]] = [
            ([1], [3]), ([0, -3], [2, 9], [0, 2]), ([-1], [-100], [1], [-1]), ([1, 0], [100, 5], [2, 0], [2, 1]),
            ([5, 5], [0, -9], [-1, 0], [-2, -1]), ([3], [3], [0]), ([-(2**62)], [2**62], [1], [2**40])]
        for i, parts in enumerate(slices):
            yield case("Slice", [kind(5, 6, 7), *map(const, parts)], label=f"{i}")
        yield case("Slice", [kind(5, 6), const([1], "int32"), const([3], "int32"), None, const([2], "int32")])
        for axis, shape in ((0, (3,)), (1, (2, 2)), (-1, ()), (2, (1,))):
            indices = ints(*shape, low=-4, high=4)
            yield case("Gather", [kind(4, 5, 6), indices], {"axis": axis}, f"axis{axis}")
        yield case("Gather", [kind(4, 5), ints(6, low=0, high=4, dtype="int32")], {"axis": 0})
        yield case("GatherND", [kind(4, 5, 6), ints(3, 2, low=-4, high=4)])
        yield case("GatherND", [kind(4, 5), ints(2, 3, 2, low=-4, high=4)])
        for shape_ in ((6, 20), (-1, 4), (0, -1, 2), (120,), (1, 2, 3, 4, 5)):
            yield case("Reshape", [kind(6, 4, 5), const(shape_)], label=f"{len(shape_)}")
        for shape_, perm in (((2, 3, 4), (2, 0, 1)), ((1, 17, 19, 33), (0, 3, 1, 2)), ((2, 33, 17, 19), (0, 2, 3, 1)),
                             ((5, 7), (1, 0)), ((2, 3, 4, 5), (3, 2, 1, 0)), ((2, 3, 4, 5), (0, 2, 1, 3))):
            yield case("Transpose", [kind(*shape_)], {"perm": perm}, "".join(map(str, perm)))
        for shape_, to in (((3, 1), (3, 5)), ((1, 4), (2, 3, 1)), ((4,), (1,)), ((2, 1, 1, 3), (2, 5, 1, 3))):
            yield case("Expand", [kind(*shape_), const(to)], label=f"{len(to)}")
        if kind(1).affine is None:
            yield case("Where", [Given(rng(7).random((4, 1, 6)) < 0.5), kind(5, 6), kind(4, 5, 1)])
    for mode in ("constant", "reflect", "edge"):
        for pads in ([0, 1, 2, 0, 0, 2, 1, 0], [1, 0, 0, 1, 0, 0, 0, 2], [0, -1, 1, 0, 0, 2, -2, 0], [0] * 8):
            for x in (f32(3, 4, 5, 6), ints(3, 4, 5, 6)):
                yield OpCase("Pad", [x, const(pads)], {"mode": mode}, label=f"{mode}{pads}")
    yield OpCase("Pad", [f32(3, 4), const([1, 1, 1, 1]), const(1.5, "float32")])
    yield OpCase("Pad", [ints(3, 4), const([1, 1, 1, 1]), const(7)])
    for op, extra, options in (("Concat", [i8(2, 3, seed=1, scale=0.02, zero=9)], {"axis": 0}),
                               ("Reshape", [const([3, 2])], {}), ("Transpose", [], {"perm": (1, 0)}),
                               ("Slice", [const([0]), const([1])], {}), ("Expand", [const([4, 1, 1])], {}),
                               ("Gather", [const([1, 0])], {"axis": 0}), ("Identity", [], {})):
        yield OpCase(op, [i8(2, 3), *extra], options, affine=OUT, label="recoded")
        relu = Activation("relu")
        yield OpCase(op, [i8(2, 3), *extra], options, affine=Affine(0.05, -7), activation=relu, label="relu")


def resize_cases() -> Iterator[OpCase]:
    for coordinates in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        for mode in ("nearest", "linear"):
            given = {"mode": mode, "coordinates": coordinates}
            for shape, sizes in (((1, 4, 5, 3), (1, 8, 10, 3)), ((1, 7, 5, 1), (1, 3, 9, 1)), ((2, 3, 4), (2, 3, 7)),
                                 ((1, 5, 6, 70), (1, 1, 1, 70)), ((2, 3), (3, 2)), ((2, 2, 2, 2), (3, 3, 3, 3)),
                                 ((1, 4, 4, 2), (1, 4, 4, 2))):
                label = f"{mode}{coordinates}{sizes}"
                yield OpCase("Resize", [f32(*shape), const(sizes)], given, label=label)
                yield OpCase("Resize", [i8(*shape), const(sizes)], given, affine=OUT, label=label)


def other_cases() -> Iterator[OpCase]:
    for given in ({}, {"start": 1}, {"start": -2, "end": -1}, {"start": 5}):
        yield OpCase("Shape", [f32(2, 3, 4)], given, result="i64", label=str(given))
    yield OpCase("Range", [const(3), const(20), const(4)])
    yield OpCase("Range", [const(3, "int32"), const(-20, "int32"), const(-5, "int32")])
    yield OpCase("Range", [const(0.5, "float32"), const(3.1, "float32"), const(0.25, "float32")])
    yield OpCase("Range", [const(3), const(3), const(4)], label="empty")
    whole = rng(5).integers(-120, 120, 70)
    for source in ("float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
                   "uint64", "bool"):
        numbers = np.abs(whole) if source.startswith("u") else whole + (0.75 if source.startswith("f") else 0)
        values = numbers.astype(source)
        for target in ("f32", "f16", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "boolean"):
            if target.startswith("u") and not source.startswith(("u", "int", "bool")):
                values = np.abs(values)
            yield OpCase("Cast", [Given(values)], result=target, label=target)


CASES = [*binary_cases(), *unary_cases(), *pool_cases(), *row_cases(), *move_cases(), *resize_cases(), *other_cases()]
#: integers pass through a function that the evaluator computes in double precision: a code may round the other way
INEXACT = {"Sigmoid", "Tanh", "Erf", "Gelu", "Exp", "Log", "Softmax", "LayerNormalization", "HardSwish", "Sqrt",
           "ReduceMean", "ReduceSum", "Resize"}


def compare(case: OpCase, got: Array, expected: Array) -> None:
    assert got.shape == expected.shape and got.dtype == expected.dtype
    if got.dtype == np.float32:
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=2e-6 * float(scale))
    elif got.dtype == np.int8 and case.affine and case.op in INEXACT:
        assert np.abs(got.astype(int) - expected).max() <= 1
        assert (got != expected).mean() < 0.02 or (got != expected).sum() <= 1
    else:
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c}" for i, c in enumerate(CASES)])
def test_operator(case: OpCase, tmp_path: Path) -> None:
    graph, feed = case.graph()
    expected = evaluate(graph, feed)["y"]
    path = write(graph, tmp_path / "case.cmf")
    with np.errstate(all="ignore"):
        for threads in (1, 3):
            compare(case, np.asarray(cmf.load(path, threads=threads)(feed)), expected)


def test_every_operator_has_a_case() -> None:
    assert {c.op for c in CASES} | {"Conv", "MatMul"} == set(OPS)
