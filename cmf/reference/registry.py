"""Operators by name: ``LeakyRelu`` is ``run`` in ``ops/leaky_relu.py``."""

from __future__ import annotations

import importlib
import keyword
import re
from types import ModuleType

from cmf.errors import UnsupportedError


def module_name(op: str) -> str:
    """``GatherND`` -> ``gather_nd``; Python's keywords get an underscore."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", op.replace("NaN", "Nan")).lower()
    return snake + "_" if keyword.iskeyword(snake) else snake


def operator(op: str) -> ModuleType:
    """The module of an operator: ``run(call)``, and where integers differ ``run_int8`` and ``run_dynamic``."""
    name = f"cmf.reference.ops.{module_name(op)}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UnsupportedError(f"the reference evaluator has no operator {op!r}") from None
