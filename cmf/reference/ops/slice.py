"""Inputs: data, starts, ends, axes (optional), steps (optional), with ONNX's clamping."""

from __future__ import annotations

import numpy as np

from cmf.errors import ShapeError
from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x, starts, ends = (call.input(i) for i in range(3))
    axes, steps = call.optional(3), call.optional(4)
    where = range(len(starts)) if axes is None else axes.tolist()
    stride = [1] * len(starts) if steps is None else steps.tolist()
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(where, starts.tolist(), ends.tolist(), stride, strict=True):
        size = x.shape[axis]
        if step == 0:
            raise ShapeError("a step is 0")
        start, end = (v + size if v < 0 else v for v in (start, end))
        if step > 0:
            start, end = min(max(start, 0), size), min(max(end, 0), size)
            index[axis] = slice(start, end, step)
        else:
            start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
            index[axis] = slice(start, None if end < 0 else end, step)
    return np.ascontiguousarray(x[tuple(index)])
