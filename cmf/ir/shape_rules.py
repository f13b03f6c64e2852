"""One shape rule an operator: a function of a :class:`~cmf.ir.shapes.Call` that returns the output's Info."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Callable, Iterable

import numpy as np

from cmf.ir.graph import Dim, Shape
from cmf.ir.ops import COMPARISONS, INTEGERS, OPS, option
from cmf.ir.shapes import CONTENT_LIMIT, Call, Content, Info, element_count, is_static

Rule = Callable[[Call], Info]
_END = 2**31 - 1


# ---------------------------------------------------------------- dimensions


def window_size(size: int, kernel: int, stride: int, dilation: int, low: int, high: int, ceil_mode: bool) -> int:
    """Positions of a sliding window. With ``ceil_mode`` a last window that would begin beyond the input and its leading
    padding is left out, as ONNX Runtime does."""
    room = size + low + high - ((kernel - 1) * dilation + 1)
    if room < 0:
        return 0
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + low:
        count -= 1
    return count


def broadcast(call: Call, shapes: Iterable[Shape | None]) -> Shape | None:
    """The shape that numpy's rules give, None where a rank is not known."""
    known = list(shapes)
    if any(s is None for s in known):
        return None
    rank = max(len(s) for s in known if s is not None)
    out: list[Dim] = []
    for axis in range(rank):
        dims = [s[axis - rank + len(s)] for s in known if s is not None and axis - rank + len(s) >= 0]
        out.append(_broadcast_dim(call, axis, dims))
    return tuple(out)


def _broadcast_dim(call: Call, axis: int, dims: list[Dim]) -> Dim:
    result: Dim = 1
    for dim in dims:
        if dim == 1 or dim == result or _bounded_by(dim, result):
            continue
        if result == 1 or _bounded_by(result, dim):
            result = dim
        elif isinstance(result, int) and isinstance(dim, int):
            raise call.fail(f"shapes cannot be broadcast: {result} and {dim} on axis {axis} of the result")
        elif isinstance(dim, int):
            result = dim  # the symbol must be 1 or this number
        elif isinstance(result, str):
            result = call.symbol(axis)
    return result


def _bounded_by(dim: Dim, other: Dim) -> bool:
    """Is dim ``min(n,other)`` with n > 1? Then both can only be broadcast when they are equal."""
    if not isinstance(dim, str) or not isinstance(other, str) or not dim.startswith("min("):
        return False
    bound, _, symbol = dim[4:-1].partition(",")
    return symbol == other and int(bound) > 1


def _axis(call: Call, axis: int, rank: int, extra: int = 0) -> int:
    if not -rank - extra <= axis < rank + extra:
        raise call.fail(f"axis {axis} is outside a value of {rank} dimensions")
    return axis % (rank + extra) if rank + extra else 0


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
    return Info(_result(call, "f32"), _join(call, batch, _windows(call, space, kernel, False), outputs))


def _bias(call: Call, outputs: Dim) -> None:
    if call.has(2) and call.input(2).shape not in (None, (outputs,)):
        raise call.fail(f"the bias must have shape ({outputs},), it has {call.input(2).shape}")


def _result(call: Call, dtype: str) -> str:
    """dtype of a compute node's result: i8 for int8_static, else as given."""
    return call.output.dtype if call.node.compute == "int8_static" else dtype


def _pool(call: Call) -> Info:
    batch, space, channels = _spatial(call)
    kernel, pads, dilations = (option(call.node, n) for n in ("kernel", "pads", "dilations"))
    for i in range(2):
        if max(pads[i], pads[i + 2]) > (kernel[i] - 1) * dilations[i]:
            raise call.fail("padding must be smaller than the window")
    space = _windows(call, space, kernel, option(call.node, "ceil_mode"))
    return Info(_result(call, call.input(0).dtype), _join(call, batch, space, channels))


def _global_pool(call: Call) -> Info:
    batch, _, channels = _spatial(call)
    return Info(_result(call, call.input(0).dtype), _join(call, batch, [1, 1], channels))


def _matmul(call: Call) -> Info:
    a, b = call.input(0).shape, call.input(1).shape
    if a is None or b is None:
        return Info(_result(call, call.input(0).dtype), None)
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
    return Info(_result(call, "f32"), (*stack, *rows, *columns))


# ---------------------------------------------------------------- elementwise


def _unary(call: Call) -> Info:
    info = call.input(0)
    dtype = "boolean" if call.node.op in COMPARISONS else info.dtype
    return Info(_result(call, dtype), info.shape, info.content if call.node.op == "Identity" else None)


