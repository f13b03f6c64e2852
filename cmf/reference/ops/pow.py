"""a to the b, broadcast, in a's type."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    a, b = call.input(0), call.input(1)
    return np.power(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)
