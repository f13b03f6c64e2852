"""Folds multiplications and additions by channel into the weights and bias of the Conv or MatMul before them.

Batch normalization is imported as such a pair. Results change by rounding only: w * (x a) becomes (w a) * x in f32.
"""

from __future__ import annotations

import numpy as np

from cmf.ir.graph import Graph, Node
from cmf.passes.fold_constants import dequantized_weights
from cmf.passes.rewrite import Array, Rewriter, by_channel, fixed


def run(graph: Graph) -> int:
    """Returns the number of nodes folded."""
    rewriter, count = Rewriter(graph), 0
    integers = dequantized_weights(graph)
    for node in list(graph.nodes):
        # a product of two activations is not a layer
        layer = node.op in ("Conv", "MatMul") and (
            graph.value(node.inputs[1]).is_constant or node.inputs[1] in integers
        )
        if layer and node.compute == "f32":
            while _fold_next(graph, rewriter, node):
                count += 1
    return count


def _fold_next(graph: Graph, rewriter: Rewriter, node: Node) -> bool:
    """Folds the one node that reads a product, if it is of the right kind."""
    output = node.outputs[0]
    user = rewriter.only_use(output)
    if user is None or node.activation is not None or user.op not in ("Mul", "Div", "Add", "Sub"):
        return False
    if user.inputs[0] == user.inputs[1] or user.op in ("Div", "Sub") and user.inputs[0] != output:
        return False
    operand = _operand(graph, rewriter, node, user)
    if operand is None:
        return False
    if user.op in ("Mul", "Div"):
        if not _scale(rewriter, node, operand, user.op == "Div"):
            return False
    else:
        _shift(rewriter, node, operand if user.op == "Add" else -operand)
    # the product now writes what the folded node wrote
    rewriter.remove(user)
    rewriter.set_output(node, user.outputs[0])
    node.activation = user.activation
    return True


def _operand(graph: Graph, rewriter: Rewriter, node: Node, user: Node) -> Array | None:
    """The other input of a node, as one number for each output channel."""
    other = user.inputs[1] if user.inputs[0] == node.outputs[0] else user.inputs[0]
    data = rewriter.data(other)
    weight = fixed(graph.value(node.inputs[1]).shape)
    shape = graph.value(node.outputs[0]).shape
    if data is None or weight is None or shape is None:
        return None
    if node.op == "MatMul":
        return by_channel(data, len(shape), len(shape) - 1, weight[-1]) if len(weight) == 2 else None
    return by_channel(data, 4, 3 if graph.layout == "channels_last" else 1, weight[0])


def _scale(rewriter: Rewriter, node: Node, factor: Array, divide: bool) -> bool:
    weight = rewriter.data(node.inputs[1])
    bias = rewriter.data(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
    if weight is None or weight.dtype != np.float32 or len(node.inputs) > 2 and node.inputs[2] and bias is None:
        return False
    wide = factor if node.op == "MatMul" else factor.reshape(-1, 1, 1, 1)
    with np.errstate(all="ignore"):
        scaled = weight / wide if divide else weight * wide
        shifted = None if bias is None else bias / factor if divide else bias * factor
    if not np.all(np.isfinite(scaled)) or shifted is not None and not np.all(np.isfinite(shifted)):
        return False
    rewriter.change_constant(node, 1, scaled)
    if shifted is not None:
        rewriter.change_constant(node, 2, shifted)
    return True


def _shift(rewriter: Rewriter, node: Node, offset: Array) -> None:
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    if not name:
        rewriter.set_input(node, 2, rewriter.constant(f"{node.outputs[0]}/bias", offset))
        return
    bias = rewriter.data(name)
    if bias is not None:
        rewriter.change_constant(node, 2, bias + offset)
    else:
        rewriter.set_input(
            node, 2, rewriter.emit("Add", [name, rewriter.constant(f"{name}/offset", offset)], stem=name)
        )
