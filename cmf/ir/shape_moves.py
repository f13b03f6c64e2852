"""Shape rules of operators that move elements, and of shape arithmetic."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from cmf.ir.dims import axis_of, broadcast, result_dtype
from cmf.ir.graph import Dim, Shape
from cmf.ir.ops import option
from cmf.ir.shapes import CONTENT_LIMIT, Call, Content, Info, element_count

#: an end of a Slice from here on means all of a dimension
_END = 2**31 - 1


def _concat(call: Call) -> Info:
    infos = [call.input(i) for i in range(len(call.inputs))]
    if len({i.dtype for i in infos}) > 1:
        raise call.fail(f"inputs have different data types: {', '.join(i.dtype for i in infos)}")
    dtype = result_dtype(call, infos[0].dtype)
    shapes = [i.shape for i in infos if i.shape is not None]
    if len(shapes) != len(infos):
        return Info(dtype, None)
    if len({len(s) for s in shapes}) > 1 or not shapes[0]:
        raise call.fail(f"inputs have different numbers of dimensions: {shapes}")
    axis = axis_of(call, option(call.node, "axis"), len(shapes[0]))
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
    for k, axis in enumerate(axis_of(call, a, rank) for a in axes):
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
    axis = axis_of(call, option(call.node, "axis"), len(data.shape))
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


MOVES = {
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
}
