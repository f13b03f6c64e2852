"""Picks along an axis; negative indices count from the end."""

from __future__ import annotations

import numpy as np

from cmf.errors import ShapeError
from cmf.reference.call import Array, Call
from cmf.reference.weights import weight


def run(call: Call) -> Array:
    value, indices = call.value(0), call.input(1)
    axis = int(call.option("axis"))
    if value.tree is not None and axis != 0:
        raise ShapeError("a weight can be gathered from along axis 0 only")
    data = weight(call, 0, "Gather")
    size = data.shape[axis]
    if indices.size and (indices.min() < -size or indices.max() >= size):
        raise ShapeError(f"an index is outside [{-size}, {size - 1}]")
    return np.take(data, np.where(indices < 0, indices + size, indices), axis=axis)
