"""Errors: one clear sentence each - what, where, what to do."""

from __future__ import annotations


class CmfError(Exception):
    """Base of every error that this package raises on purpose.

    ``code`` is the name of the C status that says the same thing (``CMF_STATUS_MAP`` in ``cmf.h``).
    """

    code = "E_ARGUMENT"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class FormatError(CmfError):
    """A file is not a valid CMF file, or is damaged."""

    code = "E_METADATA"


class UnsupportedError(CmfError):
    """An operator, attribute or encoding that is valid but not supported; names the node and what is supported."""

    code = "E_UNSUPPORTED"


class ShapeError(CmfError):
    """Shapes or data types do not fit."""

    code = "E_SHAPE"


class GraphError(CmfError):
    """A graph breaks a rule of the IR (or of ONNX)."""

    code = "E_GRAPH"


class RecipeError(CmfError):
    """A recipe cannot be parsed or does not apply."""

    code = "E_ARGUMENT"
