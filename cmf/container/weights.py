"""Which constants are weights: they are written as dense trees (FORMAT.md section 2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cmf.encodings import Dense, Geometry
from cmf.ir.geometry import to_matrix, weight_geometry
from cmf.ir.graph import Graph, Node, Value
from cmf.ir.ops import OPS

_Role = tuple[str, Geometry]


def encode_constants(graph: Graph) -> Graph:
    """The graph with every f32 constant that an operator uses as its weight as a dense tree.

    A constant that is a weight in one place and something else in another (or a weight of another geometry) gets one
    value for each. The graph given is not changed.
    """
    result = replace(graph, values=dict(graph.values),
                     nodes=[replace(node, inputs=list(node.inputs)) for node in graph.nodes])
    uses: dict[str, list[tuple[Node, int, _Role | None]]] = {}
    for node in result.nodes:
        for place, name in enumerate(node.inputs):
            if name and _may_be_weight(result.values[name]):
                uses.setdefault(name, []).append((node, place, _role(node, place, result.values[name])))
    for name, places in uses.items():
        roles = list(dict.fromkeys(role for _, _, role in places))
        kept_as_is = None in roles or name in graph.outputs
        for role in roles:
            if role is None:
                continue
            own = len(roles) == 1 and not kept_as_is
            target = name if own else result.fresh(f"{name}_weight")
            result.values[target] = _encoded(result.values[name], target, role)
            if not own:
                for node, place, wanted in places:
                    if wanted == role:
                        node.inputs[place] = target
    return result


def _may_be_weight(value: Value) -> bool:
    return value.data is not None and value.dtype == "f32" and value.data.ndim >= 2 and value.data.size > 0


def _role(node: Node, place: int, value: Value) -> _Role | None:
    """As what kind of weight a node uses its input; None: as a plain tensor."""
    if place != OPS[node.op].weight or (node.op == "Gather" and node.options.get("axis", 0) != 0):
        return None
    assert value.data is not None
    geometry = weight_geometry(node.op, value.data.shape, node.options)
    return ("MatMul" if node.op == "MatMul" else "Conv", geometry)


def _encoded(value: Value, name: str, role: _Role) -> Value:
    assert value.data is not None
    op, geometry = role
    matrix = np.asarray(to_matrix(value.data, op, geometry), np.float32)
    return Value(name, "f32", tuple(int(d) for d in value.data.shape), tree=Dense(geometry, matrix))
