"""Shape inference with symbols, and the contents of shape arithmetic. Every operator of the table has a rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cmf.errors import GraphError, ShapeError
from cmf.ir.dims import window_size
from cmf.ir.graph import Graph, Node, Value
from cmf.ir.ops import OPS
from cmf.ir.shape_rules import RULES
from cmf.ir.shapes import Info, annotate, infer, is_anonymous


def inferred(
    op: str,
    inputs: list[Any],
    options: dict[str, Any] | None = None,
    *,
    layout: str = "channels_last",
    dtype: str = "f32",
) -> Info:
    """What is inferred for one node. An input is a shape (f32), an array (a constant), None, or a Value."""
    graph = Graph(layout=layout, outputs=["y"])
    names = []
    for i, given in enumerate(inputs):
        name = f"i{i}" if given is not None else ""
        names.append(name)
        if isinstance(given, np.ndarray):
            graph.constant(name, given)
        elif isinstance(given, Value):
            graph.values[name] = Value(name, given.dtype, given.shape)
            graph.inputs.append(name)
        elif given is not None:
            graph.values[name] = Value(name, "f32", tuple(given))
            graph.inputs.append(name)
    graph.values["y"] = Value("y", dtype)
    graph.nodes.append(Node(op, names, ["y"], options or {}))
    return infer(graph)["y"]


def i64(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


W = np.zeros((8, 3, 3, 2), np.float32)


def test_every_operator_has_a_rule() -> None:
    assert set(RULES) == set(OPS)


@pytest.mark.parametrize(
    ("op", "inputs", "options", "shape"),
    [
        ("Conv", [("N", 9, 8, 2), W], {}, ("N", 7, 6, 8)),
        ("Conv", [("N", 9, 8, 4), W], {"group": 2, "pads": (1, 1, 1, 1), "strides": (2, 3)}, ("N", 5, 3, 8)),
        ("Conv", [("N", "H", "W", 2), W], {"pads": (1, 1, 1, 1)}, ("N", "H", "W", 8)),
        ("Conv", [("N", "H", 8, 2), W], {}, ("N", "y:1", 6, 8)),
        ("MaxPool", [("N", 9, 8, 2)], {"kernel": (2, 2), "strides": (2, 2)}, ("N", 4, 4, 2)),
        ("MaxPool", [("N", 9, 8, 2)], {"kernel": (2, 2), "strides": (2, 2), "ceil_mode": True}, ("N", 5, 4, 2)),
        ("GlobalAveragePool", [("N", "H", 8, 2)], {}, ("N", 1, 1, 2)),
        ("MatMul", [("N", 3, 4), (4, 5)], {}, ("N", 3, 5)),
        ("MatMul", [("N", "H", "S", 4), ("N", "H", 4, "S")], {}, ("N", "H", "S", "S")),
        ("MatMul", [(4,), (4, 5)], {}, (5,)),
        ("MatMul", [("N", 4), (4,)], {}, ("N",)),
        ("Add", [("N", 1, 4), (3, 1)], {}, ("N", 3, 4)),
        ("Add", [("N", 4), ("N", 4)], {}, ("N", 4)),
        ("Add", [("N", 4), (5, 4)], {}, (5, 4)),
        ("Add", [("N",), ("M",)], {}, ("y:0",)),
        ("Add", [("min(512,S)",), ("S",)], {}, ("S",)),
        ("Add", [("min(1,S)",), ("S",)], {}, ("y:0",)),
        ("Add", [("min(N,S)",), ("S",)], {}, ("y:0",)),
        ("ReduceMean", [("N", 3, 4)], {"axes": (-1,), "keepdims": True}, ("N", 3, 1)),
        ("ReduceMean", [("N", 3, 4)], {"axes": (1, 2), "keepdims": False}, ("N",)),
        ("Concat", [("N", 3), ("N", 4)], {"axis": 1}, ("N", 7)),
        ("Concat", [("N", 3), ("M", 3)], {"axis": 0}, ("y:0", 3)),
        ("Concat", [("N", 3), (2, 3)], {"axis": 0}, ("y:0", 3)),
        ("Concat", [("N", 3), (2, 4)], {"axis": 1}, (2, 7)),
        ("Transpose", [("N", 3, "L")], {"perm": (2, 0, 1)}, ("L", "N", 3)),
        ("Reshape", [("N", 3, 4), i64(0, -1)], {}, ("N", 12)),
        ("Reshape", [("N", 3, 4), i64(-1, 12)], {}, ("N", 12)),
        ("Reshape", [("N", 3, 4), i64(-1, 6)], {}, ("y:0", 6)),
        ("Reshape", [("N", "M", 4), i64(-1, 4)], {}, ("y:0", 4)),
        ("Reshape", [("N", "M", 4), i64(0, 0, 2, -1)], {}, ("N", "M", 2, 2)),
        ("Reshape", [(1,), i64()], {}, ()),
        ("Reshape", [("N", 3), Value("", "i64", (2,))], {}, ("y:0", "y:1")),
        ("Reshape", [("N", 3), Value("", "i64", ("R",))], {}, None),
        ("Expand", [("N", 1), i64(1, 5)], {}, ("N", 5)),
        ("Slice", [("N", 10), i64(2), i64(-1), i64(1), i64(3)], {}, ("N", 3)),
        ("Slice", [("N", 10), i64(-1), i64(-99), i64(1), i64(-2)], {}, ("N", 5)),
        ("Slice", [("N", 10), i64(0), i64(2**63 - 1), i64(0)], {}, ("N", 10)),
        ("Slice", [("N", 10), i64(1), i64(2**63 - 1), i64(0)], {}, ("y:0", 10)),
        ("Gather", [("V", 4), Value("", "i64", ("N", "S"))], {}, ("N", "S", 4)),
        ("Gather", [("N", 4), Value("", "i64", ())], {"axis": 1}, ("N",)),
        ("GatherND", [("N", 4, 5), Value("", "i64", ("K", 2))], {}, ("K", 5)),
        ("Pad", [("N", 4), i64(0, 1, 0, 2)], {}, ("N", 7)),
        ("Pad", [("N", 4), i64(1, 1, 0, 2)], {}, ("y:0", 7)),
        ("Resize", [(1, 4, 4, 2), i64(1, 8, 6, 2)], {}, (1, 8, 6, 2)),
        ("Where", [Value("", "boolean", ("N", 1)), (3,), ()], {}, ("N", 3)),
    ],
)
def test_shapes(op: str, inputs: list[Any], options: dict[str, Any], shape: Any) -> None:
    assert inferred(op, inputs, options).shape == shape


def test_channels_first_graphs() -> None:
    weight = np.zeros((8, 2, 3, 3), np.float32)
    assert inferred("Conv", [("N", 2, 9, "W"), weight], {"pads": (0, 1, 0, 1)}, layout="channels_first").shape == (
        "N",
        8,
        7,
        "W",
    )
    pool = inferred("AveragePool", [("N", 2, 9, "W")], {"kernel": (3, 3)}, layout="channels_first")
    assert pool.shape == ("N", 2, 7, "y:3")


@pytest.mark.parametrize(
    ("op", "inputs", "options", "match"),
    [
        ("Conv", [("N", 9, 8, 3), W], {}, "3 channels"),
        ("Conv", [("N", 9, 8, 6), W], {"group": 3}, "cut into 3 groups"),
        ("Conv", [("N", 2, 8, 2), W], {}, "does not fit"),
        ("Conv", [("N", 9, 8, 2), W, np.zeros(7, np.float32)], {}, "bias"),
        ("Conv", [("N", 9, 2), W], {}, "4 dimensions"),
        ("MaxPool", [("N", 9, 8, 2)], {"kernel": (2, 2), "pads": (2, 0, 0, 0)}, "padding"),
        ("MatMul", [("N", 3), (4, 5)], {}, "3 is not 4"),
        ("MatMul", [(), (4, 5)], {}, "scalar"),
        ("Add", [(3,), (4,)], {}, "broadcast"),
        ("Add", [(3,), Value("", "i64", (3,))], {}, "different data types"),
        ("Where", [(3,), (3,), (3,)], {}, "must be boolean"),
        ("And", [(3,), (3,)], {}, "takes booleans"),
        ("Sigmoid", [Value("", "i64", (3,))], {}, "takes f32"),
        ("Softmax", [(3,)], {"axis": 1}, "axis 1"),
        ("LayerNormalization", [("N", 4), np.zeros(3, np.float32)], {}, "must have shape"),
        ("ReduceMean", [(3, 4)], {"axes": (0, -2)}, "twice"),
        ("Concat", [(3,), (3, 1)], {"axis": 0}, "numbers of dimensions"),
        ("Concat", [(3, 2), (3, 1)], {"axis": 0}, "differ on axis 1"),
        ("Transpose", [(3, 4)], {"perm": (0, 0)}, "perm"),
        ("Reshape", [(3, 4), i64(5, 2)], {}, "do not fit"),
        ("Reshape", [(3, 4), i64(5, -1)], {}, "divided"),
        ("Reshape", [(3, 4), i64(-1, -1)], {}, "more than one"),
        ("Reshape", [(3, 4), i64(3, 4, 0)], {}, "copies dimension 2"),
        ("Reshape", [(3, 4), i64(-2, -6)], {}, "dimension of -2"),
        ("Reshape", [(3, 4), np.zeros(2, np.float32)], {}, "must be i64"),
        ("Expand", [(3,), i64(-1)], {}, "negative"),
        ("Slice", [(3,), i64(0), i64(1), i64(0), i64(0)], {}, "step is 0"),
        ("Slice", [(3,), i64(0, 1), i64(1)], {}, "ends has 1"),
        ("Gather", [(3,), i64(3)], {}, "outside 3 elements"),
        ("GatherND", [(3,), i64(0, 0).reshape(1, 2)], {}, "do not fit"),
        ("Pad", [(3,), i64(1)], {}, "2 entries"),
        ("Pad", [(3,), i64(-2, -2)], {}, "more than there is"),
        ("Resize", [(1, 4), i64(1, 0)], {}, "at least 1"),
        ("Range", [i64(0), i64(5), i64(0)], {}, "delta is 0"),
        ("Expand", [(1,), i64(2**32)], {}, "dimension of"),
        ("Expand", [(1,), i64(*[2**14] * 3)], {}, "elements"),
        ("Reshape", [(1,), i64(*[1] * 9)], {}, "9 dimensions"),
    ],
)
def test_shapes_that_do_not_fit(op: str, inputs: list[Any], options: dict[str, Any], match: str) -> None:
    with pytest.raises(ShapeError, match=match):
        inferred(op, inputs, options)


def test_a_rank_that_is_not_known() -> None:
    unknown = Value("", "f32", None)
    assert inferred("Relu", [unknown]).shape is None
    assert inferred("Add", [unknown, (3,)]).shape is None
    assert inferred("Shape", [unknown]).shape == ("y:0",)
    with pytest.raises(ShapeError, match="declare the shapes"):
        inferred("Conv", [unknown, W])


def chain(*steps: tuple[str, list[Any], dict[str, Any]]) -> Info:
    """Integer arithmetic on Shape of a value ("N", 3, "L"); "." is the result so far."""
    graph = Graph(inputs=["x"], outputs=["y"])
    graph.values["x"] = Value("x", "f32", ("N", 3, "L"))
    graph.values["v"] = Value("v", "i64")
    graph.nodes.append(Node("Shape", ["x"], ["v"]))
    last = "v"
    for number, (op, inputs, options) in enumerate(steps):
        names = [last if isinstance(i, str) else graph.constant(f"c{number}", i) for i in inputs]
        last = f"v{number}"
        graph.values[last] = Value(last, "i64")
        graph.nodes.append(Node(op, names, [last], options))
    return infer(graph)[last]


@pytest.mark.parametrize(
    ("steps", "content"),
    [
        ([], ["N", 3, "L"]),
        ([("Gather", [".", i64(2, 0)], {"axis": 0})], ["L", "N"]),
        ([("Slice", [".", i64(1), i64(3)], {})], [3, "L"]),
        ([("Concat", [".", i64(7)], {"axis": 0})], ["N", 3, "L", 7]),
        ([("Mul", [".", i64(1, 2, 2)], {})], ["N", 6, None]),
        ([("Add", [".", i64(0)], {})], ["N", 3, "L"]),
        ([("Div", [".", i64(2)], {})], [None, 1, None]),
        ([("Sub", [i64(5), "."], {})], [None, 2, None]),
        ([("Gather", [".", np.array(1, np.int64)], {"axis": 0}), ("Reshape", [".", i64(1)], {})], [3]),
        ([("Cast", ["."], {})], ["N", 3, "L"]),
    ],
)
def test_contents_are_followed(steps: list[Any], content: list[Any]) -> None:
    found = chain(*steps).content
    assert found is not None and list(found.reshape(-1)) == content


def test_a_slice_of_symbolic_length() -> None:
    """Position embeddings: table[:, :sequence] has min(512, sequence) entries."""
    graph = Graph(inputs=["x"], outputs=["y"])
    graph.values.update({"x": Value("x", "f32", ("N", "S", 4)), "s": Value("s", "i64"), "y": Value("y")})
    table = graph.constant("table", np.zeros((1, 512, 4), np.float32))
    zero, one = graph.constant("zero", i64(0)), graph.constant("one", i64(1))
    graph.nodes = [Node("Shape", ["x"], ["s"], {"start": 1, "end": 2}), Node("Slice", [table, zero, "s", one], ["y"])]
    assert annotate(graph)["y"].shape == (1, "min(512,S)", 4)
    assert is_anonymous("min(512,S)") and is_anonymous("y:0") and not is_anonymous("S") and not is_anonymous(3)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_window_size_counts_positions(size: int, kernel: int, stride: int, ceil_mode: bool) -> None:
    """By counting windows. Rounding up admits one that begins inside and reaches beyond the end."""
    for pad in range(kernel):
        last = size + 2 * pad - (1 if ceil_mode else kernel)
        starts = [s for s in range(0, size + 2 * pad, stride) if s <= last]
        if ceil_mode:  # one window more than fits, at most, and none that begins in the trailing padding
            fitting = [s for s in starts if s + kernel <= size + 2 * pad]
            more = starts[len(fitting) : len(fitting) + 1] if fitting and fitting[-1] + kernel < size + 2 * pad else []
            starts = fitting + [s for s in more if s < size + pad]
        if size + 2 * pad >= kernel:
            assert window_size(size, kernel, stride, 1, pad, pad, ceil_mode) == len(starts), pad


def test_unknown_operators_and_values_are_named() -> None:
    graph = Graph(outputs=["y"], nodes=[Node("Nonsense", [], ["y"], name="n")])
    graph.values["y"] = Value("y")
    with pytest.raises(GraphError, match="Nonsense node 'n': unknown operator; known are Abs"):
        infer(graph)
    graph.nodes = [Node("Relu", ["z"], ["y"])]
    with pytest.raises(GraphError, match="'z' is not defined"):
        infer(graph)
