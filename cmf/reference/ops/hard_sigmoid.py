"""max(0, min(1, alpha x + beta))."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0)
    alpha, beta = (np.float32(call.option(name)) for name in ("alpha", "beta"))
    return np.asarray(np.clip(alpha * x + beta, np.float32(0), np.float32(1)))
