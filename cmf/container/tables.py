"""How options lie in the tables of cmf.fbs, and which fields are enums. (Trees: ``wire`` of each encoding.)"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from cmf.container._generated import enums
from cmf.errors import FormatError

#: table -> its scalar fields and vectors
OPTION_TABLES: dict[str, tuple[str, ...]] = {
    "ConvOptions": ("strides", "dilations", "pads", "group"),
    "PoolOptions": ("kernel", "strides", "pads", "dilations", "ceil_mode", "count_include_pad"),
    "AxisOptions": ("axis",),
    "NormOptions": ("axis", "epsilon"),
    "AlphaOptions": ("alpha", "beta"),
    "ReduceOptions": ("axes", "keepdims"),
    "TransposeOptions": ("perm",),
    "ShapeOptions": ("start", "end"),
    "ResizeOptions": ("mode", "coordinates"),
    "PadOptions": ("mode",),
    "GeluOptions": ("tanh",),
}
#: fields that are vectors of 32-bit integers
VECTORS = frozenset({"strides", "dilations", "pads", "kernel", "axes", "perm"})
#: fields that are booleans
FLAGS = frozenset({"ceil_mode", "count_include_pad", "keepdims", "tanh"})

#: op -> the table of its options (FORMAT.md 5.1); ops that are not here have none
OPTIONS_OF: dict[str, str] = {
    "Conv": "ConvOptions", "MaxPool": "PoolOptions", "AveragePool": "PoolOptions",
    "Softmax": "AxisOptions", "Concat": "AxisOptions", "Gather": "AxisOptions",
    "QuantizeLinear": "AxisOptions", "DequantizeLinear": "AxisOptions",
    "LayerNormalization": "NormOptions", "LeakyRelu": "AlphaOptions", "HardSigmoid": "AlphaOptions",
    "ReduceMean": "ReduceOptions", "ReduceSum": "ReduceOptions", "ReduceMax": "ReduceOptions",
    "Transpose": "TransposeOptions", "Shape": "ShapeOptions", "Resize": "ResizeOptions", "Pad": "PadOptions",
    "Gelu": "GeluOptions",
}

_ENUMS: dict[str, type[IntEnum]] = {
    "dtype": enums.DType, "scale_dtype": enums.DType, "table_dtype": enums.DType, "granularity": enums.Granularity,
    "levels": enums.Levels, "form": enums.Form, "pattern": enums.Pattern, "coordinates": enums.Coordinates,
}
_MODES: dict[str, type[IntEnum]] = {"ResizeOptions": enums.ResizeMode, "PadOptions": enums.PadMode}


def camel(field: str) -> str:
    """``scale_dtype`` -> ``ScaleDtype``, as flatc names it."""
    return "".join(part.capitalize() for part in field.split("_"))


def enum_name(enum: type[IntEnum], number: int, what: str) -> str:
    """The name of an id; raises FormatError for one that this version of the format does not have."""
    try:
        return enum(number).name
    except ValueError:
        raise FormatError(f"{what} has id {number}, which this reader does not know", "E_VERSION") from None


def to_wire(table: str, field: str, value: Any) -> Any:
    """A field's value as FlatBuffers takes it: enums by their number."""
    enum = _MODES.get(table) if field == "mode" else _ENUMS.get(field)
    return int(enum[value]) if enum else value


def from_wire(table: str, field: str, value: Any) -> Any:
    """The inverse; raises FormatError for a number that the enum lacks."""
    enum = _MODES.get(table) if field == "mode" else _ENUMS.get(field)
    if enum:
        return enum_name(enum, value, f"{table}.{field}")
    return bool(value) if field in FLAGS else value
