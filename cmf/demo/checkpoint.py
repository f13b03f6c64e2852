"""Reads a torch checkpoint of plain tensors with numpy alone.

A checkpoint is a pickle, and a pickle can call anything it likes. So this unpickler knows four names - an ordered
dictionary, the function that rebuilds a tensor, two kinds of storage - and refuses every other. It reads the format
that torch wrote before version 1.6: four pickles, then for each storage its length and its numbers.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.errors import CmfError

Array = npt.NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage:
    """Numbers that tensors view; filled after the pickle has been read."""

    def __init__(self, dtype: str, size: int) -> None:
        self.dtype, self.size = np.dtype(dtype), size
        self.data: Array | None = None


class _Tensor:
    """A tensor that waits for its storage. The arguments are those of torch's ``_rebuild_tensor_v2``."""

    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], steps: tuple[int, ...], *_: Any) -> None:
        self.storage, self.offset, self.shape, self.steps = storage, offset, shape, steps

    def array(self) -> Array:
        data = self.storage.data
        count = int(np.prod(self.shape, dtype=np.int64))
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.steps)) if count else 0
        if data is None or not 0 <= self.offset or min((0, *self.steps)) < 0 or last >= max(1, data.size):
            raise CmfError("the checkpoint is damaged: a tensor lies outside its storage", "E_BUFFER")
        strides = [s * data.itemsize for s in self.steps]
        view: Array = np.lib.stride_tricks.as_strided(data[self.offset:], self.shape, strides)
        return np.array(view)


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _location, size, _view = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"the checkpoint refers to a {kind!r}, which is not allowed")
        return self.storages.setdefault(key, _Storage(dtype, size))


def read_checkpoint(path: str | Path) -> dict[str, Array]:
    """The tensors of a checkpoint by name. Raises CmfError for anything but a dictionary of plain tensors."""
    path = Path(path)
    try:
        stream = io.BytesIO(path.read_bytes())
    except OSError as cause:
        raise CmfError(f"{path}: {cause.strerror}", "E_IO") from None
    try:
        if (_Unpickler(stream).load(), _Unpickler(stream).load()) != (_MAGIC, _PROTOCOL):
            raise CmfError(f"{path} is not a torch checkpoint of the old format", "E_MAGIC")
        _Unpickler(stream).load()  # the writer's machine: little-endian, sizes of C's integers
        body = _Unpickler(stream)
        state = body.load()
        for key in _Unpickler(stream).load():
            storage = body.storages[key]
            size = int.from_bytes(stream.read(8), "little")
            raw = stream.read(storage.size * storage.dtype.itemsize)
            if size != storage.size or len(raw) != storage.size * storage.dtype.itemsize:
                raise CmfError(f"{path} is cut short or damaged: storage {key}", "E_TRUNCATED")
            storage.data = np.frombuffer(raw, storage.dtype)
        if not isinstance(state, dict) or not all(isinstance(v, _Tensor) for v in state.values()):
            raise CmfError(f"{path} holds no dictionary of tensors", "E_METADATA")
        return {str(name): tensor.array() for name, tensor in state.items()}
    except CmfError:
        raise
    except Exception as cause:  # a pickle can fail in any way
        raise CmfError(f"{path} cannot be read as a checkpoint: {cause}", "E_METADATA") from None
