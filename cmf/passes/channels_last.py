"""Turns a channels-first graph into a channels-last one.

Convolutions, pools and Resize get a Transpose before and one behind them; constant weights are permuted once. Exact.
``remove_transposes`` cancels what is not needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cmf.ir.graph import Graph, Node, Value
from cmf.ir.ops import op_of
from cmf.passes.rewrite import Rewriter

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def run(graph: Graph) -> int:
    """Returns the number of nodes turned; sets ``graph.layout``."""
    if graph.layout == "channels_last":
        return 0
    rewriter, count = Rewriter(graph), 0
    turned: dict[str, str] = {}
    for node in list(graph.nodes):
        shape = graph.value(node.inputs[0]).shape if node.inputs else None
        resizes = node.op == "Resize" and shape is not None and len(shape) == 4
        if op_of(node).family != "spatial" and not resizes:
            continue
        rewriter.set_input(node, 0, _transposed(rewriter, turned, node.inputs[0]))
        if node.op == "Conv":
            _turn_weight(rewriter, turned, node)
        elif resizes:
            rewriter.set_input(node, 1, permuted_vector(rewriter, node.inputs[1], TO_LAST))
        _turn_output(rewriter, node)
        count += 1
    graph.layout = "channels_last"
    return count


def _transposed(rewriter: Rewriter, turned: dict[str, str], name: str) -> str:
    """A value [N, C, H, W] as [N, H, W, C]: one Transpose for all that read it."""
    if name not in turned:
        turned[name] = emit_transpose(rewriter, name, TO_LAST)
    return turned[name]


def _turn_weight(rewriter: Rewriter, turned: dict[str, str], node: Node) -> None:
    """[O, I/g, kh, kw] becomes [O, kh, kw, I/g]."""
    name = node.inputs[1]
    data = rewriter.data(name)
    if data is None:
        rewriter.set_input(node, 1, _transposed(rewriter, turned, name))
    elif name in turned:
        rewriter.set_input(node, 1, turned[name])
    else:
        rewriter.change_constant(node, 1, np.ascontiguousarray(data.transpose(TO_LAST)))
        if node.inputs[1] != name:
            turned[name] = node.inputs[1]


def emit_transpose(rewriter: Rewriter, name: str, perm: tuple[int, ...]) -> str:
    """Adds a Transpose and returns its result, which has the source's dtype and affine."""
    source = rewriter.graph.value(name)
    result = rewriter.emit("Transpose", [name], {"perm": perm}, stem=f"{name}/transposed", dtype=source.dtype)
    rewriter.graph.value(result).affine = source.affine
    return result


def permuted_vector(rewriter: Rewriter, name: str, perm: tuple[int, ...]) -> str:
    """The entries ``perm`` of an integer vector."""
    index: np.ndarray[Any, np.dtype[np.int64]] = np.array(perm, np.int64)
    data = rewriter.data(name)
    if data is not None:
        return rewriter.constant(name, data[index])
    return rewriter.emit(
        "Gather",
        [name, rewriter.constant(f"{name}/order", index)],
        {"axis": 0},
        stem=name,
        dtype=rewriter.graph.value(name).dtype,
    )


def _turn_output(rewriter: Rewriter, node: Node) -> None:
    output = node.outputs[0]
    value = rewriter.graph.value(output)
    inner: Value = rewriter.value(f"{output}/last", value.dtype)
    inner.affine = value.affine
    rewriter.set_output(node, inner.name)
    rewriter.add(Node("Transpose", [inner.name], [output], {"perm": TO_FIRST}, f"{node.name}/transpose"))
