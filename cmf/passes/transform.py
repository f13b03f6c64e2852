"""Weights in another basis: cosine coefficients and Winograd filters, as float matrices with their geometry."""

from __future__ import annotations

import numpy as np

from cmf.encodings import dct_transform, winograd_filters, winograd_geometry
from cmf.encodings.base import F32, Geometry


def cosine(weight: F32, geometry: Geometry, input_block: int, output_block: int) -> F32:
    """The coefficients ``Dout W Din^T`` [S, O, K]; orthonormal, so squared errors are those of the weight."""
    return dct_transform(weight, geometry.run, input_block, output_block).astype(np.float32)


def winograd(weight: F32, geometry: Geometry, tile: int) -> tuple[F32, Geometry]:
    """``W[1, O, 9*C]`` with run C -> U ``[(tile+2)^2, O, C]``."""
    spatial = weight.reshape(geometry.outputs, 3, 3, geometry.run)
    return winograd_filters(spatial, tile).astype(np.float32), winograd_geometry(geometry, tile)
