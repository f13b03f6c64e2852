import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import Dense, EncodingError, Geometry, LowRank

CASES = cases("lowrank")
G = Geometry(1, 6, 18, 2)


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


def dense(s, o, k, run):
    return Dense(Geometry(s, o, k, run), np.ones((s, o, k), np.float32))


def svd(first=(1, 3, 18, 2), second=(1, 6, 3, 3), **options):
    return LowRank(G, (dense(*first), dense(*second)), **options)


def test_ranks():
    assert svd().ranks == (3,)
    tucker = LowRank(G, (dense(1, 1, 2, 2), dense(1, 4, 9, 1), dense(1, 6, 4, 4)), "tucker2")
    assert tucker.ranks == (1, 4) and "tucker2 1x4" in tucker.describe()
    assert np.array_equal(tucker.decode(), np.full(G.shape, 4, np.float32))


@pytest.mark.parametrize("what, make_it", {
    "unknown form": lambda: svd(form="cp"),
    "2 factors; form tucker2 has 3": lambda: svd(form="tucker2"),
    "factor 0 is": lambda: svd(first=(1, 3, 18, 18)),
    "factor 1 is": lambda: svd(second=(1, 6, 4, 4)),
    "the residual is": lambda: svd(residual=dense(1, 6, 18, 18)),
    "stack of 1": lambda: LowRank(Geometry(2, 6, 18, 2), (dense(1, 1, 2, 2),) * 3, "tucker2"),
}.items())
def test_refuses(what, make_it):
    with pytest.raises(EncodingError, match=what):
        make_it()
