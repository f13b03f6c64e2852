import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import Dense, EncodingError, Geometry, Quantized, Sparse, same
from cmf.encodings.tree import Parts, put_together, take_apart
from cmf.errors import CmfError

CASES = cases("sparse")
G = Geometry(1, 20, 6, 3)


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


def make(mask=None, codes=7):
    mask = np.eye(20, 6, dtype=bool)[None] if mask is None else mask
    return Sparse(G, mask, Quantized(G, np.full(G.shape, codes, np.int8), np.ones((1, 1, 1), np.float32)))


def test_absent_positions_are_zero_and_their_codes_ignored():
    codes = np.random.default_rng(0).integers(-128, 128, G.shape).astype(np.int8)
    mask = np.random.default_rng(1).random(G.shape) < 0.5
    one = Sparse(G, mask, Quantized(G, codes, np.ones((1, 1, 1), np.float32)))
    two = Sparse(G, mask, Quantized(G, np.where(mask, codes, 99).astype(np.int8), np.ones((1, 1, 1), np.float32)))
    assert same(one, two)
    assert np.array_equal(one.decode(), np.where(mask, codes, 0).astype(np.float32))


def test_absent_is_plus_zero_even_under_a_negative_scale():
    tree = Sparse(G, np.zeros(G.shape, bool), Quantized(G, np.ones(G.shape, np.int8), -np.ones((1, 1, 1), np.float32)))
    assert not np.signbit(tree.decode()).any()


def damaged(child=None, **spans: bytes) -> Parts:
    parts = take_apart(make())
    children = {"values": child} if child else parts.children
    return Parts(parts.encoding, parts.geometry, parts.fields, {**parts.spans, **spans}, children)


def test_refuses_damaged_spans():
    spans = take_apart(make()).spans
    beyond_run = bytearray(spans["mask"])
    beyond_run[0] |= 8  # input 3 of a run of 3
    beyond_outputs = bytearray(spans["mask"])
    beyond_outputs[16 + 7] |= 0x80  # lane 15 of a panel of 4
    for mask in (bytes(beyond_run), bytes(beyond_outputs)):
        with pytest.raises(CmfError, match="beyond a run"):
            put_together(damaged(mask=mask))
    with pytest.raises(CmfError, match="mask: 31 bytes"):
        put_together(damaged(mask=spans["mask"][1:]))
    with pytest.raises(CmfError, match="offsets do not agree"):
        put_together(damaged(offsets=bytes(len(spans["offsets"]))))
    nested = take_apart(make())
    with pytest.raises(CmfError, match="must be a leaf"):
        put_together(damaged(child=nested))


def test_refuses():
    with pytest.raises(EncodingError, match="mask is uint8"):
        make(np.zeros(G.shape, np.uint8))
    with pytest.raises(EncodingError, match="must be a leaf"):
        Sparse(G, np.zeros(G.shape, bool), make())
    with pytest.raises(EncodingError, match="its child is Geometry"):
        Sparse(G, np.zeros(G.shape, bool), Dense(Geometry(1, 20, 6, 6), np.zeros(G.shape, np.float32)))
