import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import Codebook, EncodingError, Geometry
from cmf.encodings.tree import put_together, take_apart

CASES = cases("codebook")
G = Geometry(2, 20, 3, 3)


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


def test_each_panel_looks_into_its_own_table():
    table = np.arange(4, dtype=np.float32)[:, None] * 10 + np.arange(2, dtype=np.float32)
    tree = Codebook(G, np.ones(G.shape, np.uint8), table, 1)
    assert [np.unique(tree.decode()[s, o : o + 1]).tolist() for s in (0, 1) for o in (0, 16)] == [[1], [11], [21], [31]]


def make(bits=4, codes=0, table=(1, 16), dtype=np.float32, **options):
    return Codebook(G, np.full(G.shape, codes, np.uint8), np.zeros(table, dtype), bits, **options)


@pytest.mark.parametrize("what, make_it", {
    "7 bits": lambda: make(7, table=(1, 128)),
    "code 16 does not fit": lambda: make(codes=16),
    r"table is \[1, 15\]": lambda: make(table=(1, 15)),
    r"table is \[2, 16\]": lambda: make(table=(2, 16)),
    "float64": lambda: make(dtype=np.float64),
    "must be uint8": lambda: Codebook(G, np.zeros(G.shape, np.int8), np.zeros((1, 16), np.float32)),
    "scales are": lambda: make(scales=np.ones((2, 20, 3), np.float32)),
    "without scales": lambda: make(granularity="channel"),
}.items())
def test_refuses(what, make_it):
    with pytest.raises(EncodingError, match=what):
        make_it()


def test_a_file_may_not_ask_for_vectors():
    parts = take_apart(make())
    with pytest.raises(EncodingError, match="2 inputs per code"):
        put_together(type(parts)(parts.encoding, parts.geometry, {**parts.fields, "vector": 2}, parts.spans))
