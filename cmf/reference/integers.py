"""Arithmetic of FORMAT.md section 5.2, expression by expression."""

from __future__ import annotations

import numpy as np

from cmf.errors import GraphError
from cmf.ir.graph import NUMPY_DTYPES, Activation, Affine, Value
from cmf.reference.call import Array, Call


def affine_of(value: Value) -> Affine:
    """The affine of an integer value; an error where it has none."""
    if value.affine is None:
        raise GraphError(f"value {value.name!r} has no scale and zero point")
    return value.affine


def quantize(x: Array, affine: Affine, dtype: str = "i8") -> Array:
    """``clamp(rne(x / s) + z)``, the division in f32; not a number becomes the zero point."""
    codes = np.rint(x.astype(np.float32) / np.float32(affine.scale)).astype(np.float64) + affine.zero_point
    info = np.iinfo(NUMPY_DTYPES[dtype])
    codes = np.where(np.isnan(codes), affine.zero_point, codes)
    return np.clip(codes, info.min, info.max).astype(info.dtype)


def dequantize(q: Array, affine: Affine) -> Array:
    """``s * (q - z)`` in f32."""
    return np.asarray(np.float32(affine.scale) * (q.astype(np.int32) - affine.zero_point).astype(np.float32))


def code_bounds(activation: Activation | None, affine: Affine) -> tuple[int, int]:
    """The range of output codes: that of i8, narrowed by the node's activation."""
    def code(real: float) -> int:
        with np.errstate(over="ignore"):
            q = np.rint(np.float32(real) / np.float32(affine.scale)) + np.float32(affine.zero_point)
        return int(np.clip(q, -128, 127))

    if activation is None:
        return -128, 127
    if activation.kind == "relu":
        return max(-128, affine.zero_point), 127
    return code(activation.low), code(activation.high)


def requantize(acc: Array, multiplier: Array, affine: Affine, activation: Activation | None) -> Array:
    """f32_rne: ``clamp(rne((float)acc * m) + zy)``. acc: i32; multiplier: f32, broadcast over the last axis."""
    scaled = np.rint(acc.astype(np.float32) * multiplier).astype(np.float64) + affine.zero_point
    return np.clip(scaled, *code_bounds(activation, affine)).astype(np.int8)


def multiplier(input_scale: float, weight_scales: Array, output_scale: float) -> Array:
    """``m[o] = (float)((double)sx * (double)sw[o] / (double)sy)``; the scales are f32."""
    sx, sy = (np.float64(np.float32(s)) for s in (input_scale, output_scale))
    return np.asarray(sx * weight_scales.astype(np.float64) / sy).astype(np.float32)


def wrap_i32(acc: Array) -> Array:
    """Exact sums as i32 (two's complement, as the accumulator is)."""
    return acc.astype(np.int64).astype(np.int32)


def exact_dtype(terms: int) -> type[np.float32] | type[np.float64]:
    """A float type in which a sum of `terms` products of two i8 codes is exact, whatever the order."""
    return np.float32 if terms * 128 * 128 <= 2**24 else np.float64


def quantize_rows(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """int8_dynamic: codes, and the scale of each row (x without `axes`; kept as 1)."""
    scale = (np.abs(x).max(axis=axes, keepdims=True) / np.float32(127)).astype(np.float32)
    safe = np.where(scale > 0, scale, np.float32(1))
    return np.clip(np.rint(x / safe), -127, 127).astype(np.int8), scale


def along_axis(call: Call, rank: int) -> tuple[Array, Array]:
    """ONNX's scale and zero point inputs of (De)QuantizeLinear, ready to broadcast along the axis option."""
    scale, zero = call.input(1), call.optional(2)
    shape = [1] * rank
    if scale.size > 1:
        shape[int(call.option("axis"))] = scale.size
    return scale.reshape(shape), np.zeros(shape, np.int64) if zero is None else zero.astype(np.int64).reshape(shape)


def apply_activation(x: Array, activation: Activation | None) -> Array:
    """The fused activation of a real result."""
    if activation is None:
        return x
    if activation.kind == "relu":
        return np.asarray(np.maximum(x, x.dtype.type(0)))
    if activation.kind == "clip":
        return np.asarray(np.minimum(np.maximum(x, x.dtype.type(activation.low)), x.dtype.type(activation.high)))
    raise GraphError(f"unknown activation {activation.kind!r}; known: relu, clip")
