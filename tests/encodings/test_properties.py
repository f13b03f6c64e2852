"""Any tree of any small shape: bytes give it back, and mean what FORMAT.md says."""

import numpy as np
from contract import check_contract, check_file
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import LEAVES, Rng, allows

from cmf.encodings import Dct, Geometry, LowRank, Quantized, Sparse, Winograd, winograd_geometry

LINES = st.builds(lambda s, o, runs, run: Geometry(s, o, runs * run, run),
                  st.integers(1, 3), st.integers(1, 40), st.integers(1, 3), st.integers(1, 40))
ROWS = st.builds(lambda o, k: Geometry(1, o, k, k, "rows"), st.integers(2, 40), st.integers(1, 26))
SEEDS = st.integers(0, 2**63)
NAMES = st.sampled_from([(encoding, name) for encoding, makers in LEAVES.items() for name in makers])


@st.composite
def leaves(draw, geometries=LINES | ROWS):
    g = draw(geometries)
    encoding, name = draw(NAMES.filter(lambda pair: allows(pair[1], g)))
    return LEAVES[encoding][name](Rng(draw(SEEDS)), g)


@st.composite
def panels(draw, geometries=LINES | ROWS):
    leaf = draw(leaves(geometries))
    if draw(st.booleans()):
        return leaf
    density = draw(st.sampled_from([0, 0.05, 0.5, 0.95, 1]))
    return Sparse(leaf.geometry, Rng(draw(SEEDS)).random(leaf.geometry.shape) < density, leaf)


@st.composite
def bases(draw, geometries=LINES | ROWS):
    inner = draw(panels(geometries))
    blocks = draw(st.sampled_from([1, 2, 4, 8, 16, 32])), draw(st.sampled_from([1, 2, 4, 8, 16]))
    return Dct(inner.geometry, inner, *blocks)


@st.composite
def products(draw):
    g = draw(LINES)
    rank = draw(st.integers(1, 20))
    first = draw(panels(st.just(Geometry(g.stack, rank, g.inputs, g.run))) |
                 bases(st.just(Geometry(g.stack, rank, g.inputs, g.run))))
    second = draw(panels(st.just(Geometry(g.stack, g.outputs, rank, rank))))
    return LowRank(g, (first, second), "svd", draw(st.none() | panels(st.just(g))))


@st.composite
def winograds(draw):
    tile, channels, outputs = draw(st.sampled_from([2, 4])), draw(st.integers(1, 9)), draw(st.integers(1, 20))
    g = Geometry(1, outputs, 9 * channels, channels)
    return Winograd(g, draw(panels(st.just(winograd_geometry(g, tile)))), tile)


@settings(max_examples=150, deadline=None)
@given(panels())
def test_panels(tree):
    check_contract(tree)


@settings(max_examples=60, deadline=None)
@given(bases() | products() | winograds())
def test_products_and_bases(tree):
    check_contract(tree)


@settings(max_examples=40, deadline=None)
@given(panels(LINES.filter(lambda g: g.stack == 1)) | winograds())
def test_files(tree):
    check_file(tree)


@settings(max_examples=60, deadline=None)
@given(LINES, st.sampled_from([1, 2, 3, 4, 5, 6, 8]), SEEDS)
def test_padding_holds_nothing(g, bits, seed):
    """All lanes and inputs that exist set to ones: as many bits are set as there are codes' bits."""
    codes = np.full(g.shape, -1, np.int8)
    spans = Quantized(g, codes, np.ones((1, 1, 1), np.float32), bits).spans()
    assert sum(byte.bit_count() for byte in spans["codes"]) == bits * g.elements
    sparse = Sparse(g, np.ones(g.shape, bool), Quantized(g, codes, np.ones((1, 1, 1), np.float32), bits))
    assert sum(byte.bit_count() for byte in sparse.spans()["mask"]) == g.elements
    assert sum(byte.bit_count() for byte in sparse.values.spans()["codes"]) == bits * g.elements
