"""The table of operators: arity, options with their defaults, and what each input is for (FORMAT.md, section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from cmf.errors import GraphError
from cmf.ir.graph import Node

FLOATS = frozenset({"f32"})
INTEGERS = frozenset({"i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"})


@dataclass(frozen=True)
class Option:
    """One option of an operator.

    ``kind`` is ints, int, float, flag or choice; ``length`` the number of ints (0: any); ``low`` the least value of an
    int. A ``default`` of None means that the option must be given.
    """

    kind: str
    default: Any = None
    length: int = 0
    low: int | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> str | None:
        """What is wrong with a value; None if nothing is."""
        if self.kind == "ints":
            if not isinstance(value, (tuple, list)) or not all(_is_int(v) for v in value):
                return "must be a sequence of integers"
            if self.length and len(value) != self.length:
                return f"must have {self.length} entries, not {len(value)}"
            if self.low is not None and any(v < self.low for v in value):
                return f"must be at least {self.low} each"
        elif self.kind == "int":
            if not _is_int(value):
                return "must be an integer"
            if self.low is not None and value < self.low:
                return f"must be at least {self.low}"
        elif self.kind == "float":
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                return "must be a number"
        elif self.kind == "flag":
            if not isinstance(value, bool):
                return "must be True or False"
        elif value not in self.choices:
            return f"must be one of {', '.join(self.choices)}"
        return None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Op:
    """An operator. ``max_inputs`` is None where any number is allowed.

    ``weight`` is the input that may hold an encoded weight; ``shape_inputs`` are integer inputs that decide the
    output's shape; ``family`` groups operators that passes treat alike.
    """

    name: str
    min_inputs: int
    max_inputs: int | None
    options: Mapping[str, Option] = field(default_factory=dict)
    shape_inputs: tuple[int, ...] = ()
    weight: int | None = None
    family: str = ""


_WINDOW = {
    "strides": Option("ints", (1, 1), 2, 1),
    "dilations": Option("ints", (1, 1), 2, 1),
    "pads": Option("ints", (0, 0, 0, 0), 4, 0),
}
_POOL = {
    "kernel": Option("ints", None, 2, 1),
    **_WINDOW,
    "ceil_mode": Option("flag", False),
    "count_include_pad": Option("flag", False),
}
_REDUCE = {"axes": Option("ints", None), "keepdims": Option("flag", True)}
_ALPHA = {"alpha": Option("float", 0.0), "beta": Option("float", 0.0)}


def _table() -> dict[str, Op]:
    ops = [
        Op("Conv", 2, 3, {**_WINDOW, "group": Option("int", 1, low=1)}, weight=1, family="spatial"),
        Op("MatMul", 2, 3, weight=1, family="matmul"),
        Op("MaxPool", 1, 1, _POOL, family="spatial"),
        Op("AveragePool", 1, 1, _POOL, family="spatial"),
        Op("GlobalAveragePool", 1, 1, family="spatial"),
        Op("Softmax", 1, 1, {"axis": Option("int", -1)}),
        Op("LayerNormalization", 2, 3, {"axis": Option("int", -1), "epsilon": Option("float", 1e-5)}),
        Op("Concat", 1, None, {"axis": Option("int", None)}, family="move"),
        Op("Slice", 3, 5, shape_inputs=(1, 2, 3, 4), family="move"),
        Op("Gather", 2, 2, {"axis": Option("int", 0)}, weight=0, family="move"),
        Op("GatherND", 2, 2, family="move"),
        Op("Reshape", 2, 2, shape_inputs=(1,), family="move"),
        Op("Transpose", 1, 1, {"perm": Option("ints", None, low=0)}, family="move"),
        Op("Expand", 2, 2, shape_inputs=(1,), family="move"),
        Op(
            "Pad",
            2,
            3,
            {"mode": Option("choice", "constant", choices=("constant", "reflect", "edge"))},
            shape_inputs=(1,),
            family="move",
        ),
        Op(
            "Resize",
            2,
            2,
            {
                "mode": Option("choice", "nearest", choices=("nearest", "linear")),
                "coordinates": Option(
                    "choice", "half_pixel", choices=("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
                ),
            },
            shape_inputs=(1,),
        ),
        Op("Shape", 1, 1, {"start": Option("int", 0), "end": Option("int", 2147483647)}, family="shape"),
        Op("Range", 3, 3, shape_inputs=(0, 1, 2), family="shape"),
        Op("Cast", 1, 1, family="unary"),
        Op("Where", 3, 3, family="nary"),
        Op("Not", 1, 1, family="unary"),
        Op("IsNaN", 1, 1, family="unary"),
        Op("Clip", 1, 3, family="unary"),
        Op("QuantizeLinear", 1, 3, {"axis": Option("int", 1)}, family="unary"),
        Op("DequantizeLinear", 1, 3, {"axis": Option("int", 1)}, family="unary"),
        Op("LeakyRelu", 1, 1, _ALPHA, family="unary"),
        Op("HardSigmoid", 1, 1, _ALPHA, family="unary"),
        Op("Gelu", 1, 1, {"tanh": Option("flag", False)}, family="unary"),
    ]
    for name in (
        "Relu",
        "Sigmoid",
        "Tanh",
        "Erf",
        "HardSwish",
        "Sqrt",
        "Exp",
        "Log",
        "Abs",
        "Neg",
        "Reciprocal",
        "Floor",
        "Ceil",
        "Identity",
    ):
        ops.append(Op(name, 1, 1, family="unary"))
    for name in ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "And", "Or"):
        ops.append(Op(name, 2, 2, family="nary"))
    for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        ops.append(Op(name, 2, 2, family="nary"))
    for name in ("ReduceMean", "ReduceSum", "ReduceMax"):
        ops.append(Op(name, 1, 1, _REDUCE, family="reduce"))
    return {op.name: op for op in ops}


#: Every operator of cmf.fbs by name. All have one output.
OPS: dict[str, Op] = _table()

#: Operators whose result has boolean type.
COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not", "IsNaN"})


def op_of(node: Node) -> Op:
    """The table's entry of a node's operator; raises :class:`GraphError` for an unknown one."""
    try:
        return OPS[node.op]
    except KeyError:
        raise GraphError(f"{describe(node)}: unknown operator; known are {', '.join(sorted(OPS))}") from None


def option(node: Node, name: str) -> Any:
    """An option of a node, its default where it is not given."""
    if name in node.options:
        return node.options[name]
    default = op_of(node).options[name].default
    if default is None:
        raise GraphError(f"{describe(node)}: option {name!r} is missing")
    return default


def describe(node: Node) -> str:
    """How error messages name a node: ``Conv node 'stem'``."""
    label = node.name or (node.outputs[0] if node.outputs else "")
    return f"{node.op} node {label!r}"
