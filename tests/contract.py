"""What every encoding must do, whatever it is. ``tests/encodings/test_<name>.py`` calls :func:`check_contract`."""

from __future__ import annotations

import numpy as np
import oracle

from cmf.container import read, to_bytes
from cmf.encodings import Tree, check_tree, same
from cmf.encodings.tree import put_together, take_apart
from cmf.ir.graph import Graph, Node, Value

#: relative to the largest magnitude: products are summed in f64 and rounded once, the oracle's are not rounded
PRODUCT_TOLERANCE = 1e-6


def weight_graph(tree: Tree, name: str = "weight") -> Graph:
    """A convolution with this weight: of any stack (groups), runs (taps) and layout (rows: depthwise)."""
    g = tree.geometry
    if tree.encoding == "winograd":
        shape, group, size = (g.outputs, 3, 3, g.run), 1, (3, 3)
    elif _rows(tree):
        shape, group, size = (g.outputs, g.inputs, 1, 1), g.outputs, (g.inputs, 1)
    else:
        shape, group, size = (g.stack * g.outputs, g.runs, 1, g.run), g.stack, (g.runs, 1)
    graph = Graph("one weight", inputs=["x"], outputs=["y"])
    graph.values["x"] = Value("x", "f32", (1, *size, shape[3] * group))
    graph.values[name] = Value(name, "f32", shape, tree=tree)
    graph.values["y"] = Value("y", "f32", (1, 1, 1, shape[0]))
    graph.nodes.append(Node("Conv", ["x", name], ["y"], {"group": group}))
    return graph


def _rows(tree: Tree) -> bool:
    """Product and basis trees are of a depthwise convolution where panels below them are in rows."""
    return any(t.geometry.layout == "rows" for t in tree.walk())


def check_contract(tree: Tree) -> None:
    """The grammar holds; bytes and tree are each other's inverse; decoding is what FORMAT.md says of the bytes."""
    check_tree(tree)
    parts = take_apart(tree)
    again = put_together(parts)
    assert same(again, tree)
    decoded = tree.decode()
    assert decoded.dtype == np.float32
    assert np.array_equal(again.decode(), decoded)
    check_decode(parts, decoded)
    assert tree.stored_bytes == sum(len(s) for t in again.walk() for s in t.spans().values())
    assert tree.describe().startswith(tree.encoding)


def check_decode(parts: oracle.Parts, decoded: np.ndarray) -> None:
    """Panel trees bit for bit, products and bases to the rounding of their sums."""
    expected = oracle.decode(parts)
    assert decoded.shape == expected.shape
    if expected.dtype == np.float32:
        assert np.array_equal(decoded.view(np.uint32), expected.view(np.uint32))
    else:
        scale = max(np.abs(expected).max(), 1e-6)
        np.testing.assert_allclose(decoded, expected, rtol=0, atol=PRODUCT_TOLERANCE * scale)


def check_file(tree: Tree) -> None:
    """A file gives the tree back, and writing it again gives the file back."""
    data = to_bytes(weight_graph(tree))
    graph = read(data)
    found = graph.values["weight"].tree
    assert found is not None and same(found, tree)
    assert to_bytes(graph) == data
