"""Joins tensors along an axis."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    return np.concatenate(call.inputs(), axis=int(call.option("axis")))
