"""Writes the shape input of a Reshape as a constant where 0 (as in the input) and -1 can say it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cmf.ir.graph import Graph, Shape
from cmf.ir.shapes import infer
from cmf.passes.rewrite import Rewriter


def run(graph: Graph) -> int:
    """Returns the number of shapes made constant; what computed them is then dead code."""
    rewriter, infos, count = Rewriter(graph), infer(graph), 0
    for node in graph.nodes:
        if node.op != "Reshape" or graph.value(node.inputs[1]).is_constant:
            continue
        wanted, source = infos[node.inputs[1]].content, infos[node.inputs[0]].shape
        if wanted is None or source is None:
            continue
        target = _spell(list(wanted.reshape(-1)), source)
        if target is not None:
            rewriter.set_input(node, 1, rewriter.constant(f"{node.outputs[0]}/shape", np.array(target, np.int64)))
            count += 1
    return count


def _spell(wanted: list[Any], source: Shape) -> list[int] | None:
    target: list[int] = []
    for i, dim in enumerate(wanted):
        if isinstance(dim, int):
            target.append(dim)
        elif dim is not None and i < len(source) and source[i] == dim:
            target.append(0)
        else:
            target.append(-1)
    return target if target.count(-1) <= 1 else None
