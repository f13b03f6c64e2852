"""One scale and signs for each channel: binary and ternary weights of least squared error."""

from __future__ import annotations

import numpy as np

from cmf.encodings import Bitpacked
from cmf.encodings.base import F32, Geometry


def ternarize(weight: F32, geometry: Geometry) -> Bitpacked:
    """-a, 0, a for each channel, exactly optimal.

    With the k largest magnitudes nonzero the best a is their mean, and the error is least where the square of their sum
    over k is greatest; all k are tried (Li et al., arXiv 1605.04711, equation 6, without their approximation).
    """
    rows = np.abs(weight).reshape(-1, geometry.inputs)
    ordered = -np.sort(-rows, axis=1)
    sums = np.cumsum(ordered, axis=1, dtype=np.float64)
    best = np.argmax(sums**2 / np.arange(1, rows.shape[1] + 1), axis=1)
    at = np.arange(len(rows))
    alpha, threshold = sums[at, best] / (best + 1), ordered[at, best]
    chosen = (rows >= threshold[:, None]) & (rows > 0)
    codes = np.where(chosen, np.sign(weight).reshape(rows.shape), 0).astype(np.int8)
    return _packed(codes, alpha, geometry, "ternary")


def binarize(weight: F32, geometry: Geometry) -> Bitpacked:
    """-a, a for each channel; a is the mean magnitude of what is not zero, which is optimal (arXiv 1603.05279, 3.1).

    Zeros become +a, so they must be made absent.
    """
    rows = weight.reshape(-1, geometry.inputs)
    present = np.count_nonzero(rows, axis=1)
    alpha = np.abs(rows).sum(axis=1, dtype=np.float64) / np.maximum(present, 1)
    return _packed(np.where(rows < 0, np.int8(-1), np.int8(1)), alpha, geometry, "binary")


def _packed(codes: object, alpha: object, geometry: Geometry, levels: str) -> Bitpacked:
    scales = np.asarray(alpha, np.float32).reshape(geometry.stack, geometry.outputs, 1)
    with np.errstate(over="ignore"):
        half = scales.astype(np.float16).astype(np.float32)
    # one part in 2^11 of a is far below the error of so few levels, unless f16 runs out of range
    fits = bool((np.abs(half - scales) <= np.abs(scales) * np.float32(2**-11)).all())
    return Bitpacked(geometry, np.asarray(codes, np.int8).reshape(geometry.shape), scales, levels,
                     scale_dtype="f16" if fits else "f32", granularity="channel")