def _float_unary(call: Call) -> Info:
    info = call.input(0)
    if info.dtype != "f32" and call.node.compute != "int8_static":
        raise call.fail(f"takes f32, not {info.dtype}")
    return Info(_result(call, "f32"), info.shape)


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
    return Info(_result(call, operands[0].dtype), shape, content)


# ---------------------------------------------------------------- reductions and norms


def _reduce(call: Call) -> Info:
    info = call.input(0)
    if info.shape is None:
        return Info(_result(call, info.dtype), None)
    axes = [_axis(call, a, len(info.shape)) for a in option(call.node, "axes")]
    if len(set(axes)) != len(axes):
        raise call.fail(f"axes {axes} name a dimension twice")
    if option(call.node, "keepdims"):
        shape = tuple(1 if i in axes else d for i, d in enumerate(info.shape))
    else:
        shape = tuple(d for i, d in enumerate(info.shape) if i not in axes)
    return Info(_result(call, info.dtype), shape)


def _softmax(call: Call) -> Info:
    info = _float_unary(call)
    if info.shape is not None:
        _axis(call, option(call.node, "axis"), len(info.shape))
    return info


def _layer_norm(call: Call) -> Info:
    info = _softmax(call)
    if info.shape is not None:
        normalized = info.shape[_axis(call, option(call.node, "axis"), len(info.shape)) :]
        for i in range(1, len(call.inputs)):
            if call.has(i) and is_static(normalized) and call.input(i).shape not in (None, normalized):
                raise call.fail(f"input {i} must have shape {normalized}, it has {call.input(i).shape}")
    return info


# ---------------------------------------------------------------- movers


def _concat(call: Call) -> Info:
    infos = [call.input(i) for i in range(len(call.inputs))]
    if len({i.dtype for i in infos}) > 1:
        raise call.fail(f"inputs have different data types: {', '.join(i.dtype for i in infos)}")
    dtype = _result(call, infos[0].dtype)
    shapes = [i.shape for i in infos if i.shape is not None]
    if len(shapes) != len(infos):
        return Info(dtype, None)
    if len({len(s) for s in shapes}) > 1 or not shapes[0]:
        raise call.fail(f"inputs have different numbers of dimensions: {shapes}")
    axis = _axis(call, option(call.node, "axis"), len(shapes[0]))
    out: list[Dim] = []
    for i in range(len(shapes[0])):
        dims = [s[i] for s in shapes]
        numbers = {d for d in dims if isinstance(d, int)}
        if i == axis:
            out.append(
                sum(d for d in dims if isinstance(d, int))
                if len(numbers | set(dims)) == len(numbers)
                else dims[0]
                if len(dims) == 1
                else call.symbol(i)
            )
        elif len(numbers) > 1:
            raise call.fail(f"inputs differ on axis {i}: {dims}")
        else:
            out.append(next(iter(numbers)) if numbers else dims[0])
    contents = [i.content for i in infos if i.content is not None]
    content = np.concatenate(contents, axis=axis) if len(contents) == len(infos) else None
    return Info(dtype, tuple(out), content)


def _transpose(call: Call) -> Info:
    info, perm = call.input(0), option(call.node, "perm")
    if sorted(perm) != list(range(len(perm))) or info.shape is not None and len(perm) != len(info.shape):
        raise call.fail(f"perm {list(perm)} does not fit a value of shape {info.shape}")
    shape = None if info.shape is None else tuple(info.shape[p] for p in perm)
    return Info(info.dtype, shape, None if info.content is None else info.content.transpose(perm))


def _length(call: Call, index: int) -> int | None:
    """Entries of a one-dimensional integer input where they can be told."""
    info = call.input(index)
    if info.dtype not in ("i64", "i32"):
        raise call.fail(f"input {index} must be i64, not {info.dtype}")
    if info.shape is None:
        return None
    if len(info.shape) != 1:
        raise call.fail(f"input {index} must have one dimension, it has shape {info.shape}")
    return info.shape[0] if isinstance(info.shape[0], int) else None


def _from_content(call: Call, index: int) -> Shape | None:
    """The shape that an integer input spells, unknown entries as symbols."""
    entries, length = call.content(index), _length(call, index)
    if entries is None:
        return None if length is None or length > 8 else tuple(call.symbol(i) for i in range(length))
    return tuple(call.symbol(i) if e is None else e for i, e in enumerate(entries))


