"""Resizes to the sizes input. Coordinates are exact fractions; nearest rounds down; linear clamps at the edges."""

from __future__ import annotations

import numpy as np

from cmf.errors import ShapeError, UnsupportedError
from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    sizes = [a for a in call.arrays[1:] if a is not None]
    if len(sizes) != 1 or sizes[0].dtype != np.int64 or sizes[0].size != x.ndim:
        raise ShapeError("needs one i64 input of sizes, one for each dimension")
    mode, coordinates = call.option("mode"), call.option("coordinates")
    y = x if mode == "nearest" else x.astype(np.float64)
    for axis, size in enumerate(int(s) for s in sizes[0]):
        if size == x.shape[axis]:
            continue
        numerator, denominator = _coordinate(coordinates, size, x.shape[axis])
        low = numerator // denominator
        first = np.clip(low, 0, x.shape[axis] - 1)
        if mode == "nearest":
            y = np.take(y, first, axis=axis)
            continue
        second = np.clip(low + 1, 0, x.shape[axis] - 1)
        part = ((numerator - low * denominator) / denominator).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        y = np.take(y, first, axis=axis) * (1 - part) + np.take(y, second, axis=axis) * part
    return y.astype(x.dtype)


def _coordinate(kind: str, out: int, size: int) -> tuple[Array, int]:
    """Where output i lies in the input, as numerators over one denominator."""
    i = np.arange(out, dtype=np.int64)
    if kind == "asymmetric":
        return i * size, out
    if kind == "half_pixel" or (kind == "pytorch_half_pixel" and out > 1):
        return (2 * i + 1) * size - out, 2 * out
    if kind == "align_corners" and out > 1:
        return i * (size - 1), out - 1
    if kind in ("align_corners", "pytorch_half_pixel"):
        return i * 0, 1
    raise UnsupportedError(f"coordinates {kind!r} are not known")
