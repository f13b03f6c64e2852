"""Limits to [min, max], both optional inputs."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    low, high = call.optional(1), call.optional(2)
    if low is not None:
        x = np.maximum(x, low.reshape(()))
    return np.minimum(x, high.reshape(())) if high is not None else x
