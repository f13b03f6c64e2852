"""Which weights to drop: the smallest magnitudes of a weight (Han et al., arXiv 1506.02626)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32


def magnitude_mask(weight: F32, fraction: float) -> npt.NDArray[np.bool_]:
    """True where a weight is kept. Exactly ``round(fraction * size)`` are dropped; of equals, the first ones."""
    drop = round(fraction * weight.size)
    mask = np.ones(weight.size, np.bool_)
    if drop:
        magnitude = np.abs(weight).reshape(-1)
        threshold = np.partition(magnitude, drop - 1)[drop - 1]
        below = magnitude < threshold
        mask[below] = False
        equal = np.flatnonzero(magnitude == threshold)
        mask[equal[: drop - int(np.count_nonzero(below))]] = False
    return mask.reshape(weight.shape)
