"""Front ends: framework objects become graphs. Frameworks are imported only when they are needed."""

from __future__ import annotations

import os
from typing import Any

from cmf.errors import UnsupportedError
from cmf.ir.graph import Graph


def load(model: Any) -> Graph:
    """A graph, channels first or last, from any model that is understood.

    ``model``: the path of an .onnx file (str or PathLike), its bytes, an ``onnx.ModelProto``, or a :class:`Graph`,
    which is returned as it is. Raises :class:`~cmf.errors.CmfError`.
    """
    if isinstance(model, Graph):
        return model
    if isinstance(model, (str, os.PathLike, bytes, bytearray, memoryview)) or _is_onnx(model):
        from cmf.frontend.onnx_import import from_onnx

        return from_onnx(model)
    raise UnsupportedError(
        f"cannot read a model of type {type(model).__name__}; give the path or bytes of an ONNX file, "
        "an onnx.ModelProto, or a cmf Graph"
    )


def _is_onnx(model: Any) -> bool:
    return type(model).__name__ == "ModelProto" and type(model).__module__.startswith("onnx")
