import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import Dense, EncodingError, Geometry, Winograd, winograd_filters, winograd_geometry
from cmf.encodings.winograd import A_T, B_T

CASES = cases("winograd")


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


@pytest.mark.parametrize("tile", [2, 4])
def test_the_transforms_compute_a_convolution(tile):
    rng = np.random.default_rng(0)
    pixels, weight = rng.standard_normal((tile + 2, tile + 2)), rng.standard_normal((3, 3))
    u = winograd_filters(weight.reshape(1, 3, 3, 1), tile).reshape(tile + 2, tile + 2)
    y = A_T[tile] @ (u * (B_T[tile] @ pixels @ B_T[tile].T)) @ A_T[tile].T
    expected = [[(pixels[i : i + 3, j : j + 3] * weight).sum() for j in range(tile)] for i in range(tile)]
    np.testing.assert_allclose(y, expected, atol=1e-12)


def dense(g):
    return Dense(g, np.zeros(g.shape, np.float32))


@pytest.mark.parametrize("what, make_it", {
    "tile is 3": lambda: Winograd(Geometry(1, 4, 18, 2), dense(Geometry(25, 4, 2, 2)), 3),
    "3 x 3": lambda: Winograd(Geometry(1, 4, 50, 2), dense(Geometry(16, 4, 2, 2))),
    "without groups": lambda: Winograd(Geometry(2, 4, 18, 2), dense(Geometry(16, 4, 2, 2))),
    "the filters are": lambda: Winograd(Geometry(1, 4, 18, 2), dense(winograd_geometry(Geometry(1, 4, 18, 2), 2)), 4),
}.items())
def test_refuses(what, make_it):
    with pytest.raises(EncodingError, match=what):
        make_it()
