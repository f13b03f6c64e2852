"""Quotient, broadcast; integers round towards zero."""

from __future__ import annotations

import numpy as np

from cmf.errors import ShapeError
from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    a, b = call.input(0), call.input(1)
    if a.dtype.kind == "f":
        return a / b
    if (b == 0).any():
        raise ShapeError("an integer is divided by zero")
    quotient = np.abs(a.astype(np.int64)) // np.abs(b.astype(np.int64))
    return (quotient * np.sign(a.astype(np.int64)) * np.sign(b.astype(np.int64))).astype(a.dtype)
