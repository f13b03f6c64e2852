"""Matrix product x @ w, broadcast over leading axes, plus an optional bias."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call
from cmf.reference.integers import affine_of, exact_dtype, multiplier, quantize_rows, requantize, wrap_i32
from cmf.reference.weights import integer_weight, weight


def run(call: Call) -> Array:
    y = np.matmul(call.input(0), weight(call, 1, "MatMul"))
    bias = call.optional(2)
    return np.asarray(y if bias is None else y + bias)


def run_int8(call: Call) -> Array:
    """int8_static of FORMAT.md 5.2: the i32 bias already holds the input's zero point."""
    affine, result = affine_of(call.value(0)), affine_of(call.output)
    codes, scales = integer_weight(call, 1)
    acc = _accumulate(call.input(0), codes)
    bias = call.optional(2)
    acc = wrap_i32(acc if bias is None else acc + bias)
    m = multiplier(affine.scale, _align(scales, codes), result.scale)
    return requantize(acc, m, result, call.node.activation)


def run_dynamic(call: Call) -> Array:
    """int8_dynamic: one scale for each row."""
    q, scale = quantize_rows(call.input(0), (-1,))
    codes, scales = integer_weight(call, 1)
    acc = wrap_i32(_accumulate(q, codes))
    y = acc.astype(np.float32) * (scale * _align(scales, codes))
    bias = call.optional(2)
    return np.asarray(y if bias is None else y + bias)


def _accumulate(x: Array, codes: Array) -> Array:
    """Exact sums of products as i64."""
    dtype = exact_dtype(codes.shape[-2])
    return np.asarray(np.matmul(x.astype(dtype), codes.astype(dtype)).astype(np.int64))


def _align(scales: Array, codes: Array) -> Array:
    """Scales [S, N] against a product [S..., M, N]."""
    return scales.reshape(*codes.shape[:-2], 1, codes.shape[-1]) if codes.ndim > 2 else scales.reshape(-1)
