"""ONNX tensors as numpy arrays. Trusts nothing that a file says: sizes are checked before memory is taken."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.errors import FormatError, GraphError, UnsupportedError
from cmf.ir.graph import NUMPY_DTYPES
from cmf.ir.shapes import MAX_ELEMENTS

Array = npt.NDArray[Any]

#: TensorProto.DataType -> dtype name of the IR
DTYPES: dict[int, str] = {
    1: "f32",
    2: "u8",
    3: "i8",
    4: "u16",
    5: "i16",
    6: "i32",
    7: "i64",
    9: "boolean",
    10: "f16",
    11: "f64",
    12: "u32",
    13: "u64",
    16: "bf16",
}
_NAMES = {
    8: "string",
    14: "complex64",
    15: "complex128",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
}
#: 4-bit integers, stored two in a byte, low first; read as bytes
_NIBBLES = {21: "u8", 22: "i8"}
_FIELDS = {"f32": "float_data", "f64": "double_data", "i64": "int64_data", "u32": "uint64_data", "u64": "uint64_data"}
#: TensorProto.DataLocation.EXTERNAL
_EXTERNAL = 1


def dtype_name(code: int, what: str) -> str:
    """The IR's name of an ONNX data type; raises :class:`UnsupportedError` where there is none."""
    if code in DTYPES:
        return DTYPES[code]
    raise UnsupportedError(
        f"{what} has data type {_NAMES.get(code, code)}, which is not supported; supported are "
        f"{', '.join(DTYPES.values())}"
    )


def to_array(tensor: Any, folder: str | None) -> Array:
    """The contents of an ``onnx.TensorProto``. ``folder`` is where external data may lie; None: nowhere."""
    what = f"tensor {tensor.name!r}"
    nibbles = tensor.data_type in _NIBBLES
    dtype = _NIBBLES[tensor.data_type] if nibbles else dtype_name(tensor.data_type, what)
    shape = tuple(int(d) for d in tensor.dims)
    if any(d < 0 for d in shape) or len(shape) > 8:
        raise GraphError(f"{what} has the impossible shape {shape}")
    count = math.prod(shape)
    if count > MAX_ELEMENTS:
        raise GraphError(f"{what} has {count} elements; at most 2^40 are possible", "E_LIMIT")
    if tensor.HasField("segment"):
        raise UnsupportedError(f"{what} is stored in segments, which is not supported")
    numpy_dtype = _numpy_dtype(dtype).newbyteorder("<")
    size = (count + 1) // 2 if nibbles else count * numpy_dtype.itemsize
    raw: bytes | None = None
    if tensor.data_location == _EXTERNAL:
        raw = _external(tensor, folder, size, what)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    if raw is None:
        return _typed(tensor, dtype, nibbles, count, what).reshape(shape)
    if len(raw) != size:
        raise GraphError(f"{what} of shape {shape} needs {size} bytes, it holds {len(raw)}")
    if nibbles:
        return _unpack(np.frombuffer(raw, np.uint8), count, dtype).reshape(shape)
    if dtype == "boolean":
        return np.asarray((np.frombuffer(raw, np.uint8) != 0).reshape(shape))
    return np.frombuffer(raw, numpy_dtype).astype(numpy_dtype.newbyteorder("=")).reshape(shape)


def _numpy_dtype(dtype: str) -> np.dtype[Any]:
    if dtype == "bf16":
        import ml_dtypes  # registers the name with numpy

        bf16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bf16
    return np.dtype(NUMPY_DTYPES[dtype])


def _unpack(packed: Array, count: int, dtype: str) -> Array:
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[:count]
    return np.where(codes > 7, codes.astype(np.int8) - 16, codes).astype(np.int8) if dtype == "i8" else codes


def _typed(tensor: Any, dtype: str, nibbles: bool, count: int, what: str) -> Array:
    """Contents from the field of the tensor's own type."""
    name = _FIELDS.get(dtype, "int32_data")
    field = getattr(tensor, name)
    wanted = (count + 1) // 2 if nibbles else count
    if len(field) != wanted:
        raise GraphError(
            f"{what} of shape {tuple(tensor.dims)} needs {wanted} numbers in {name}, it holds {len(field)}"
        )
    numpy_dtype = _numpy_dtype(dtype)
    numbers = np.array(field, dtype=numpy_dtype if name != "int32_data" else np.int64)
    if name != "int32_data":
        return numbers
    if dtype in ("f16", "bf16"):
        return _narrow(numbers, np.dtype(np.uint16), what).view(numpy_dtype)
    if nibbles:
        return _unpack(_narrow(numbers & 0xFF, np.dtype(np.uint8), what), count, dtype)
    if dtype == "boolean":
        return np.asarray(numbers != 0)
    return _narrow(numbers, numpy_dtype, what)


def _narrow(numbers: Array, dtype: np.dtype[Any], what: str) -> Array:
    narrow = numbers.astype(dtype)
    if not np.array_equal(narrow, numbers):
        raise GraphError(f"{what} holds numbers that are not {dtype.name}")
    return narrow


def _external(tensor: Any, folder: str | None, size: int, what: str) -> bytes:
    """Bytes from a file beside the model; the path must not leave the model's folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise FormatError(
            f"{what} is stored in the file {location!r}; load the model by its path, so that it can be found", "E_IO"
        )
    root = os.path.realpath(folder)
    try:
        path = os.path.realpath(os.path.join(root, location))
        inside = not os.path.isabs(location) and location != "" and os.path.commonpath([root, path]) == root
    except ValueError:  # a zero byte, or another drive
        inside = False
    if not inside:
        raise GraphError(f"{what} names the external file {location!r}, which is not inside the model's folder")
    try:
        offset, length = int(entries.get("offset", "0") or 0), int(entries.get("length", "") or size)
    except ValueError:
        raise GraphError(f"{what} has an external offset or length that is no number") from None
    if length != size:
        raise GraphError(f"{what} needs {size} bytes, its external data is declared to have {length}")
    try:
        with open(path, "rb") as file:
            end = os.fstat(file.fileno()).st_size
            if offset < 0 or offset + size > end:
                raise GraphError(f"{what} needs bytes {offset} to {offset + size} of {location!r}, which has {end}")
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise FormatError(
            f"{what}: cannot read external data {location!r}: {error.strerror or error}", "E_IO"
        ) from error
