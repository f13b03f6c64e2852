"""To the output's type; floats become integers by cutting off."""

from __future__ import annotations

from cmf.errors import UnsupportedError
from cmf.ir.graph import NUMPY_DTYPES
from cmf.reference.call import Array, Call


def run(call: Call) -> Array:
    dtype = NUMPY_DTYPES[call.output.dtype]
    if dtype == "bfloat16":
        raise UnsupportedError("casts to bf16 are not supported")
    return call.input(0).astype(dtype)
