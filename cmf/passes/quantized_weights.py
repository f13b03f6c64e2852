"""Weights that the graph dequantizes become ``Quantized`` trees. Exact: the same integers, scales and zero points.

Understood are DequantizeLinear of a constant, and Cast of 8-bit integers with Sub (of a zero point) and Mul (by a
scale) behind it, each with Transposes and Reshapes in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmf.encodings import Geometry, Quantized
from cmf.errors import CmfError
from cmf.ir.geometry import to_matrix, weight_geometry
from cmf.ir.graph import Graph, Node, Value
from cmf.ir.ops import op_of, option
from cmf.passes import dead_code
from cmf.passes.fold_constants import dequantize_inputs
from cmf.passes.rewrite import Array, Rewriter, fixed

_WIDTHS = (1, 2, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class Integers:
    """value = scale * (codes - zero); scale and zero have as many dimensions as codes, or none."""

    codes: Array
    scale: Array | None = None
    zero: Array | None = None


def run(graph: Graph) -> int:
    """Returns the number of weights turned. Needs a channels-last graph."""
    rewriter, count = Rewriter(graph), 0
    turned: dict[tuple[str, str, int], str | None] = {}
    names: dict[str, str] = {}
    for node in list(graph.nodes):
        slot = op_of(node).weight
        if slot is None or graph.value(node.inputs[slot]).is_constant:
            continue
        key = (node.inputs[slot], node.op, int(node.options.get("group", 1)))
        if key not in turned:
            turned[key] = _turn(graph, rewriter, names, node, node.inputs[slot])
        name = turned[key]
        if name is not None:
            rewriter.set_input(node, slot, name)
            count += 1
    # what computed the weights is dead; they take its name
    dead_code.run(graph)
    for name, stem in names.items():
        if stem not in graph.values:
            graph.rename(name, stem)
    return count


def _turn(graph: Graph, rewriter: Rewriter, names: dict[str, str], node: Node, name: str) -> str | None:
    """Adds the tree that a weight of a node stands for, and returns its name; None where there is none.

    ``names`` gets the name that the weight has in the model, not that of a permuted copy.
    """
    steps = _steps(graph, rewriter, name)
    integers = _resolve(graph, steps)
    if integers is None or integers.scale is None or integers.codes.size == 0:
        return None
    try:
        geometry = weight_geometry(node.op, integers.codes.shape, node.options)
    except CmfError:
        return None
    tree = _tree(node.op, geometry, integers)
    if tree is None:
        return None
    named = next((s for s in reversed(steps) if s.op not in ("Transpose", "Reshape")), steps[-1]).outputs[0]
    value: Value = rewriter.value(named, "f32", tuple(int(d) for d in integers.codes.shape))
    value.tree = tree
    names[value.name] = named
    return value.name


def _tree(op: str, geometry: Geometry, integers: Integers) -> Quantized | None:
    codes, scale, zero = integers.codes, integers.scale, integers.zero
    assert scale is not None
    if codes.dtype == np.uint8:
        codes = (codes.astype(np.int16) - 128).astype(np.int8)
        zero = np.array(-128, np.int32) if zero is None else zero.astype(np.int32) - 128
    matrix = to_matrix(codes, op, geometry)
    scales = _by_channel(to_matrix(np.broadcast_to(scale, codes.shape), op, geometry))
    if scales is None or not np.all(np.isfinite(scales)):
        return None
    zeros = None
    if zero is not None and np.any(zero != 0):
        zeros = _by_channel(to_matrix(np.broadcast_to(zero, codes.shape), op, geometry))
        if zeros is None or np.any(zeros < -128) or np.any(zeros > 127):
            return None
        zeros, scales = np.broadcast_arrays(zeros.astype(np.int8), scales)
        zeros = np.ascontiguousarray(zeros)
    return Quantized(geometry, matrix, np.ascontiguousarray(scales, np.float32), bits=_bits(matrix), zeros=zeros)


def _bits(codes: Array) -> int:
    """The narrowest width that holds all codes."""
    low, high = int(codes.min()), int(codes.max())
    return next(b for b in _WIDTHS if -(1 << b - 1) <= low and high < 1 << b - 1)


def _by_channel(matrix: Array) -> Array | None:
    """[S, O, K] as [S, O, 1] where it does not depend on the input, [1, 1, 1] where it is one number."""
    if np.any(matrix != matrix[:, :, :1]):
        return None
    first = matrix[:, :, :1]
    return first[:1, :1] if np.all(first == first[0, 0, 0]) else first


def _steps(graph: Graph, rewriter: Rewriter, name: str) -> list[Node]:
    """The nodes from constant integers to a weight, first to last."""
    steps: list[Node] = []
    node = rewriter.producer(name)
    while node is not None:
        steps.append(node)
        node = rewriter.producer(_through(graph, node))
    return steps[::-1]


def _resolve(graph: Graph, steps: list[Node]) -> Integers | None:
    """The integers, scale and zero point that the steps give."""
    found = _start(graph, steps[0]) if steps else None
    for step in steps[1:]:
        if found is None:
            return None
        found = _apply(graph, step, found)
    return found


def _through(graph: Graph, node: Node) -> str:
    """The input of a step that is not a constant of the scale's kind."""
    return next((n for n in node.inputs if n and not graph.value(n).is_constant), node.inputs[0])


def _start(graph: Graph, node: Node) -> Integers | None:
    source = graph.value(node.inputs[0])
    if source.data is None or source.data.dtype not in (np.int8, np.uint8):
        return None
    if node.op == "Cast" and graph.value(node.outputs[0]).dtype == "f32":
        return Integers(source.data)
    if node.op == "DequantizeLinear":
        codes, scale, zero = dequantize_inputs(graph, node)
        return Integers(codes, scale, zero if np.any(zero) else None)
    return None


def _apply(graph: Graph, node: Node, x: Integers) -> Integers | None:
    other = next((graph.value(n).data for n in node.inputs[::-1] if n and graph.value(n).data is not None), None)
    if node.op == "Transpose":
        perm = option(node, "perm")
        return Integers(x.codes.transpose(perm), _transpose(x.scale, perm), _transpose(x.zero, perm))
    if node.op == "Reshape" and all(p is None or p.size == 1 for p in (x.scale, x.zero)):
        shape = fixed(graph.value(node.outputs[0]).shape)
        if shape is None:
            return None
        scale, zero = (None if p is None else p.reshape(()) for p in (x.scale, x.zero))
        return Integers(x.codes.reshape(shape), scale, zero)
    if other is None or other.dtype != np.float32 or other.ndim > x.codes.ndim:
        return None
    wide = other.reshape((1,) * (x.codes.ndim - other.ndim) + other.shape)
    if any(wide.shape[i] not in (1, x.codes.shape[i]) for i in range(wide.ndim)):
        return None
    if node.op == "Mul" and x.scale is None:
        return Integers(x.codes, wide, x.zero)
    whole = bool(np.all(wide == np.rint(wide)) and np.all(np.abs(wide) <= 255))
    if (
        node.op == "Sub"
        and x.scale is None
        and x.zero is None
        and whole
        and not graph.value(node.inputs[0]).is_constant
    ):
        return Integers(x.codes, None, wide.astype(np.int32))
    return None


def _transpose(data: Array | None, perm: tuple[int, ...]) -> Array | None:
    return data if data is None or data.ndim == 0 else data.transpose(perm)
