"""Encodings: what the bytes of a weight are. One file each, with the same name in schema, C, tests and docs."""

import sys

from cmf.encodings.base import EncodingError, Geometry, Tree
from cmf.encodings.bitpacked import Bitpacked
from cmf.encodings.codebook import Codebook
from cmf.encodings.dct import Dct, dct_matrix, dct_transform
from cmf.encodings.dense import Dense
from cmf.encodings.leaf import Leaf, scale_shape
from cmf.encodings.lowrank import LowRank
from cmf.encodings.quantized import Quantized
from cmf.encodings.sparse import Sparse
from cmf.encodings.transient import transient_bytes
from cmf.encodings.tree import ENCODINGS, check_tree, depth, is_panel, same
from cmf.encodings.winograd import Winograd, winograd_filters, winograd_geometry

if sys.byteorder != "little":
    raise ImportError("cmf runs on little-endian machines only: its files are little-endian throughout")

__all__ = [
    "ENCODINGS", "Bitpacked", "Codebook", "Dct", "Dense", "EncodingError", "Geometry", "Leaf", "LowRank", "Quantized",
    "Sparse", "Tree", "Winograd", "check_tree", "dct_matrix", "dct_transform", "depth", "is_panel", "same",
    "scale_shape", "transient_bytes", "winograd_filters", "winograd_geometry",
]
