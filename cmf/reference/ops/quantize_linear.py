"""clamp(rne(x / s) + z), with the output's affine; before lowering with ONNX's scale and zero point inputs."""

from __future__ import annotations

import numpy as np

from cmf.ir.graph import NUMPY_DTYPES
from cmf.reference.call import Array, Call
from cmf.reference.integers import affine_of, along_axis, quantize


def run(call: Call) -> Array:
    x = call.input(0)
    if len(call.arrays) == 1:
        return quantize(x, affine_of(call.output), call.output.dtype)
    scale, zero = along_axis(call, x.ndim)
    info = np.iinfo(NUMPY_DTYPES[call.output.dtype])
    codes = np.rint(x / scale).astype(np.float64) + zero
    return np.clip(codes, info.min, info.max).astype(info.dtype)
