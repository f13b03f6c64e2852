"""How the weight of an operator becomes a matrix ``W[stack, outputs, inputs]`` (the table of FORMAT.md, section 2)."""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import Geometry
from cmf.errors import ShapeError

#: Below this many input channels a run holds a whole window, so that words are not mostly padding.
SMALL_RUN = 8


def weight_geometry(op: str, shape: Sequence[int], options: Mapping[str, Any] | None = None) -> Geometry:
    """The geometry of a channels-last weight: Conv [O, kh, kw, I/g], MatMul [S..., K, N], Gather [rows, n...].

    Raises :class:`ShapeError` where the operator has no such weight.
    """
    dims = [int(d) for d in shape]
    if any(d < 1 for d in dims):
        raise ShapeError(f"a {op} weight of shape {tuple(dims)} is empty")
    if op == "Conv":
        return _conv(dims, int((options or {}).get("group", 1)))
    if op == "MatMul":
        if len(dims) < 2:
            raise ShapeError(f"a MatMul weight needs at least 2 dimensions, it has shape {tuple(dims)}")
        return Geometry(math.prod(dims[:-2]), dims[-1], dims[-2], dims[-2])
    if op == "Gather":
        if not dims or int((options or {}).get("axis", 0)) != 0:
            raise ShapeError("only a Gather along axis 0 can have an encoded weight")
        inputs = math.prod(dims[1:])
        return Geometry(1, dims[0], inputs, inputs)
    raise ShapeError(f"{op} has no encoded weights; Conv, MatMul and Gather have")


def _conv(dims: list[int], group: int) -> Geometry:
    if len(dims) != 4 or group < 1 or dims[0] % group:
        raise ShapeError(f"a Conv weight of shape {tuple(dims)} cannot be cut into {group} groups")
    outputs, height, width, inputs = dims
    window = height * width * inputs
    if inputs == 1 and group > 1:
        return Geometry(1, outputs, window, window, "rows")
    return Geometry(group, outputs // group, window, window if inputs < SMALL_RUN else inputs)


def to_matrix(weight: npt.NDArray[Any], op: str, geometry: Geometry) -> npt.NDArray[Any]:
    """An array of the weight's shape as ``[stack, outputs, inputs]`` (contiguous)."""
    if op == "MatMul":
        matrix = weight.reshape(geometry.stack, geometry.inputs, geometry.outputs).transpose(0, 2, 1)
    else:
        matrix = weight.reshape(geometry.shape)
    return np.ascontiguousarray(matrix)


def from_matrix(matrix: npt.NDArray[Any], op: str, shape: Sequence[int]) -> npt.NDArray[Any]:
    """The inverse of :func:`to_matrix`."""
    if op == "MatMul":
        matrix = matrix.transpose(0, 2, 1)
    return np.ascontiguousarray(matrix).reshape(tuple(shape))
