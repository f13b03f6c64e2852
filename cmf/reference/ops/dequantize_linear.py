"""s (q - z), with the input's affine; before lowering with ONNX's scale and zero point inputs."""

from __future__ import annotations

import numpy as np

from cmf.reference.call import Array, Call
from cmf.reference.integers import affine_of, along_axis, dequantize


def run(call: Call) -> Array:
    q = call.input(0)
    if len(call.arrays) == 1:
        return dequantize(q, affine_of(call.value(0)))
    scale, zero = along_axis(call, q.ndim)
    return np.asarray(scale * (q.astype(np.int64) - zero).astype(np.float32))