def _reshape(call: Call) -> Info:
    info, wanted = call.input(0), _from_content(call, 1)
    if wanted is None:
        return Info(info.dtype, None)
    out: list[Dim] = list(wanted)
    for i, dim in enumerate(out):
        if dim == 0:
            if info.shape is None:
                out[i] = call.symbol(i)
            elif i >= len(info.shape):
                raise call.fail(f"shape {list(wanted)} copies dimension {i} of an input of shape {info.shape}")
            else:
                out[i] = info.shape[i]
        elif isinstance(dim, int) and dim < -1:
            raise call.fail(f"shape {list(wanted)} has a dimension of {dim}")
    if wanted.count(-1) > 1:
        raise call.fail(f"shape {list(wanted)} has more than one -1")
    if -1 in wanted:
        axis = wanted.index(-1)
        rest = [d for i, d in enumerate(out) if i != axis]
        out[axis] = call.symbol(axis) if info.shape is None else _missing(call, info.shape, rest, axis)
    shape = tuple(out)
    before, after = element_count(info.shape), element_count(shape)
    if before is not None and after is not None and before != after:
        raise call.fail(f"{before} elements of shape {info.shape} do not fit in {shape}")
    content = info.content.reshape(shape) if info.content is not None and after is not None else None
    return Info(info.dtype, shape, content)


def _missing(call: Call, shape: Shape, rest: list[Dim], axis: int) -> Dim:
    """The dimension that -1 stands for."""
    symbols = Counter(d for d in shape if isinstance(d, str))
    others = Counter(d for d in rest if isinstance(d, str))
    above = math.prod(d for d in shape if isinstance(d, int))
    below = math.prod(d for d in rest if isinstance(d, int))
    left = symbols - others
    if others - symbols or below == 0:
        return call.symbol(axis)
    if not left:
        if above % below:
            raise call.fail(f"{above} elements cannot be divided by {below}")
        return above // below
    if above == below and sum(left.values()) == 1:
        return next(iter(left))
    return call.symbol(axis)


def _expand(call: Call) -> Info:
    info, wanted = call.input(0), _from_content(call, 1)
    if wanted is not None and any(isinstance(d, int) and d < 0 for d in wanted):
        raise call.fail(f"shape {list(wanted)} has a negative dimension")
    return Info(info.dtype, None if wanted is None else broadcast(call, [info.shape, wanted]))


