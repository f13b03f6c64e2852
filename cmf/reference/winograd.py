"""Winograd's minimal filtering F(t x t, 3 x 3) on arrays (Lavin and Gray, arXiv 1509.09308; FORMAT.md 3.8)."""

from __future__ import annotations

import numpy as np

from cmf.encodings.base import F32
from cmf.encodings.winograd import A_T, B_T
from cmf.reference.call import Array


def winograd_convolve(x: Array, filters: F32, tile: int, pads: tuple[int, int, int, int]) -> Array:
    """x [N, H, W, I], filters U [(tile+2)^2, O, I] -> [N, Ho, Wo, O], strides 1."""
    bt, at = (np.asarray(m, np.float32) for m in (B_T[tile], A_T[tile]))
    size = tile + 2
    n, height, width, inputs = x.shape
    top, left, bottom, right = pads
    ho, wo = height + top + bottom - 2, width + left + right - 2
    th, tw = -(-ho // tile), -(-wo // tile)
    x = np.pad(x, ((0, 0), (top, th * tile + 2 - height - top), (left, tw * tile + 2 - width - left), (0, 0)))
    y = np.empty((n, th * tile, tw * tile, filters.shape[1]), np.float32)
    for image in range(n):
        for row in range(th):
            strip = x[image, row * tile : row * tile + size]
            columns = np.arange(tw)[:, None] * tile + np.arange(size)[None, :]
            d = strip[:, columns]  # [size, tw, size, I]
            v = np.einsum("ia,jb,atbc->ijtc", bt, bt, d, optimize=True).reshape(size * size, tw, inputs)
            m = (v.astype(np.float32) @ filters.swapaxes(1, 2)).reshape(size, size, tw, -1)
            strip_out = np.einsum("pi,qj,ijto->ptqo", at, at, m, optimize=True)
            y[image, row * tile : (row + 1) * tile] = strip_out.reshape(tile, tw * tile, -1)
    return y[:, :ho, :wo]
