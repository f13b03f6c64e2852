"""x * Phi(x), Phi the normal distribution; or its tanh approximation."""

from __future__ import annotations

import math

import numpy as np

from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    x = call.input(0).astype(np.float64)
    if call.option("tanh"):
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    phi = np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2))).reshape(x.shape)
    return np.asarray(0.5 * x * (1 + phi))
