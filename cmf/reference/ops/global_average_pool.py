"""Mean over all positions of each channel; the spatial axes stay as 1."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call
from cmf.reference.integers import affine_of, requantize


def run(call: Call) -> Array:
    x = call.input(0)
    axes = tuple(range(2, x.ndim)) if call.channels_first else tuple(range(1, x.ndim - 1))
    return np.asarray(x.mean(axis=axes, keepdims=True, dtype=np.float64))


def run_int8(call: Call) -> Array:
    """``acc = sum (q - zx)``, ``m = (float)((double)sx / ((double)sy * n))``."""
    x, affine, result = call.input(0), affine_of(call.value(0)), affine_of(call.output)
    axes = tuple(range(1, x.ndim - 1))
    acc = (x.astype(np.int32) - affine.zero_point).sum(axis=axes, keepdims=True, dtype=np.int32)
    n = int(np.prod([x.shape[a] for a in axes]))
    m = np.asarray(np.float64(np.float32(affine.scale)) / (np.float64(np.float32(result.scale)) * n)).astype(np.float32)
    return requantize(acc, m, result, call.node.activation)
