"""Recognises x/2 * (1 + erf(x / sqrt 2)), its factors in any order, as Gelu. Results change by rounding only."""

from __future__ import annotations

import math

from cmf.ir.graph import Graph, Node
from cmf.passes.rewrite import Rewriter


def run(graph: Graph) -> int:
    rewriter, count = Rewriter(graph), 0
    for erf in [n for n in graph.nodes if n.op == "Erf"]:
        count += _fuse(rewriter, erf)
    return count


def _scalar(rewriter: Rewriter, name: str) -> float | None:
    data = rewriter.data(name)
    return float(data.reshape(())) if data is not None and data.size == 1 and data.ndim <= 1 else None


def _close(a: float | None, b: float) -> bool:
    return a is not None and abs(a - b) <= 1e-6 * abs(b)


def _other(node: Node, name: str) -> str:
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def _fuse(rewriter: Rewriter, erf: Node) -> bool:
    inner = rewriter.producer(erf.inputs[0], "Mul", "Div")
    x = _divided(rewriter, inner)
    plus = rewriter.only_use(erf.outputs[0])
    if (
        x is None
        or plus is None
        or plus.op != "Add"
        or not _close(_scalar(rewriter, _other(plus, erf.outputs[0])), 1.0)
    ):
        return False
    # two more factors: 1/2 and x; or one, x/2 or 1/2 x
    top, name, half, whole = plus, plus.outputs[0], False, False
    while not (half and whole):
        user = rewriter.only_use(name)
        if user is None or user.op != "Mul" or user.inputs[0] == user.inputs[1]:
            return False
        other = _other(user, name)
        if not half and _close(_scalar(rewriter, other), 0.5):
            half = True
        elif not whole and other == x:
            whole = True
        elif not half and not whole and _is_half(rewriter, other, x):
            half = whole = True
        else:
            return False
        top, name = user, user.outputs[0]
    rewriter.remove(top)
    rewriter.add(Node("Gelu", [x], [name], {"tanh": False}, top.name, activation=top.activation))
    return True


def _divided(rewriter: Rewriter, node: Node | None) -> str | None:
    """x, where a node is x / sqrt 2 or x * sqrt 1/2."""
    if node is None:
        return None
    if node.op == "Div":
        return node.inputs[0] if _close(_scalar(rewriter, node.inputs[1]), math.sqrt(2)) else None
    for i in range(2):
        if _close(_scalar(rewriter, node.inputs[i]), math.sqrt(0.5)):
            return node.inputs[1 - i]
    return None


def _is_half(rewriter: Rewriter, name: str, x: str) -> bool:
    node = rewriter.producer(name, "Mul", "Div")
    if node is None or x not in node.inputs:
        return False
    if node.op == "Div":
        return node.inputs[0] == x and _close(_scalar(rewriter, node.inputs[1]), 2.0)
    return _close(_scalar(rewriter, _other(node, x)), 0.5)
