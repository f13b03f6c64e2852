"""One shape rule an operator: a function of a :class:`~cmf.ir.shapes.Call` that returns the output's Info.

Operators that move elements are in ``shape_moves.py``.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from cmf.ir.dims import axis_of, broadcast, result_dtype, window_size
from cmf.ir.graph import Dim, Shape
from cmf.ir.ops import COMPARISONS, INTEGERS, OPS, option
from cmf.ir.shape_moves import MOVES
from cmf.ir.shapes import CONTENT_LIMIT, Call, Content, Info, element_count, is_static

Rule = Callable[[Call], Info]


# ---------------------------------------------------------------- spatial


def _spatial(call: Call) -> tuple[Dim, list[Dim], Dim]:
    """Batch, height and width, channels of input 0; its rank must be known and 4."""
    shape = call.input(0).shape
    if shape is None:
        raise call.fail("the input's rank is not known; declare the shapes of the model's inputs")
    if len(shape) != 4:
        raise call.fail(f"the input must have 4 dimensions, it has {len(shape)}")
    return (shape[0], list(shape[1:3]), shape[3]) if call.channels_last else (shape[0], list(shape[2:]), shape[1])


def _join(call: Call, batch: Dim, space: list[Dim], channels: Dim) -> Shape:
    return (batch, *space, channels) if call.channels_last else (batch, channels, *space)


def _windows(call: Call, space: list[Dim], kernel: tuple[int, ...], ceil_mode: bool) -> list[Dim]:
    strides, dilations, pads = (option(call.node, n) for n in ("strides", "dilations", "pads"))
    out: list[Dim] = []
    for i, dim in enumerate(space):
        low, high = pads[i], pads[i + 2]
        if isinstance(dim, str):
            keeps = strides[i] == 1 and low + high == (kernel[i] - 1) * dilations[i]
            out.append(dim if keeps else call.symbol((1 if call.channels_last else 2) + i))
            continue
        size = window_size(dim, kernel[i], strides[i], dilations[i], low, high, ceil_mode)
        if size < 1:
            raise call.fail(f"a window of {kernel[i]} does not fit in {dim} elements on spatial axis {i}")
        out.append(size)
    return out


def _conv(call: Call) -> Info:
    weight = call.input(1).shape
    if not is_static(weight) or weight is None or len(weight) != 4:
        raise call.fail(f"the weight must have 4 known dimensions, it has {weight}")
    sizes = [int(d) for d in weight]
    outputs, inputs = sizes[0], sizes[3] if call.channels_last else sizes[1]
    kernel = tuple(sizes[1:3] if call.channels_last else sizes[2:])
    batch, space, channels = _spatial(call)
    group = option(call.node, "group")
    if isinstance(channels, int) and channels != inputs * group:
        raise call.fail(
            f"the input has {channels} channels, the weight {weight} in {group} groups needs {inputs * group}"
        )
    if outputs % group or 0 in sizes:
        raise call.fail(f"a weight of shape {weight} cannot be cut into {group} groups")
    _bias(call, outputs)
    return Info(result_dtype(call, "f32"), _join(call, batch, _windows(call, space, kernel, False), outputs))


def _bias(call: Call, outputs: Dim) -> None:
    if call.has(2) and call.input(2).shape not in (None, (outputs,)):
        raise call.fail(f"the bias must have shape ({outputs},), it has {call.input(2).shape}")


def _pool(call: Call) -> Info:
    batch, space, channels = _spatial(call)
    kernel, pads, dilations = (option(call.node, n) for n in ("kernel", "pads", "dilations"))
    for i in range(2):
        if max(pads[i], pads[i + 2]) > (kernel[i] - 1) * dilations[i]:
            raise call.fail("padding must be smaller than the window")
    space = _windows(call, space, kernel, option(call.node, "ceil_mode"))
    return Info(result_dtype(call, call.input(0).dtype), _join(call, batch, space, channels))


def _global_pool(call: Call) -> Info:
    batch, _, channels = _spatial(call)
    return Info(result_dtype(call, call.input(0).dtype), _join(call, batch, [1, 1], channels))


def _matmul(call: Call) -> Info:
    a, b = call.input(0).shape, call.input(1).shape
    if a is None or b is None:
        return Info(result_dtype(call, call.input(0).dtype), None)
    if not a or not b:
        raise call.fail("cannot multiply a scalar")
    inner = b[-2] if len(b) > 1 else b[0]
    if isinstance(a[-1], int) and isinstance(inner, int) and a[-1] != inner:
        raise call.fail(f"shapes {a} and {b} do not fit: {a[-1]} is not {inner}")
    rows = a[-2:-1] if len(a) > 1 else ()
    columns = b[-1:] if len(b) > 1 else ()
    stack = broadcast(call, [a[:-2], b[:-2]])
    assert stack is not None
    if call.has(2) and columns:
        _bias(call, columns[0])
    return Info(result_dtype(call, "f32"), (*stack, *rows, *columns))


# ---------------------------------------------------------------- elementwise


def _unary(call: Call) -> Info:
    info = call.input(0)
    dtype = "boolean" if call.node.op in COMPARISONS else info.dtype
    return Info(result_dtype(call, dtype), info.shape, info.content if call.node.op == "Identity" else None)


def _float_unary(call: Call) -> Info:
    info = call.input(0)
    if info.dtype != "f32" and call.node.compute != "int8_static":
        raise call.fail(f"takes f32, not {info.dtype}")
    return Info(result_dtype(call, "f32"), info.shape)


def _declared(call: Call) -> Info:
    """Cast and QuantizeLinear: the output's own dtype says what to make."""
    info = call.input(0)
    keeps = info.dtype in INTEGERS and call.output.dtype in INTEGERS and call.node.op == "Cast"
    return Info(call.output.dtype, info.shape, info.content if keeps else None)


