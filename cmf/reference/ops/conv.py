"""Convolution in two dimensions, channels last: x [N, H, W, I], weight [O, kh, kw, I/group], bias [O].

Before lowering (channels first) x is [N, I, H, W] and the weight [O, I/group, kh, kw].
"""

from __future__ import annotations

import numpy as np

from cmf.encodings import Winograd
from cmf.errors import ShapeError
from cmf.reference.call import Array, Call, to_first, to_last
from cmf.reference.integers import affine_of, exact_dtype, multiplier, quantize_rows, requantize, wrap_i32
from cmf.reference.weights import integer_weight, weight
from cmf.reference.windows import Windows, convolve
from cmf.reference.winograd import winograd_convolve


def run(call: Call) -> Array:
    x = call.input(0)
    if x.ndim != 4:
        raise ShapeError(f"the input has shape {x.shape}; only two spatial dimensions are supported")
    if call.channels_first:
        x = to_last(x)
    bias = call.optional(2)
    tree = call.value(1).tree
    if isinstance(tree, Winograd):
        windows = Windows.of(call, (3, 3))
        if windows.strides != (1, 1) or windows.dilations != (1, 1) or _group(call) != 1:
            raise ShapeError("a Winograd weight needs strides 1, dilations 1 and one group")
        name = call.value(1).name
        if name not in call.decoded:
            call.decoded[name] = tree.filters.decode()
        y = winograd_convolve(x, call.decoded[name], tree.tile, windows.pads)
    else:
        w = weight(call, 1, "Conv")
        w = to_last(w) if call.channels_first and tree is None else w
        y = convolve(x, w, Windows.of(call, w.shape[1:3]), _group(call))
    y = y if bias is None else y + bias
    return np.ascontiguousarray(to_first(y)) if call.channels_first else y


def run_int8(call: Call) -> Array:
    """int8_static of FORMAT.md 5.2: the i32 bias already holds the input's zero point."""
    affine, result = affine_of(call.value(0)), affine_of(call.output)
    codes, scales = integer_weight(call, 1)
    acc = _accumulate(call, call.input(0), codes, affine.zero_point)
    bias = call.optional(2)
    acc = wrap_i32(acc if bias is None else acc + bias)
    m = multiplier(affine.scale, scales.reshape(-1), result.scale)
    return requantize(acc, m, result, call.node.activation)


def run_dynamic(call: Call) -> Array:
    """int8_dynamic: one scale for each image."""
    q, scale = quantize_rows(call.input(0), (1, 2, 3))
    codes, scales = integer_weight(call, 1)
    acc = wrap_i32(_accumulate(call, q, codes, 0))
    y = acc.astype(np.float32) * (scale * scales.reshape(-1))
    bias = call.optional(2)
    return y if bias is None else y + bias


def _group(call: Call) -> int:
    return int(call.option("group"))


def _accumulate(call: Call, x: Array, codes: Array, fill: int) -> Array:
    """Exact sums of products as i64."""
    dtype = exact_dtype(int(np.prod(codes.shape[1:])))
    windows = Windows.of(call, codes.shape[1:3])
    return convolve(x.astype(dtype), codes.astype(dtype), windows, _group(call), fill).astype(np.int64)
