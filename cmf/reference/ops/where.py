"""Picks from b where the first input is true, else from c; broadcast."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    return np.where(call.input(0), call.input(1), call.input(2))
