"""Walks calibration inputs through a network, layer by layer, and says what each layer is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32
from cmf.errors import CmfError
from cmf.ir.graph import Graph, Node
from cmf.ir.ops import OPS, option
from cmf.passes.hessian import Moments
from cmf.passes.layers import Layer
from cmf.reference import evaluate_node
from cmf.reference.windows import Windows

Array = npt.NDArray[Any]

#: columns wanted for each layer, of all inputs together
COLUMNS = 8192
#: bytes of activations held at a time; fewer inputs are used where they would take more
MEMORY = 1 << 30
#: bytes of a Hessian; layers where it would take more are not calibrated (8,000 inputs are 256 MB)
MATRIX = 1 << 28


def walk(
    before: Graph, after: Graph, layers: list[Layer], inputs: list[dict[str, Array]], sequential: bool,
    tell: Callable[[int], None] = lambda done: None,
) -> Iterator[tuple[Layer, Moments | None]]:
    """Yields each layer, in execution order, with the moments of its inputs just before its first node runs.

    ``sequential``: inputs come from ``after``, whose earlier layers the caller has changed since they were yielded, and
    are compared with those of ``before``; else from ``before``, and layers are independent of each other. None where a
    layer has no inputs that are numbers (embeddings) or too many. Of a weight's uses the first one counts.
    """
    first = {layer.nodes[0].outputs[0]: layer for layer in layers}
    last = {name: index for index, node in enumerate(before.nodes) for name in node.inputs}
    keep = set(before.outputs)
    count = _affordable(before, inputs[0], last, len(inputs), sequential)
    picked = np.unique(np.linspace(0, len(inputs) - 1, count).round().astype(int))
    original = [dict(inputs[i]) for i in picked]
    # what the compressed network computes differently
    moved: list[dict[str, Array]] = [{} for _ in picked]
    for index, node in enumerate(before.nodes):
        layer = first.get(node.outputs[0])
        if layer is not None:
            yield layer, _moments(node, layer, before, original, moved)
        decoded: dict[str, Array] = {}
        decoded_after: dict[str, Array] = {}
        changed = sequential and (any(name in moved[0] for name in node.inputs) or any(
            after.values[name] is not before.values[name] for name in node.inputs if name))
        for old, new in zip(original, moved, strict=True):
            if changed:
                new.update(evaluate_node(node, {**old, **new}, after, decoded_after))
            old.update(evaluate_node(node, old, before, decoded))
            for name in node.inputs:
                if last[name] == index and name not in keep:
                    old.pop(name, None)
                    new.pop(name, None)
        tell(index + 1)


def _affordable(graph: Graph, example: dict[str, Array], last: dict[str, int], count: int, sequential: bool) -> int:
    """How many inputs' activations fit the memory."""
    live, most = dict(example), 1
    decoded: dict[str, Array] = {}
    for index, node in enumerate(graph.nodes):
        live.update(evaluate_node(node, live, graph, decoded))
        most = max(most, sum(array.nbytes for array in live.values()))
        for name in node.inputs:
            if last[name] == index:
                live.pop(name, None)
                decoded.pop(name, None)
    return int(np.clip(MEMORY // (most * (2 if sequential else 1)), 1, count))


def _moments(
    node: Node, layer: Layer, graph: Graph, original: list[dict[str, Array]], moved: list[dict[str, Array]]
) -> Moments | None:
    if node.op not in ("Conv", "MatMul"):
        return None
    place = node.inputs[1 - (OPS[node.op].weight or 0)]
    if place not in original[0] or original[0][place].dtype != np.float32:
        return None
    shape = [int(d) for d in graph.value(layer.name).shape or ()]
    blocks = layer.geometry.outputs if "depthwise" in layer.kinds else 1
    if 4 * layer.geometry.stack * blocks * layer.geometry.inputs**2 > MATRIX:
        return None
    moments = Moments()
    for index, (old, new) in enumerate(zip(original, moved, strict=True)):
        offset = index * 0.6180339887 % 1
        limit = -(-COLUMNS // len(original))
        now = columns(node, shape, new.get(place, old[place]), limit, offset)
        moments.add(now, columns(node, shape, old[place], limit, offset) if place in new else None)
    return moments


def columns(node: Node, shape: list[int], x: Array, limit: int, offset: float = 0.0) -> F32:
    """What the weight of ``shape`` is multiplied with, [B, n, K]: at most ``limit`` columns of each block.

    They are evenly spread from ``offset`` (0..1) on. B is the weight's stack, or its outputs where it is depthwise.
    """
    if node.op == "MatMul":
        stack = shape[:-2]
        x = x.reshape((1,) * max(0, 2 - x.ndim) + x.shape)
        batch = np.broadcast_shapes(x.shape[:-2], tuple(stack))
        x = np.broadcast_to(x, (*batch, *x.shape[-2:])) if stack else x
        blocks = int(np.prod(stack)) if stack else 1
        x = x.reshape(-1, blocks, *x.shape[-2:]).swapaxes(0, 1) if stack else x
        x = x.reshape(blocks, -1, x.shape[-1])
        return np.ascontiguousarray(x[:, _spread(x.shape[1], limit, offset)], np.float32)
    if node.op != "Conv":
        raise CmfError(f"{node.op} has no columns")
    group, (outputs, height, width, inputs) = int(option(node, "group")), shape
    strides, dilations, pads = (option(node, name) for name in ("strides", "dilations", "pads"))
    windows = Windows((height, width), (strides[0], strides[1]), (dilations[0], dilations[1]),
                      (pads[0], pads[1], pads[2], pads[3]))
    view = windows.patches(x, 0)
    n, ho, wo = np.unravel_index(_spread(int(np.prod(view.shape[:3])), limit, offset), view.shape[:3])
    patches = view[n, ho, wo].reshape(len(n), height * width, group, inputs)
    by_group = np.moveaxis(patches, 2, 0).reshape(group, len(n), -1)
    if inputs == 1 and outputs > group > 1:
        by_group = np.repeat(by_group, outputs // group, axis=0)
    return np.ascontiguousarray(by_group, np.float32)


def _spread(size: int, limit: int, offset: float) -> npt.NDArray[np.int64]:
    if size <= limit:
        return np.arange(size)
    return ((np.arange(limit) + offset) * (size / limit)).astype(np.int64)
