"""Weights as arrays: decoded, or as the i8 codes and scales that integer nodes compute with."""

from __future__ import annotations

import numpy as np

from cmf.encodings import Bitpacked, Codebook, Quantized, Sparse
from cmf.encodings.base import F32, Tree
from cmf.errors import GraphError
from cmf.ir.graph import Value
from cmf.reference.call import Array, Call


def static_shape(value: Value) -> tuple[int, ...]:
    """The shape of a weight, which has no symbols."""
    if value.shape is None or any(isinstance(d, str) for d in value.shape):
        raise GraphError(f"weight {value.name!r} needs a shape of numbers, not {value.shape}")
    return tuple(int(d) for d in value.shape)


def to_matrices(array: Array, op: str, group: int = 1) -> Array:
    """A weight of a Conv (channels last), MatMul or Gather node as [S, O, K] (FORMAT.md section 2)."""
    if op == "Conv":
        outputs, per_group = array.shape[0], array.shape[-1]
        stack = group if per_group > 1 else 1
        return array.reshape(stack, outputs // stack, -1)
    if op == "MatMul":
        inputs, outputs = array.shape[-2:]
        return np.ascontiguousarray(array.reshape(-1, inputs, outputs).swapaxes(1, 2))
    return array.reshape(1, array.shape[0], -1)


def from_matrices(matrices: Array, op: str, shape: tuple[int, ...]) -> Array:
    """The inverse of :func:`to_matrices`."""
    if op == "MatMul":
        return np.asarray(matrices.swapaxes(1, 2).reshape(shape))
    return matrices.reshape(shape)


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
    panels = -(-outputs // 16)
    table = np.arange(stack)[:, None] * panels + np.arange(outputs)[None, :] // 16
    return np.asarray(tree.table[table[..., None], tree.codes])


def weight(call: Call, index: int, op: str) -> Array:
    """The weight of a node as a dense array of its own shape."""
    value = call.value(index)
    if value.tree is None:
        return call.input(index)
    return from_matrices(value.tree.decode(), op, static_shape(value))


def integer_weight(call: Call, index: int) -> tuple[Array, F32]:
    """Codes in the weight's own shape and scales [S, O] of an integer node's weight."""
    value = call.value(index)
    if value.tree is None:
        raise GraphError(f"{call.where} computes in {call.node.compute} but its weight {value.name!r} is not encoded")
    codes, scales = i8_codes(value.tree)
    return from_matrices(codes, call.node.op, static_shape(value)), scales
