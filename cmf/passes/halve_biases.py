"""Keep the biases of layers whose weights were rounded in f16: their own rounding is far below that of the weights, and
in f32 they take twice the bytes of the scales.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

import numpy as np

from cmf.ir.graph import Graph, Value
from cmf.ir.ops import OPS

#: a bias whose largest number is smaller than this would lose digits to f16's smallest exponents
SMALLEST = 2.0**-10


def run(graph: Graph, weights: Container[str]) -> int:
    """Turns the f32 biases of float Conv and MatMul nodes that use one of ``weights`` into f16; returns how many."""
    halved = 0
    users = graph.consumers()
    for node in graph.nodes:
        if node.op not in ("Conv", "MatMul") or node.compute == "int8_static" or not any(node.inputs[2:]):
            continue
        bias = graph.value(node.inputs[2])
        if node.inputs[OPS[node.op].weight or 0] not in weights or len(users[bias.name]) != 1:
            continue
        half = _half(bias)
        if half is not None:
            graph.values[bias.name] = half
            halved += 1
    return halved


def _half(bias: Value) -> Value | None:
    if bias.data is None or bias.dtype != "f32" or not np.isfinite(bias.data).all():
        return None
    largest = float(np.abs(bias.data).max(initial=0.0))
    if largest and not SMALLEST <= largest <= float(np.finfo(np.float16).max):
        return None
    return replace(bias, dtype="f16", data=bias.data.astype(np.float16))
