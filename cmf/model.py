"""A network ready to be compressed or written: a lowered graph with a name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cmf.container.limits import MAGIC
from cmf.ir.graph import Graph, Shape, Value


class Model:
    """A channels-last graph with operators of the format only. Treat the graph as read-only: models share arrays."""

    def __init__(self, graph: Graph, *, codec: str = "raw") -> None:
        self.graph = graph
        #: the byte codec that :meth:`save` uses: raw, zstd or auto
        self.codec = codec

    @staticmethod
    def of(source: Any) -> Model:
        """From a Model (itself), a Graph, the path of an ONNX or CMF file, an ONNX file's bytes, or a ModelProto.

        Raises CmfError.
        """
        if isinstance(source, Model):
            return source
        if isinstance(source, (str, os.PathLike)) and _is_cmf(source):
            from cmf.container.reader import read

            return Model(read(source))
        from cmf.frontend import load
        from cmf.passes.pipeline import lower

        return Model(lower(load(source)))

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def inputs(self) -> dict[str, tuple[str, Shape | None]]:
        """dtype and shape (symbols by name) of each input."""
        return {name: _signature(self.graph.value(name)) for name in self.graph.inputs}

    @property
    def outputs(self) -> dict[str, tuple[str, Shape | None]]:
        """dtype and shape (symbols by name) of each output."""
        return {name: _signature(self.graph.value(name)) for name in self.graph.outputs}

    def save(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Path:
        """Writes the model; see :func:`cmf.save`, whose options it takes."""
        from cmf.saving import save

        return save(self, path, **options)

    def __repr__(self) -> str:
        return f"<cmf.Model {self.name!r}: {len(self.graph.nodes)} nodes, inputs {', '.join(self.inputs)}>"


def _signature(value: Value) -> tuple[str, Shape | None]:
    return value.dtype, value.shape


def _is_cmf(path: str | os.PathLike[str]) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # the front end says what is wrong with it