def _dequantize(call: Call) -> Info:
    return Info("f32", call.input(0).shape)


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Max": max,
    "Min": min,
    "Div": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "Mod": lambda a, b: a % b,
}
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}


def _combine(op: str, a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return None if op in ("Div", "Mod") and b == 0 else _ARITHMETIC[op](a, b)
    if b == _NEUTRAL.get(op, "none"):
        return a
    return b if op in ("Add", "Mul") and a == _NEUTRAL[op] else None


def _nary(call: Call) -> Info:
    op, infos = call.node.op, [call.input(i) for i in range(len(call.inputs))]
    shape = broadcast(call, [i.shape for i in infos])
    operands = infos[1:] if op == "Where" else infos
    dtypes = {i.dtype for i in operands}
    if len(dtypes) > 1 and call.node.compute != "int8_static":
        raise call.fail(f"inputs have different data types: {', '.join(i.dtype for i in operands)}")
    if op == "Where" and infos[0].dtype != "boolean":
        raise call.fail(f"the condition must be boolean, not {infos[0].dtype}")
    if op in ("And", "Or") and dtypes != {"boolean"}:
        raise call.fail(f"takes booleans, not {', '.join(dtypes)}")
    if op in COMPARISONS:
        return Info("boolean", shape)
    content: Content | None = None
    if op in _ARITHMETIC and all(i.content is not None for i in infos) and (element_count(shape) or 0) <= CONTENT_LIMIT:
        content = np.frompyfunc(lambda a, b: _combine(op, a, b), 2, 1)(infos[0].content, infos[1].content)
        content = np.asarray(content, dtype=object).reshape(
            np.broadcast_shapes(*(i.content.shape for i in infos if i.content is not None))
        )
    return Info(result_dtype(call, operands[0].dtype), shape, content)


# ---------------------------------------------------------------- reductions and norms


def _reduce(call: Call) -> Info:
    info = call.input(0)
    if info.shape is None:
        return Info(result_dtype(call, info.dtype), None)
    axes = [axis_of(call, a, len(info.shape)) for a in option(call.node, "axes")]
    if len(set(axes)) != len(axes):
        raise call.fail(f"axes {axes} name a dimension twice")
    if option(call.node, "keepdims"):
        shape = tuple(1 if i in axes else d for i, d in enumerate(info.shape))
    else:
        shape = tuple(d for i, d in enumerate(info.shape) if i not in axes)
    return Info(result_dtype(call, info.dtype), shape)


def _softmax(call: Call) -> Info:
    info = _float_unary(call)
    if info.shape is not None:
        axis_of(call, option(call.node, "axis"), len(info.shape))
    return info


def _layer_norm(call: Call) -> Info:
    info = _softmax(call)
    if info.shape is not None:
        normalized = info.shape[axis_of(call, option(call.node, "axis"), len(info.shape)) :]
        for i in range(1, len(call.inputs)):
            if call.has(i) and is_static(normalized) and call.input(i).shape not in (None, normalized):
                raise call.fail(f"input {i} must have shape {normalized}, it has {call.input(i).shape}")
    return info


def _rules() -> dict[str, Rule]:
    rules: dict[str, Rule] = {
        **MOVES,
        "Conv": _conv,
        "MatMul": _matmul,
        "MaxPool": _pool,
        "AveragePool": _pool,
        "GlobalAveragePool": _global_pool,
        "Softmax": _softmax,
        "LayerNormalization": _layer_norm,
        "Cast": _declared,
        "QuantizeLinear": _declared,
        "DequantizeLinear": _dequantize,
    }
    loose = {"Relu", "Clip", "Abs", "Neg", "Identity", "Not", "IsNaN", "Floor", "Ceil"}
    for op in OPS.values():
        if op.family == "reduce":
            rules[op.name] = _reduce
        elif op.family == "nary":
            rules[op.name] = _nary
        elif op.name not in rules:
            rules[op.name] = _unary if op.name in loose else _float_unary
    return rules


RULES: dict[str, Rule] = _rules()
