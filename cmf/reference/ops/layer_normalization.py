"""(x - mean) / sqrt(variance + epsilon) * scale + bias over the axes from `axis` on."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0).astype(np.float64)
    axes = tuple(range(int(call.option("axis")) % x.ndim, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = (centred**2).mean(axis=axes, keepdims=True)
    y = centred / np.sqrt(variance + np.float64(np.float32(call.option("epsilon")))) * call.input(1)
    bias = call.optional(2)
    return np.asarray(y if bias is None else y + bias)
