"""Makes one Reshape of two in a row. Exact."""

from __future__ import annotations

import numpy as np

from cmf.ir.graph import Graph
from cmf.passes.rewrite import Rewriter


def run(graph: Graph) -> int:
    rewriter, count = Rewriter(graph), 0
    for node in graph.nodes:
        above = rewriter.producer(node.inputs[0], "Reshape") if node.op == "Reshape" else None
        wanted = rewriter.data(node.inputs[1]) if node.op == "Reshape" else None
        if above is None or wanted is None or above.compute != node.compute:
            continue
        middle, source = graph.value(node.inputs[0]).shape, graph.value(above.inputs[0]).shape
        if (
            middle is None
            or source is None
            or graph.value(node.inputs[0]).affine != graph.value(above.inputs[0]).affine
        ):
            continue
        target = [int(d) for d in wanted]
        for i, dim in enumerate(target):
            copied = middle[i] if dim == 0 else dim
            if isinstance(copied, int):
                target[i] = copied
            elif i >= len(source) or source[i] != copied:
                target[i] = -1 if -1 not in target else -2
        if -2 in target:
            continue
        rewriter.set_input(node, 1, rewriter.constant(f"{node.outputs[0]}/shape", np.array(target, np.int64)))
        rewriter.set_input(node, 0, above.inputs[0])
        count += 1
    return count
