"""``cmf.save``: a model as one file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from cmf.container.writer import write
from cmf.model import Model


def save(
    model: Any, path: str | os.PathLike[str] | None = None, *, codec: str | None = None, alignment: int = 64
) -> Path:
    """Writes a model and returns the path written.

    model: the path of an ONNX file, its bytes, an ``onnx.ModelProto`` (these lose nothing: weights stay the floats, or
    the integers, that they are) or a :class:`cmf.Model`. path: without one the graph's name + ``.cmf`` in the working
    folder. codec: ``raw`` (computed from where it lies), ``zstd`` (smaller, inflated when opened) or ``auto`` (zstd
    where it saves an eighth); None: what the model says, raw mostly. alignment: of buffers; 16 for devices. The same
    model gives the same bytes. An interrupted write leaves an old file of that name whole. Raises CmfError.
    """
    model = Model.of(model)
    graph = model.graph
    if path is None:
        path = (re.sub(r"[^\w.-]+", "_", graph.name).strip("._") or "model") + ".cmf"
    return write(graph, path, codec=codec or model.codec, alignment=alignment)
