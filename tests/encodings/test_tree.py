"""The grammar of FORMAT.md 2.1, and the sizes that a geometry may have."""

import numpy as np
import pytest

from cmf.encodings import (
    ENCODINGS,
    Codebook,
    Dct,
    Dense,
    EncodingError,
    Geometry,
    LowRank,
    Sparse,
    Winograd,
    check_tree,
    depth,
    is_panel,
    same,
    winograd_geometry,
)

G = Geometry(1, 4, 18, 2)


def dense(g=G, number=0):
    return Dense(g, np.full(g.shape, number, np.float32))


def sparse(g=G):
    return Sparse(g, np.ones(g.shape, bool), Codebook(g, np.zeros(g.shape, np.uint8), np.zeros((1, 16), np.float32)))


def svd(factor, residual=None):
    g = factor.geometry
    return LowRank(Geometry(1, 4, g.inputs, g.run), (factor, dense(Geometry(1, 4, 4, 4))), "svd", residual)


def test_the_deepest_tree_is_legal():
    tree = svd(Dct(G, sparse()), residual=sparse())
    check_tree(tree)
    assert depth(tree) == 4 and not is_panel(tree) and is_panel(sparse())
    assert [t.encoding for t in tree.walk()] == ["lowrank", "dct", "sparse", "codebook", "dense", "sparse", "codebook"]
    assert tree.describe() == ("lowrank(svd 4, dct(1x1, sparse(100.0 %, codebook(4 bits))), dense(f32), "
                               "sparse(100.0 %, codebook(4 bits)))")


@pytest.mark.parametrize("what, tree", {
    "lowrank cannot be the factor0 of lowrank": lambda: svd(svd(dense())),
    "winograd cannot be the factor0 of lowrank": lambda: svd(Winograd(G, dense(winograd_geometry(G, 2)))),
    "dct cannot be the residual of lowrank": lambda: svd(dense(), Dct(G, dense())),
    "dct cannot be the coefficients of dct": lambda: Dct(G, Dct(G, dense())),
    "dct cannot be the filters of winograd":
        lambda: Winograd(G, Dct(winograd_geometry(G, 2), dense(winograd_geometry(G, 2)))),
}.items())
def test_the_grammar_refuses(what, tree):
    with pytest.raises(EncodingError, match=what):
        check_tree(tree())


def test_same_looks_at_content():
    assert same(dense(), dense()) and not same(dense(), dense(number=1)) and not same(dense(), sparse())
    assert not same(dense(), dense(Geometry(1, 4, 18, 18)))


@pytest.mark.parametrize("what, sizes", {
    "outputs of a weight is 0": (1, 0, 4, 4),
    "stack of a weight is 2147483648": (2**31, 1, 4, 4),
    "not a multiple of the run": (1, 4, 9, 2),
    "more than 2\\^40": (2**20, 2**20, 2, 1),
    "unknown layout": (1, 4, 4, 4, "columns"),
    "one run": (1, 4, 4, 2, "rows"),
}.items())
def test_geometry_refuses(what, sizes):
    with pytest.raises(EncodingError, match=what):
        Geometry(*sizes)


@pytest.mark.parametrize("outputs, panels, last, padded", [(1, 1, 4, 4), (10, 1, 12, 12), (16, 1, 16, 16),
                                                            (17, 2, 4, 20)])
def test_panels_of_a_geometry(outputs, panels, last, padded):
    g = Geometry(1, outputs, 3, 3)
    assert (g.panels, g.last_lanes, g.padded_outputs) == (panels, last, padded)


def test_names_are_unique():
    assert len({cls.encoding for cls in ENCODINGS}) == len(ENCODINGS) == 8
