"""Rounds up."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    return np.ceil(call.input(0))
