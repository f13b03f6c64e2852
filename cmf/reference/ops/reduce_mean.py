"""Mean over the axes in the options (all, where there are none)."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    if x.dtype.kind == "f":
        x = x.astype(np.float64)
    axes = tuple(call.option("axes", range(x.ndim)))
    return np.asarray(x.mean(axis=axes, keepdims=bool(call.option("keepdims", True))))
