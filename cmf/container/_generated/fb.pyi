# Generated from schema/cmf.fbs by tools/gen_schema.py: do not edit.
from typing import Any

def __getattr__(name: str) -> Any: ...
