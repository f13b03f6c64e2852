"""Bias correction: what a layer loses on average, its bias gives back (Nagel et al., arXiv 1906.04721, section 4.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cmf.encodings.base import F32
from cmf.ir.graph import Graph, Value
from cmf.passes.hessian import Moments
from cmf.passes.layers import Layer


def correctable(graph: Graph, layer: Layer) -> str | None:
    """The name of a layer's own f32 bias, one number for each output; None where it has none."""
    node, geometry = layer.nodes[0], layer.geometry
    if len(layer.nodes) != 1 or node.op not in ("Conv", "MatMul") or not any(node.inputs[2:]):
        return None
    if node.op == "MatMul" and geometry.stack != 1:
        return None
    bias = graph.value(node.inputs[2])
    if bias.data is None or bias.dtype != "f32" or bias.data.shape != (geometry.stack * geometry.outputs,):
        return None
    if len(graph.consumers()[bias.name]) != 1 or not np.isfinite(bias.data).all():
        return None
    return bias.name


def corrected(bias: Value, moments: Moments, before: F32, after: F32) -> Value:
    """The bias plus ``E[W x - W' x']`` for weights [S, O, K] before and after."""
    assert bias.data is not None
    means = [mean.astype(np.float64).reshape(before.shape[0], -1, before.shape[2])
             for mean in (moments.original_mean, moments.mean)]
    shift = (before * means[0]).sum(axis=2) - (after * means[1]).sum(axis=2)
    return replace(bias, data=(bias.data + shift.reshape(-1)).astype(np.float32))
