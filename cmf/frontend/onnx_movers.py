"""Converters of operators that move elements, and of shape arithmetic."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from cmf.frontend.onnx_node import OnnxNode
from cmf.ir.graph import Dim
from cmf.ir.ops import INTEGERS

_INT64_MAX = 2**63 - 1


def reshape_to(node: OnnxNode, x: str, source: str, dims: Sequence[Dim | tuple[int]]) -> None:
    """The node's output is ``x`` in a new shape: each dimension a number, or ``(axis,)`` of the value ``source``.

    Dimensions are written as numbers, 0 (as in the input) or -1 where that is enough, else computed by the model.
    """
    known, before = node.known_shape(source), node.known_shape(x)
    target: list[int] = []
    for i, dim in enumerate(dims):
        value = known[dim[0]] if isinstance(dim, tuple) else dim
        if isinstance(value, str):
            value = 0 if i < len(before) and before[i] == value else -1
        target.append(value)
    literal_zero = any(d == 0 and not _is_symbol(known, s) for d, s in zip(target, dims))
    if target.count(-1) <= 1 and not literal_zero:
        shape = node.add_constant(np.array(target, np.int64), f"{node.name}/shape")
        node.result("Reshape", [x, shape])
        return
    sizes = node.emit("Shape", [source])
    parts = []
    for dim in dims:
        if isinstance(dim, tuple):
            parts.append(node.emit("Gather", [sizes, node.add_constant(np.array([dim[0]], np.int64))], {"axis": 0}))
        else:
            parts.append(node.add_constant(np.array([dim], np.int64)))
    node.result("Reshape", [x, node.emit("Concat", parts, {"axis": 0})])


def _is_symbol(known: Sequence[Dim], dim: Dim | tuple[int]) -> bool:
    return isinstance(dim, tuple) and isinstance(known[dim[0]], str)


def _axis(node: OnnxNode, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise node.error(f"axis {axis} is outside a value of {rank} dimensions")
    return axis % rank


def constant(node: OnnxNode) -> None:
    data = node.tensor("value")
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if data is None and name in {a.name for a in node.proto.attribute}:
            number = node.number(name, 0.0) if dtype is np.float32 else node.integer(name)
            data = np.array(number, dtype)
    if data is None:
        floats, ints = node.numbers("value_floats"), node.integers("value_ints")
        if floats is not None:
            data = np.array(floats, np.float32)
        elif ints is not None:
            data = np.array(ints, np.int64)
    if data is None:
        raise node.unsupported("has no value; supported are value, value_float, value_floats, value_int, value_ints")
    node.alias(0, node.add_constant(data, f"{node.name}/value"))


def reshape(node: OnnxNode) -> None:
    node.arity(2, 2)
    shape = node.indices(node.input(1))
    if node.flag("allowzero", False):
        # with allowzero a 0 is a number: the IR has no such thing, and needs it only for empty tensors
        known = node.importer.infos[shape].content
        if known is None or any(d == 0 or d is None for d in known.reshape(-1)):
            raise node.unsupported("allowzero = 1 with a dimension that may be 0 is not supported")
    node.result("Reshape", [node.input(0), shape])


def flatten(node: OnnxNode) -> None:
    x = node.input(0)
    shape = node.known_shape(x)
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise node.error(f"axis {axis} is outside a value of {len(shape)} dimensions")
    axis += len(shape) if axis < 0 else 0
    rows, columns = shape[:axis], shape[axis:]
    target = [-1, -1]
    for i, dims in enumerate((rows, columns)):
        numbers = [d for d in dims if isinstance(d, int)]
        if len(numbers) == len(dims):
            target[i] = math.prod(numbers)
    if axis == 1:
        target[0] = 0
    if target == [-1, -1]:
        sizes = node.emit("Shape", [x])
        row = [
            node.emit("Gather", [sizes, node.add_constant(np.array([i], np.int64))], {"axis": 0}) for i in range(axis)
        ]
        total = row[0]
        for size in row[1:]:
            total = node.emit("Mul", [total, size])
        rest = node.add_constant(np.array([-1], np.int64))
        node.result("Reshape", [x, node.emit("Concat", [total, rest], {"axis": 0})])
        return
    node.result("Reshape", [x, node.add_constant(np.array(target, np.int64), f"{node.name}/shape")])


def _axes(node: OnnxNode) -> list[int] | None:
    """Axes of Squeeze and Unsqueeze: an attribute before opset 13, an input since."""
    axes = node.integers("axes")
    return node.known_ints(1, "axes") if node.has(1) else axes


def squeeze(node: OnnxNode) -> None:
    node.arity(1, 2)
    x, axes = node.input(0), _axes(node)
    shape = node.known_shape(x)
    if axes is None:
        if any(isinstance(d, str) for d in shape):
            raise node.unsupported("without axes every dimension must be a number")
        gone = {i for i, d in enumerate(shape) if d == 1}
    else:
        gone = {_axis(node, a, len(shape)) for a in axes}
    for axis in gone:
        if isinstance(shape[axis], int) and shape[axis] != 1:
            raise node.error(f"dimension {axis} of shape {shape} is not 1")
    reshape_to(node, x, x, [(i,) for i in range(len(shape)) if i not in gone])


def unsqueeze(node: OnnxNode) -> None:
    node.arity(1, 2)
    x, axes = node.input(0), _axes(node)
    if axes is None:
        raise node.error("axes are missing")
    shape = node.known_shape(x)
    rank = len(shape) + len(axes)
    new = {_axis(node, a, rank) for a in axes}
    if len(new) != len(axes):
        raise node.error(f"axes {axes} name a dimension twice")
    old = iter(range(len(shape)))
    dims: list[Dim | tuple[int]] = [1 if i in new else (next(old),) for i in range(rank)]
    reshape_to(node, x, x, dims)


def transpose(node: OnnxNode) -> None:
    node.arity(1, 1)
    rank = len(node.known_shape(node.input(0)))
    perm = node.integers("perm") or list(range(rank))[::-1]
    if sorted(perm) != list(range(rank)):
        raise node.error(f"perm {perm} does not fit a value of {rank} dimensions")
    node.result("Transpose", [node.input(0)], {"perm": tuple(perm)})


def concat(node: OnnxNode) -> None:
    node.arity(1, None)
    names = [node.input(i) for i in range(len(node.inputs))]
    axis = node.integer("axis")
    rank = len(node.known_shape(names[0]))
    node.result("Concat", names, {"axis": _axis(node, axis, rank)})


def slice_(node: OnnxNode) -> None:
    node.arity(3, 5)
    inputs = [node.input(0)]
    inputs += [node.indices(name) if name else "" for name in node.inputs[1:]]
    node.result("Slice", inputs)


def split(node: OnnxNode) -> None:
    """As one Slice an output."""
    node.arity(1, 2)
    x = node.input(0)
    shape = node.known_shape(x)
    axis = _axis(node, node.integer("axis", 0), len(shape))
    sizes = node.integers("split")
    if node.has(1):
        sizes = node.known_ints(1, "split")
    parts = node.integer("num_outputs", len(node.outputs))
    if sizes is None:
        size = shape[axis]
        if not isinstance(size, int):
            raise node.unsupported("without sizes the split dimension must be a number")
        if parts < 1:
            raise node.error(f"num_outputs is {parts}")
        each = -(-size // parts)
        sizes = [max(0, min(each, size - each * i)) for i in range(parts)]
    if len(sizes) != len(node.outputs) or any(s < 0 for s in sizes):
        raise node.error(f"{len(node.outputs)} outputs do not fit the sizes {sizes}")
    if isinstance(shape[axis], int) and sum(sizes) != shape[axis]:
        raise node.error(f"the sizes {sizes} do not add up to {shape[axis]}")
    start = 0
    for i, size in enumerate(sizes):
        if node.outputs[i]:
            numbers = [node.add_constant(np.array([n], np.int64)) for n in (start, start + size, axis)]
            node.emit("Slice", [x, *numbers], output=i)
        start += size


def gather(node: OnnxNode) -> None:
    node.arity(2, 2)
    rank = len(node.known_shape(node.input(0)))
    axis = _axis(node, node.integer("axis", 0), rank)
    node.result("Gather", [node.input(0), node.indices(node.input(1))], {"axis": axis})


def gather_nd(node: OnnxNode) -> None:
    node.arity(2, 2)
    node.must_be("batch_dims", 0)
    node.result("GatherND", [node.input(0), node.indices(node.input(1))])


def expand(node: OnnxNode) -> None:
    node.arity(2, 2)
    node.result("Expand", [node.input(0), node.indices(node.input(1))])


def constant_of_shape(node: OnnxNode) -> None:
    node.arity(1, 1)
    data = node.tensor("value")
    if data is None:
        data = np.zeros(1, np.float32)
    if data.size != 1:
        raise node.error("value must have one element")
    node.result("Expand", [node.add_constant(data.reshape(())), node.indices(node.input(0))])


def pad(node: OnnxNode) -> None:
    node.arity(2, 4)
    mode = node.choice("mode", "constant", ("constant", "reflect", "edge"))
    x, pads = node.input(0), node.indices(node.input(1))
    if node.has(3):
        rank = len(node.known_shape(x))
        axes = [_axis(node, a, rank) for a in node.known_ints(3, "axes")]
        given = node.known_ints(1, "pads, where axes are given,")
        if len(given) != 2 * len(axes):
            raise node.error(f"{len(given)} pads do not fit {len(axes)} axes")
        full = [0] * (2 * rank)
        for i, axis in enumerate(axes):
            full[axis], full[axis + rank] = given[i], given[i + len(axes)]
        pads = node.add_constant(np.array(full, np.int64))
    inputs = [x, pads]
    if node.has(2) and mode == "constant":
        inputs.append(node.input(2))
    node.result("Pad", inputs, {"mode": mode})


def shape(node: OnnxNode) -> None:
    node.arity(1, 1)
    start, end = node.integer("start", 0), node.integer("end", _INT64_MAX)
    limit = 2**31 - 1
    node.result(
        "Shape", [node.input(0)], {"start": max(-limit, min(start, limit)), "end": max(-limit, min(end, limit))}
    )


def size(node: OnnxNode) -> None:
    node.arity(1, 1)
    dims = node.known_shape(node.input(0))
    if any(isinstance(d, str) for d in dims):
        raise node.unsupported("the shape must be known")
    node.alias(0, node.add_constant(np.array(math.prod(int(d) for d in dims), np.int64)))


def range_(node: OnnxNode) -> None:
    node.arity(3, 3)
    node.must_be("stash_type", 1)
    names = [node.input(i) for i in range(3)]
    if node.dtype(names[0]) not in INTEGERS | {"f32"}:
        raise node.unsupported(f"counts in {node.dtype(names[0])}; supported: f32 and integers")
    node.result("Range", names)


CONVERTERS = {
    "Constant": constant,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Concat": concat,
    "Slice": slice_,
    "Split": split,
    "Gather": gather,
    "GatherND": gather_nd,
    "Expand": expand,
    "ConstantOfShape": constant_of_shape,
    "Pad": pad,
    "Shape": shape,
    "Size": size,
    "Range": range_,
}
