"""Rounding that keeps sums: a few numbers are rounded the other way, so that each row's errors add up to nearly 0.

Most inputs of a layer come from a ReLU or a clip and have a mean. Errors that add up shift the layer's output by that
mean times their sum, for every input alike, and later layers never recover. Keeping the sum costs little squared error,
since what lies near the middle between two levels goes either way almost for free, and needs no data: Guo et al.,
"SQuant", arXiv 2202.07471, section 3.3, where it is derived from a diagonal approximation of the Hessian.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32


def swaps(wanted: F32, chosen: F32, other: F32) -> npt.NDArray[np.bool_]:
    """Where to take ``other`` instead of ``chosen``, rows [R, n]: where it is cheapest, until the row's sum is right.

    ``other`` is the neighbouring level on the other side of ``wanted``; equal to ``chosen`` where there is none. What
    is exact (zeros among them) stays.
    """
    error = chosen.astype(np.float64) - wanted
    step = other.astype(np.float64) - chosen
    total = error.sum(axis=1, keepdims=True)
    useful = (step * total < 0) & (error != 0)
    size = np.where(useful, np.abs(step), 0)
    price = np.where(useful, ((other - wanted) ** 2.0 - error**2) / np.where(useful, size, 1), np.inf)
    order = np.argsort(price, axis=1, kind="stable")
    paid = np.cumsum(np.take_along_axis(size, order, axis=1), axis=1)
    left = np.abs(np.concatenate([np.abs(total), np.abs(total) - paid], axis=1))
    count = left.argmin(axis=1)[:, None]
    swap = np.zeros(wanted.shape, np.bool_)
    np.put_along_axis(swap, order, np.arange(wanted.shape[1])[None, :] < count, axis=1)
    return np.asarray(swap & useful)


def keep_sums(before: F32, after: F32) -> F32:
    """``after``, which has zeros where weights of ``before`` were dropped, with its other weights moved, all of a row
    [S, O, K] by the same, so that the row adds up nearly as before.

    With inputs of mean m and variance v the expected error of the output is ``v sum e^2 + m^2 (sum e)^2``; it is least
    for a move of ``missing / (n + v / m^2)``. For a rectified normal input v / m^2 is pi - 1.
    """
    missing = (before.astype(np.float64) - after).sum(axis=2, keepdims=True)
    present = after != 0
    share = missing / (present.sum(axis=2, keepdims=True) + (np.pi - 1))
    return np.where(present, after + share, 0).astype(np.float32)
