"""Channels that hardly change: where a depthwise convolution gives (nearly) the same number everywhere, the channel
goes, and its number goes into the bias of the next convolution.

Training with weight decay leaves such channels behind, mostly where batch norms were folded: in EfficientNet-Lite0 61
of 8,960. Looked for in chains expand, depthwise, project, where a clip between the first two bounds what can happen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.ir.graph import Graph, Node, Value
from cmf.ir.ops import option
from cmf.ir.shapes import annotate

Array = npt.NDArray[Any]

#: a channel is dropped if it varies at most by this part of what the layer's middle channel may vary by: 96 dB below it
VARIATION = 2.0**-16


@dataclass(frozen=True)
class _Chain:
    """Three convolutions in a row, nothing else between them."""

    expand: Node
    depthwise: Node
    project: Node


def run(graph: Graph) -> dict[str, int]:
    """Drops channels in place; returns how many by the name of the depthwise weight. Arrays are not written to."""
    dropped = {}
    for chain in _chains(graph):
        dead, constant = _constants(graph, chain)
        count = int(np.count_nonzero(dead))
        if count:
            _drop(graph, chain, dead, constant)
            dropped[chain.depthwise.inputs[1]] = count
    if dropped:
        annotate(graph)
    return dropped


def copied(graph: Graph) -> Graph:
    """A graph whose nodes and values (but not arrays) may be changed freely."""
    return replace(graph, values={name: replace(value) for name, value in graph.values.items()},
                   nodes=[replace(node, inputs=list(node.inputs), outputs=list(node.outputs)) for node in graph.nodes])


def _chains(graph: Graph) -> list[_Chain]:
    producers, consumers = graph.producers(), graph.consumers()

    def only_consumer(name: str) -> Node | None:
        users = consumers.get(name, [])
        return users[0] if len(users) == 1 and name not in graph.outputs else None

    def plain(node: Node | None) -> bool:
        """A float convolution with a weight and a bias of its own."""
        return (node is not None and node.op == "Conv" and node.compute == "f32" and len(node.inputs) == 3
                and all(name and graph.value(name).data is not None and only_consumer(name) is node
                        for name in node.inputs[1:]))

    chains = []
    for node in graph.nodes:
        if not plain(node) or not _is_depthwise(graph, node):
            continue
        before, after = producers.get(node.inputs[0]), only_consumer(node.outputs[0])
        if before is None or after is None or only_consumer(node.inputs[0]) is not node:
            continue
        if plain(before) and plain(after) and option(before, "group") == option(after, "group") == 1:
            chains.append(_Chain(before, node, after))
    return chains


def _is_depthwise(graph: Graph, node: Node) -> bool:
    shape = _data(graph, node.inputs[1]).shape
    return bool(shape[3] == 1 and shape[0] == option(node, "group") > 1)


def _constants(graph: Graph, chain: _Chain) -> tuple[npt.NDArray[np.bool_], Array]:
    """Which channels may go, and the number that each gives everywhere."""
    weight, bias = (_data(graph, name) for name in chain.depthwise.inputs[1:])
    inside, outside = chain.expand.activation, chain.depthwise.activation
    bound = max(abs(inside.low), abs(inside.high)) if inside is not None and inside.kind == "clip" else np.inf
    if not np.isfinite(bound):
        return np.zeros(len(weight), np.bool_), bias
    constant = bias
    if outside is not None:
        constant = np.clip(bias, outside.low if outside.kind == "clip" else 0, outside.high).astype(np.float32)
    swing = bound * np.abs(weight.astype(np.float64)).reshape(len(weight), -1).sum(axis=1)
    dead = swing <= VARIATION * np.median(swing)
    if any(option(chain.project, "pads")):
        dead &= constant == 0  # a padded border is 0 and not the constant
    if dead.all():
        dead[:1] = False
    return dead, constant


def _drop(graph: Graph, chain: _Chain, dead: npt.NDArray[np.bool_], constant: Array) -> None:
    keep = ~dead
    for node in (chain.expand, chain.depthwise):
        for name in node.inputs[1:]:
            _replace(graph, name, _data(graph, name)[keep])
    chain.depthwise.options = {**chain.depthwise.options, "group": int(np.count_nonzero(keep))}
    weight, bias = (_data(graph, name) for name in chain.project.inputs[1:])
    share = weight[..., dead].astype(np.float64).sum(axis=(1, 2)) @ constant[dead].astype(np.float64)
    _replace(graph, chain.project.inputs[1], np.ascontiguousarray(weight[..., keep]))
    _replace(graph, chain.project.inputs[2], (bias + share).astype(np.float32))
    for node in (chain.expand, chain.depthwise):
        graph.value(node.outputs[0]).shape = None


def _data(graph: Graph, name: str) -> Array:
    data = graph.value(name).data
    assert data is not None
    return data


def _replace(graph: Graph, name: str, data: Array) -> None:
    graph.values[name] = Value(name, "f32", tuple(int(d) for d in data.shape), data=data)
