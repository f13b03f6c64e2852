"""Lets convolutions do the zero padding that a Pad before them does."""

from __future__ import annotations

import numpy as np

from cmf.ir.graph import Graph, Node
from cmf.ir.ops import option
from cmf.passes.rewrite import Rewriter


def run(graph: Graph) -> int:
    """Exact. Pools are left alone: their padding is not zero, or is not counted."""
    rewriter, count = Rewriter(graph), 0
    for node in list(graph.nodes):
        if node.op != "Conv":
            continue
        pad = rewriter.producer(node.inputs[0], "Pad")
        more = _spatial_zeros(rewriter, graph, pad) if pad is not None else None
        if pad is None or more is None:
            continue
        node.options["pads"] = tuple(a + b for a, b in zip(option(node, "pads"), more))
        rewriter.set_input(node, 0, pad.inputs[0])
        count += 1
    return count


def _spatial_zeros(rewriter: Rewriter, graph: Graph, pad: Node) -> tuple[int, ...] | None:
    """[top, left, bottom, right] of a Pad that pads height and width with zeros, else None."""
    pads = rewriter.data(pad.inputs[1])
    if (
        option(pad, "mode") != "constant"
        or pads is None
        or pads.shape != (8,)
        or graph.value(pad.inputs[0]).dtype != "f32"
    ):
        return None
    if len(pad.inputs) > 2 and pad.inputs[2]:
        fill = rewriter.data(pad.inputs[2])
        if fill is None or np.any(fill != 0):
            return None
    low, high = [int(p) for p in pads[:4]], [int(p) for p in pads[4:]]
    height = 1 if graph.layout == "channels_last" else 2
    others = [i for i in range(4) if i not in (height, height + 1)]
    if any(low[i] or high[i] for i in others) or min(low + high) < 0:
        return None
    return low[height], low[height + 1], high[height], high[height + 1]
