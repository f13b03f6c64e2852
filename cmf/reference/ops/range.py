"""start, start + delta, ... below limit."""

from __future__ import annotations

import math

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    start, limit, delta = (call.input(i).reshape(()) for i in range(3))
    count = max(0, math.ceil((float(limit) - float(start)) / float(delta)))
    return np.asarray(start + np.arange(count).astype(start.dtype) * delta)
