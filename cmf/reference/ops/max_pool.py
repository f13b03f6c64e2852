"""Largest value of each window; padding never wins."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call, to_first, to_last
from cmf.reference.windows import Windows


def run(call: Call) -> Array:
    x = to_last(call.input(0)) if call.channels_first else call.input(0)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    windows = Windows.of(call, tuple(call.option("kernel")), call.option("ceil_mode"))
    y = windows.patches(x, lowest).max(axis=(3, 4))
    return np.ascontiguousarray(to_first(y)) if call.channels_first else y