def _slice(call: Call) -> Info:
    info = call.input(0)
    count = _length(call, 1)
    if info.shape is None or count is None:
        return Info(info.dtype, None if info.shape is None else tuple(call.symbol(i) for i in range(len(info.shape))))
    rank = len(info.shape)
    starts, ends = call.content(1), call.content(2)
    axes = call.integers(3) if call.has(3) else list(range(count))
    steps = call.integers(4) if call.has(4) else [1] * count
    if axes is None:
        return Info(info.dtype, tuple(call.symbol(i) for i in range(rank)))
    for name, given in (("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps)):
        if given is not None and len(given) != count:
            raise call.fail(f"{name} has {len(given)} entries, starts has {count}")
    if len(axes) > rank:
        raise call.fail(f"slices {len(axes)} axes of a value of shape {info.shape}")
    out, cuts = list(info.shape), [slice(None)] * rank
    content = info.content
    for k, axis in enumerate(_axis(call, a, rank) for a in axes):
        start, end, step = (None if s is None else s[k] for s in (starts, ends, steps))
        dim = info.shape[axis]
        if step == 0:
            raise call.fail("a step is 0")
        if isinstance(dim, int) and isinstance(start, int) and isinstance(end, int) and isinstance(step, int):
            first, last = _clamp(start, dim, step), _clamp(end, dim, step)
            out[axis] = max(0, -(-(last - first) // step))
            cuts[axis] = slice(first, None if last < 0 else last, step)
            continue
        content = None
        if start == 0 and step == 1 and isinstance(end, int) and end >= _END:
            continue  # all of it
        if start == 0 and step == 1 and isinstance(end, str) and end == dim:
            continue
        if start == 0 and step == 1 and isinstance(end, str) and isinstance(dim, int):
            out[axis] = f"min({dim},{end})"
        else:
            out[axis] = call.symbol(axis)
    return Info(info.dtype, tuple(out), None if content is None else content[tuple(cuts)])


def _clamp(index: int, dim: int, step: int) -> int:
    """A start or end as ONNX clamps it."""
    index = index + dim if index < 0 else index
    return min(max(index, 0), dim) if step > 0 else min(max(index, -1), dim - 1)


def _gather(call: Call) -> Info:
    data, index = call.input(0), call.input(1)
    if index.dtype not in ("i64", "i32"):
        raise call.fail(f"indices must be i64, not {index.dtype}")
    if data.shape is None or index.shape is None:
        return Info(data.dtype, None)
    axis = _axis(call, option(call.node, "axis"), len(data.shape))
    shape = (*data.shape[:axis], *index.shape, *data.shape[axis + 1 :])
    entries, dim = call.integers(1), data.shape[axis]
    if entries is not None and isinstance(dim, int) and any(not -dim <= e < dim for e in entries):
        raise call.fail(f"an index is outside {dim} elements on axis {axis}")
    content: Content | None = None
    if data.content is not None and entries is not None:
        picked = np.take(
            data.content,
            np.array(entries, dtype=np.int64).reshape(index.content.shape if index.content is not None else ()),
            axis,
        )
        content = np.asarray(picked, dtype=object).reshape(tuple(d for d in shape if isinstance(d, int)))
    return Info(data.dtype, shape, content)


def _gather_nd(call: Call) -> Info:
    data, index = call.input(0), call.input(1)
    if index.dtype not in ("i64", "i32"):
        raise call.fail(f"indices must be i64, not {index.dtype}")
    if data.shape is None or index.shape is None or not index.shape or not isinstance(index.shape[-1], int):
        return Info(data.dtype, None)
    if not 1 <= index.shape[-1] <= len(data.shape):
        raise call.fail(f"indices of shape {index.shape} do not fit a value of shape {data.shape}")
    return Info(data.dtype, (*index.shape[:-1], *data.shape[index.shape[-1] :]))


def _pad(call: Call) -> Info:
    info, pads = call.input(0), call.integers(1)
    if info.shape is None:
        return Info(info.dtype, None)
    rank = len(info.shape)
    if pads is None:
        return Info(info.dtype, tuple(call.symbol(i) for i in range(rank)))
    if len(pads) != 2 * rank:
        raise call.fail(f"pads must have {2 * rank} entries, it has {len(pads)}")
    out: list[Dim] = []
    for i, dim in enumerate(info.shape):
        more = pads[i] + pads[i + rank]
        if isinstance(dim, int) and dim + more < 0:
            raise call.fail(f"pads cut more than there is on axis {i}")
        out.append(dim + more if isinstance(dim, int) else dim if not more else call.symbol(i))
    return Info(info.dtype, tuple(out))


def _resize(call: Call) -> Info:
    info, wanted = call.input(0), _from_content(call, 1)
    if wanted is None:
        return Info(info.dtype, None if info.shape is None else tuple(call.symbol(i) for i in range(len(info.shape))))
    if info.shape is not None and len(wanted) != len(info.shape):
        raise call.fail(f"sizes must have {len(info.shape)} entries, it has {len(wanted)}")
    if any(isinstance(d, int) and d < 1 for d in wanted):
        raise call.fail(f"sizes {list(wanted)} must be at least 1")
    return Info(info.dtype, wanted)


def _shape(call: Call) -> Info:
    shape = call.input(0).shape
    start, end = option(call.node, "start"), option(call.node, "end")
    if shape is None:
        return Info("i64", (call.symbol(0),))
    dims = shape[slice(start, end)] if len(shape) else ()
    content = np.empty(len(dims), dtype=object)
    content[:] = dims
    return Info("i64", (len(dims),), content)


def _range(call: Call) -> Info:
    infos = [call.input(i) for i in range(3)]
    if len({i.dtype for i in infos}) > 1:
        raise call.fail("start, limit and delta have different data types")
    if any(i.shape not in (None, (), (1,)) for i in infos):
        raise call.fail("start, limit and delta must be scalars")
    start, limit, delta = (None if i.content is None else i.content.reshape(-1)[0] for i in infos)
    if isinstance(start, int) and isinstance(limit, int) and isinstance(delta, int):
        if delta == 0:
            raise call.fail("delta is 0")
        numbers = range(start, limit, delta)
        if len(numbers) <= CONTENT_LIMIT:
            content = np.empty(len(numbers), dtype=object)
            content[:] = list(numbers)
            return Info(infos[0].dtype, (len(numbers),), content)
        return Info(infos[0].dtype, (len(numbers),))
    if start == 0 and delta == 1 and isinstance(limit, str):
        return Info(infos[0].dtype, (limit,))
    return Info(infos[0].dtype, (call.symbol(0),))


def _rules() -> dict[str, Rule]:
    rules: dict[str, Rule] = {
        "Conv": _conv,
        "MatMul": _matmul,
        "MaxPool": _pool,
        "AveragePool": _pool,
        "GlobalAveragePool": _global_pool,
        "Softmax": _softmax,
        "LayerNormalization": _layer_norm,
        "Concat": _concat,
        "Slice": _slice,
        "Gather": _gather,
        "GatherND": _gather_nd,
        "Reshape": _reshape,
        "Transpose": _transpose,
        "Expand": _expand,
        "Pad": _pad,
        "Resize": _resize,
        "Shape": _shape,
        "Range": _range,
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
