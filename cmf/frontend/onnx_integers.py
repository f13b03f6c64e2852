"""Converters of QuantizeLinear and DequantizeLinear.

With a constant scale and zero point for the whole tensor they become the affine of the integer value, as in the IR;
otherwise (weights with a scale a channel) they stay inputs, which the passes resolve.
"""

from __future__ import annotations

import numpy as np

from cmf.frontend.onnx_node import OnnxNode
from cmf.frontend.onnx_tensors import dtype_name
from cmf.ir.graph import Affine

_INTEGERS = ("i8", "u8", "i16", "u16", "i32")


def _affine(node: OnnxNode, dtype: str) -> Affine | None:
    """The affine, where it is constant and the same for the whole tensor."""
    if node.dtype(node.input(1)) != "f32":
        raise node.unsupported(f"a scale of type {node.dtype(node.input(1))} is not supported; supported: f32")
    if node.has(2) and node.dtype(node.input(2)) != dtype:
        raise node.error(f"the integers are {dtype}, the zero point is {node.dtype(node.input(2))}")
    scale = node.constant(node.input(1))
    zero = node.constant(node.input(2)) if node.has(2) else np.zeros((), np.int64)
    if scale is None or zero is None or scale.size != 1 or zero.size != 1:
        return None
    number = float(scale.reshape(()))
    if not (number > 0 and np.isfinite(number)):
        raise node.error(f"the scale is {number}; it must be a positive number")
    return Affine(number, int(zero.reshape(())))


def quantize(node: OnnxNode) -> None:
    node.arity(2, 3)
    node.ignore("saturate", "precision")
    node.must_be("block_size", 0)
    axis = node.integer("axis", 1)
    wanted = node.integer("output_dtype", 0)
    dtype = node.dtype(node.input(2)) if node.has(2) else "u8"
    if wanted:
        dtype = dtype_name(wanted, f"QuantizeLinear node {node.name!r}: the result")
    if dtype not in _INTEGERS:
        raise node.unsupported(f"a result of type {dtype} is not supported; supported: {', '.join(_INTEGERS)}")
    if node.dtype(node.input(0)) != "f32":
        raise node.unsupported(f"an input of type {node.dtype(node.input(0))} is not supported; supported: f32")
    affine = _affine(node, dtype)
    if affine is not None:
        node.emit("QuantizeLinear", [node.input(0)], output=0, dtype=dtype, affine=affine)
    else:
        node.result("QuantizeLinear", node.inputs, {"axis": axis}, dtype=dtype)


def dequantize(node: OnnxNode) -> None:
    node.arity(2, 3)
    node.must_be("block_size", 0)
    axis = node.integer("axis", 1)
    x = node.input(0)
    dtype = node.dtype(x)
    if node.integer("output_dtype", 1) not in (0, 1):
        raise node.unsupported("a result that is not f32 is not supported")
    if dtype not in _INTEGERS:
        raise node.unsupported(f"an input of type {dtype} is not supported; supported: {', '.join(_INTEGERS)}")
    value = node.importer.graph.value(x)
    affine = _affine(node, dtype)
    if affine is None or value.is_constant:
        node.result("DequantizeLinear", node.inputs, {"axis": axis})
        return
    if value.affine is None:
        value.affine = affine
    if value.affine == affine:
        node.result("DequantizeLinear", [x])
    else:
        raise node.unsupported(
            f"{x!r} was quantized with {value.affine} and is read with {affine}; supported: one scale "
            "and zero point for each integer value"
        )


CONVERTERS = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}
