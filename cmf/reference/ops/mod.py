"""Remainder, broadcast: with the divisor's sign for integers, with the dividend's for floats (fmod)."""

from __future__ import annotations

import numpy as np

from cmf.errors import ShapeError
from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    a, b = call.input(0), call.input(1)
    if a.dtype.kind == "f":
        return np.fmod(a, b)
    if (b == 0).any():
        raise ShapeError("an integer is divided by zero")
    return np.mod(a, b)
