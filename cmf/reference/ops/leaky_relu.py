"""x, or alpha x below 0."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    return np.where(x < 0, np.float32(call.option("alpha")) * x, x)
