"""Makes an Add of a vector of the product's columns the bias of the MatMul before it. Exact."""

from __future__ import annotations

import numpy as np

from cmf.ir.graph import Graph, Node
from cmf.passes.fold_constants import dequantized_weights
from cmf.passes.rewrite import Rewriter, by_channel, fixed


def run(graph: Graph) -> int:
    rewriter, count = Rewriter(graph), 0
    weights = dequantized_weights(graph)
    for node in list(graph.nodes):
        if node.op != "MatMul" or any(node.inputs[2:]):
            continue
        if not (graph.value(node.inputs[1]).is_constant or node.inputs[1] in weights):
            continue  # a product of two activations is not a layer
        count += _fuse(graph, rewriter, node)
    return count


def _fuse(graph: Graph, rewriter: Rewriter, node: Node) -> bool:
    output = node.outputs[0]
    user = rewriter.only_use(output)
    weight, shape = fixed(graph.value(node.inputs[1]).shape), graph.value(output).shape
    if (
        user is None
        or user.op != "Add"
        or node.activation is not None
        or weight is None
        or shape is None
        or len(weight) < 2
    ):
        return False
    data = rewriter.data(user.inputs[1] if user.inputs[0] == output else user.inputs[0])
    bias = None if data is None else by_channel(data, len(shape), len(shape) - 1, weight[-1])
    if bias is None:
        return False
    rewriter.set_input(node, 2, rewriter.constant(f"{output}/bias", np.ascontiguousarray(bias)))
    rewriter.remove(user)
    rewriter.set_output(node, user.outputs[0])
    node.activation = user.activation
    return True
