"""Weights as arrays: decoded, or as the i8 codes and scales that integer nodes compute with."""

from __future__ import annotations

import numpy as np

from cmf.encodings import Bitpacked, Codebook, Quantized, Sparse
from cmf.encodings.base import F32, PANEL, Tree
from cmf.errors import GraphError
from cmf.ir.geometry import from_matrix
from cmf.ir.graph import Value
from cmf.reference.call import Array, Call


def static_shape(value: Value) -> tuple[int, ...]:
    """The shape of a weight, which has no symbols."""
    if value.shape is None or any(isinstance(d, str) for d in value.shape):
        raise GraphError(f"weight {value.name!r} needs a shape of numbers, not {value.shape}")
    return tuple(int(d) for d in value.shape)


def has_i8(tree: Tree) -> bool:
    """Does a tree give i8 codes with a scale for each tensor or channel (FORMAT.md 5.2)?"""
    if isinstance(tree, Sparse):
        return has_i8(tree.values)
    if isinstance(tree, Quantized):
        return tree.bits <= 8 and tree.zeros is None and tree.group == 0
    if isinstance(tree, Codebook):
        return tree.table.dtype == np.int8 and tree.scales is not None and tree.scales.shape[2] == 1
    return isinstance(tree, Bitpacked)


def i8_codes(tree: Tree) -> tuple[Array, F32]:
    """Codes [S, O, K] as i8 and scales [S, O] as f32 of a tree for which :func:`has_i8` holds."""
    geometry = tree.geometry
    if not has_i8(tree):
        raise GraphError(f"weight {tree.describe()} gives no i8 codes; integer nodes need quantized (8 bits or fewer, "
                         "no zero points, no groups), codebook with an i8 table and scales, or bitpacked")
    if isinstance(tree, Sparse):
        codes, scales = i8_codes(tree.values)
        return np.where(tree.mask, codes, np.int8(0)), scales
    assert isinstance(tree, (Quantized, Codebook, Bitpacked))
    codes = tree.codes
    if isinstance(tree, Codebook):
        codes = _table_lookup(tree)
    assert tree.scales is not None
    scales = np.broadcast_to(tree.scales[..., 0], (geometry.stack, geometry.outputs))
    return codes.astype(np.int8), np.ascontiguousarray(scales, dtype=np.float32)


def _table_lookup(tree: Codebook) -> Array:
    if tree.table.shape[0] == 1:
        return np.asarray(tree.table[0][tree.codes])
    stack, outputs, _ = tree.geometry.shape
    table = np.arange(stack)[:, None] * tree.geometry.panels + np.arange(outputs)[None, :] // PANEL
    return np.asarray(tree.table[table[..., None], tree.codes])


def weight(call: Call, index: int, op: str) -> Array:
    """The weight of a node as a dense array of its own shape."""
    value = call.value(index)
    if value.tree is None:
        return call.input(index)
    if value.name not in call.decoded:
        call.decoded[value.name] = from_matrix(value.tree.decode(), op, static_shape(value))
    return call.decoded[value.name]


def integer_weight(call: Call, index: int) -> tuple[Array, F32]:
    """Codes in the weight's own shape and scales [S, O] of an integer node's weight."""
    value = call.value(index)
    if value.tree is None:
        raise GraphError(f"{call.where} computes in {call.node.compute} but its weight {value.name!r} is not encoded")
    codes, scales = i8_codes(value.tree)
    return from_matrix(codes, call.node.op, static_shape(value)), scales
