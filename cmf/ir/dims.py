"""Arithmetic of dimensions that may be symbols: windows, broadcasting, axes."""

from __future__ import annotations

from typing import Iterable

from cmf.ir.graph import Dim, Shape
from cmf.ir.shapes import Call


def window_size(size: int, kernel: int, stride: int, dilation: int, low: int, high: int, ceil_mode: bool) -> int:
    """Positions of a sliding window. With ``ceil_mode`` a last window that would begin beyond the input and its leading
    padding is left out, as ONNX Runtime does."""
    room = size + low + high - ((kernel - 1) * dilation + 1)
    if room < 0:
        return 0
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= size + low:
        count -= 1
    return count


def broadcast(call: Call, shapes: Iterable[Shape | None]) -> Shape | None:
    """The shape that numpy's rules give, None where a rank is not known."""
    known = list(shapes)
    if any(s is None for s in known):
        return None
    rank = max(len(s) for s in known if s is not None)
    out: list[Dim] = []
    for axis in range(rank):
        dims = [s[axis - rank + len(s)] for s in known if s is not None and axis - rank + len(s) >= 0]
        out.append(_broadcast_dim(call, axis, dims))
    return tuple(out)


def _broadcast_dim(call: Call, axis: int, dims: list[Dim]) -> Dim:
    result: Dim = 1
    for dim in dims:
        if dim == 1 or dim == result or _bounded_by(dim, result):
            continue
        if result == 1 or _bounded_by(result, dim):
            result = dim
        elif isinstance(result, int) and isinstance(dim, int):
            raise call.fail(f"shapes cannot be broadcast: {result} and {dim} on axis {axis} of the result")
        elif isinstance(dim, int):
            result = dim  # the symbol must be 1 or this number
        elif isinstance(result, str):
            result = call.symbol(axis)
    return result


def _bounded_by(dim: Dim, other: Dim) -> bool:
    """Is dim ``min(n,other)`` with n > 1? Then both can only be broadcast when they are equal."""
    if not isinstance(dim, str) or not isinstance(other, str) or not dim.startswith("min("):
        return False
    bound, _, symbol = dim[4:-1].partition(",")
    return symbol == other and bound.isdecimal() and int(bound) > 1


def axis_of(call: Call, axis: int, rank: int) -> int:
    """A possibly negative axis as an index of a dimension."""
    if not -rank <= axis < rank:
        raise call.fail(f"axis {axis} is outside a value of {rank} dimensions")
    return axis % rank


def result_dtype(call: Call, dtype: str) -> str:
    """dtype of a compute node's result: i8 for int8_static, else as given."""
    return call.output.dtype if call.node.compute == "int8_static" else dtype
