import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import Dct, Dense, EncodingError, Geometry, dct_matrix, dct_transform

CASES = cases("dct")
G = Geometry(2, 17, 66, 33)


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 16, 31, 32])
def test_basis_is_orthonormal(n):
    np.testing.assert_allclose(dct_matrix(n) @ dct_matrix(n).T, np.eye(n), atol=1e-14)


@pytest.mark.parametrize("blocks", [(1, 1), (8, 4), (32, 16)])
def test_forward_and_back(blocks):
    weight = np.random.default_rng(0).standard_normal(G.shape)
    c = dct_transform(weight, G.run, *blocks)
    np.testing.assert_allclose(dct_transform(c, G.run, *blocks, inverse=True), weight, atol=1e-12)
    tree = Dct(G, Dense(G, c.astype(np.float32)), *blocks)
    np.testing.assert_allclose(tree.decode(), weight, atol=2e-6)


@pytest.mark.parametrize("what, make_it", {
    "input_block is 3": lambda: Dct(G, Dense(G, np.zeros(G.shape, np.float32)), 3),
    "output_block is 32": lambda: Dct(G, Dense(G, np.zeros(G.shape, np.float32)), 1, 32),
    "the coefficients are": lambda: Dct(G, Dense(Geometry(2, 17, 66, 66), np.zeros(G.shape, np.float32))),
}.items())
def test_refuses(what, make_it):
    with pytest.raises(EncodingError, match=what):
        make_it()
