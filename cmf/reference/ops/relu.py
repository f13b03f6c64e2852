"""max(x, 0)."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    return np.maximum(call.input(0), 0)
