"""Permutes the axes; reverses them without `perm`."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    return np.ascontiguousarray(np.transpose(x, call.option("perm")))
