"""One is true, broadcast."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    return np.logical_or(call.input(0), call.input(1))
