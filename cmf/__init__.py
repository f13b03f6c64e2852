"""CMF: a compressed model file, and the runtime that computes from it.

    cmf.save("net.onnx", "net.cmf")                             # without loss
    model, report = cmf.compress("net.onnx", "int8")            # a recipe
    cmf.save(model, "small.cmf")
    session = cmf.load("small.cmf")
    y = session(x)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmf.errors import CmfError

if TYPE_CHECKING:
    from cmf.compression import compress
    from cmf.model import Model
    from cmf.recipe import Recipe
    from cmf.runtime.api import load
    from cmf.saving import save

    __version__: str

__all__ = ["CmfError", "Model", "Recipe", "__version__", "compress", "load", "save"]

_HOMES = {"Model": "cmf.model", "Recipe": "cmf.recipe", "compress": "cmf.compression", "load": "cmf.runtime.api",
          "save": "cmf.saving"}


def __getattr__(name: str) -> Any:
    """Imports on first use (PEP 562): reading a model needs no writer, writing one no C library."""
    from importlib import import_module

    if name == "__version__":
        from importlib import metadata  # takes longer to import than all of the runtime

        value: Any = metadata.version("cmf-format")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'cmf' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
