"""Mean over the axes in the options."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    if x.dtype.kind == "f":
        x = x.astype(np.float64)
    axes = tuple(call.option("axes"))
    return np.asarray(x.mean(axis=axes, keepdims=bool(call.option("keepdims"))))
