"""Mean of each window over the positions inside the input (or inside the padding too: count_include_pad)."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call, to_first, to_last
from cmf.reference.integers import affine_of, requantize
from cmf.reference.windows import Windows


def run(call: Call) -> Array:
    x = to_last(call.input(0)) if call.channels_first else call.input(0)
    windows = _windows(call)
    total = windows.patches(x, 0).sum(axis=(3, 4), dtype=np.float64)
    y = (total / _counts(call, windows, x.shape)).astype(x.dtype)
    return np.ascontiguousarray(to_first(y)) if call.channels_first else y


def run_int8(call: Call) -> Array:
    """``acc = sum (q - zx)``, ``m = (float)((double)sx / ((double)sy * n))``."""
    x, affine, result = call.input(0), affine_of(call.value(0)), affine_of(call.output)
    windows = _windows(call)
    acc = windows.patches(x.astype(np.int32) - affine.zero_point, 0).sum(axis=(3, 4), dtype=np.int32)
    sx, sy = np.float64(np.float32(affine.scale)), np.float64(np.float32(result.scale))
    m = (sx / (sy * _counts(call, windows, x.shape))).astype(np.float32)
    return requantize(acc, m, result, call.node.activation)


def _windows(call: Call) -> Windows:
    return Windows.of(call, tuple(call.option("kernel")), call.option("ceil_mode"))


def _counts(call: Call, windows: Windows, shape: tuple[int, ...]) -> Array:
    """Positions counted in each window: f64 [1, Ho, Wo, 1]."""
    inside = np.ones((1, shape[1], shape[2], 1))
    if call.option("count_include_pad"):
        top, left, bottom, right = windows.pads
        inside = np.pad(inside, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=1)
        windows = Windows(windows.kernel, windows.strides, windows.dilations, (0, 0, 0, 0), windows.ceil)
        padded = windows.patches(inside, 0).sum(axis=(3, 4))
        # a window of ceil mode that begins in the padding behind the input does not exist
        original = _windows(call)
        return np.asarray(padded[:, : original.size(0, shape[1]), : original.size(1, shape[2])])
    return np.asarray(windows.patches(inside, 0).sum(axis=(3, 4)))
