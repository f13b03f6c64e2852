"""The last axis of the indices addresses the first axes of the data."""

from __future__ import annotations

import numpy as np

from cmf.errors import ShapeError
from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    data, indices = call.input(0), call.input(1)
    depth = indices.shape[-1]
    sizes = np.asarray(data.shape[:depth], np.int64)
    if indices.size and ((indices < -sizes).any() or (indices >= sizes).any()):
        raise ShapeError(f"an index is outside the data's {data.shape}")
    wrapped = np.where(indices < 0, indices + sizes, indices)
    return np.asarray(data[tuple(np.moveaxis(wrapped, -1, 0))])
