import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import Bitpacked, EncodingError, Geometry

CASES = cases("bitpacked")
G = Geometry(1, 3, 4, 4)
ONE = np.full((1, 1, 1), 0.5, np.float32)


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


def test_levels():
    codes = np.array([[[-1, 1, 1, -1]] * 3], np.int8)
    assert np.array_equal(Bitpacked(G, codes, ONE, "binary").decode(), 0.5 * codes)
    codes = np.array([[[-1, 0, 1, 0]] * 3], np.int8)
    assert np.array_equal(Bitpacked(G, codes, ONE, "ternary").decode(), 0.5 * codes)


@pytest.mark.parametrize("what, make_it", {
    "not -1 or 1": lambda: Bitpacked(G, np.zeros(G.shape, np.int8), ONE, "binary"),
    "not -1, 0 or 1": lambda: Bitpacked(G, np.full(G.shape, -2, np.int8), ONE, "ternary"),
    "unknown levels": lambda: Bitpacked(G, np.zeros(G.shape, np.int8), ONE, "septenary"),
    "must be int8": lambda: Bitpacked(G, np.zeros(G.shape, np.uint8), ONE),
    "not for groups": lambda: Bitpacked(G, np.zeros(G.shape, np.int8), ONE, granularity="group"),
}.items())
def test_refuses(what, make_it):
    with pytest.raises(EncodingError, match=what):
        make_it()
