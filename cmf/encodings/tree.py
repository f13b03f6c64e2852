"""The grammar of trees (FORMAT.md 2.1), and trees as parts: what a file holds of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cmf.encodings import panels
from cmf.encodings.base import EncodingError, Geometry, Tree
from cmf.encodings.bitpacked import Bitpacked
from cmf.encodings.codebook import Codebook
from cmf.encodings.dct import Dct
from cmf.encodings.dense import Dense
from cmf.encodings.leaf import Leaf
from cmf.encodings.lowrank import LowRank
from cmf.encodings.quantized import Quantized
from cmf.encodings.sparse import Sparse
from cmf.encodings.winograd import Winograd

#: every encoding, in the order of ids in cmf.fbs (the first is 1)
ENCODINGS: tuple[type[Tree], ...] = (Dense, Sparse, Quantized, Codebook, LowRank, Dct, Bitpacked, Winograd)
BY_NAME: dict[str, type[Tree]] = {cls.encoding: cls for cls in ENCODINGS}
MAX_DEPTH = 4

_PANEL = (Leaf, Sparse)
_BASIS = (Dct, Winograd)


def depth(tree: Tree) -> int:
    """Encodings from the root to the deepest leaf."""
    return 1 + max((depth(child) for child in tree.children().values()), default=0)


def is_panel(tree: Tree) -> bool:
    """Is the root dense, quantized, codebook, bitpacked or sparse?"""
    return isinstance(tree, _PANEL)


def check_tree(tree: Tree) -> None:
    """Raises EncodingError for a tree that the grammar does not allow as a weight.

    Sizes of children against their parents were checked when the encodings were made.
    """
    for parent in tree.walk():
        for name, child in parent.children().items():
            allowed: tuple[type, ...]
            if isinstance(parent, Sparse):
                allowed = (Leaf,)
            elif isinstance(parent, LowRank):
                allowed = _PANEL if name == "residual" else (*_PANEL, Dct)
            else:
                allowed = _PANEL
            if not isinstance(child, allowed):
                raise EncodingError(f"{tree.describe()}: {child.encoding} cannot be the {name} of {parent.encoding}")
    if depth(tree) > MAX_DEPTH:
        raise EncodingError(f"{tree.describe()}: {depth(tree)} encodings deep; the limit is {MAX_DEPTH}")


# ---------------------------------------------------------------- trees as parts


@dataclass(frozen=True)
class Parts:
    """One tree as the file holds it: scalar fields, bytes of spans, children - by field name in cmf.fbs."""

    encoding: str
    geometry: Geometry
    fields: Mapping[str, Any]
    spans: Mapping[str, bytes]
    children: Mapping[str, Parts] = field(default_factory=dict)

    @property
    def layout(self) -> str:
        """The layout field: ``lines``, ``rows``, or ``none`` for product and basis encodings."""
        return self.geometry.layout if issubclass(BY_NAME[self.encoding], _PANEL) else "none"


def take_apart(tree: Tree) -> Parts:
    """A tree's parts."""
    children = {name: take_apart(child) for name, child in tree.children().items()}
    return Parts(tree.encoding, tree.geometry, tree.fields(), tree.spans(), children)


def put_together(parts: Parts) -> Tree:
    """The inverse of :func:`take_apart`. Raises CmfError where bytes, sizes or nesting do not fit."""
    cls = BY_NAME[parts.encoding]
    if cls is Sparse:
        return cls.from_spans(parts.geometry, parts.fields, parts.spans, {"values": _present_leaf(parts)})
    children = {name: put_together(child) for name, child in parts.children.items()}
    return cls.from_spans(parts.geometry, parts.fields, parts.spans, children)


def _present_leaf(parts: Parts) -> Leaf:
    """The child of a sparse tree: its codes are read through the parent's mask."""
    child = parts.children["values"]
    leaf = BY_NAME[child.encoding]
    if not issubclass(leaf, Leaf):
        raise EncodingError(f"sparse: its child is {child.encoding}; it must be a leaf (dense, quantized, codebook, "
                            "bitpacked)")
    if child.geometry != parts.geometry:  # before the mask is laid over the child's panels
        raise EncodingError(f"sparse: its child is {child.geometry}, the weight is {parts.geometry}")
    mask = panels.unpack_mask(parts.spans["mask"], parts.geometry, leaf.width_of(child.fields))
    made = leaf.from_spans(child.geometry, child.fields, child.spans, {}, present=mask)  # type: ignore[call-arg]
    assert isinstance(made, Leaf)
    return made


def same(one: Tree | Parts, other: Tree | Parts) -> bool:
    """Do two trees write the same bytes?"""
    a = one if isinstance(one, Parts) else take_apart(one)
    b = other if isinstance(other, Parts) else take_apart(other)
    return a == b
