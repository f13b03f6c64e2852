"""Inputs: data, pads [begins, ends], value (optional), axes (optional). Negative pads crop."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    pads, fill, axes = call.input(1).tolist(), call.optional(2), call.optional(3)
    where = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes.tolist()]
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(where):
        widths[axis] = (pads[i], pads[i + len(where)])
    x = x[tuple(slice(max(0, -a), x.shape[i] - max(0, -b)) for i, (a, b) in enumerate(widths))]
    grow = [(max(0, a), max(0, b)) for a, b in widths]
    mode = call.option("mode")
    if mode == "constant":
        return np.pad(x, grow, constant_values=0 if fill is None else fill.reshape(()))
    return np.pad(x, grow, mode=mode)
