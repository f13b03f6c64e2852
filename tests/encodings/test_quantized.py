import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import EncodingError, Geometry, Quantized

CASES = cases("quantized")
G = Geometry(1, 5, 40, 40)


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


def make(bits=8, low=0, scales=(1, 5, 1), dtype=np.int8, **options):
    return Quantized(G, np.full(G.shape, low, dtype), np.ones(scales, np.float32), bits, **options)


def test_formula():
    codes = np.arange(-100, 100, dtype=np.int8).reshape(G.shape)
    scales = np.float32([0.1, 0.2, 0.3, 0.4, 0.5]).reshape(1, 5, 1)
    zeros = np.int8([3, -3, 0, 127, -128]).reshape(1, 5, 1)
    expected = scales * (codes.astype(np.float32) - zeros.astype(np.float32))
    assert np.array_equal(Quantized(G, codes, scales, 8, zeros).decode(), expected)


def test_half_scales_are_rounded_when_made():
    tree = Quantized(G, np.ones(G.shape, np.int8), np.full((1, 5, 1), 0.1, np.float32), scale_dtype="f16")
    assert np.array_equal(np.unique(tree.decode()), [np.float32(np.float16(0.1))])


@pytest.mark.parametrize("what, make_it", {
    "7 bits": lambda: make(7),
    "int8": lambda: make(8, dtype=np.int16),
    "do not fit 4 bits": lambda: make(4, 8),
    "do not fit 2 bits": lambda: make(2, -3),
    "scales are": lambda: make(scales=(1, 4, 1)),
    "multiple of 32": lambda: make(scales=(1, 5, 2), group=20),
    "not allowed with 16 bits": lambda: make(16, dtype=np.int16, zeros=np.zeros((1, 5, 1), np.int8)),
    "zeros are": lambda: make(zeros=np.zeros((1, 1, 1), np.int8)),
    "granularity": lambda: make(granularity="row"),
    "f64": lambda: make(scale_dtype="f64"),
    "not finite": lambda: Quantized(G, np.zeros(G.shape, np.int8), np.full((1, 5, 1), np.nan, np.float32)),
    "not finite in f16": lambda: Quantized(G, np.zeros(G.shape, np.int8), np.full((1, 1, 1), 1e6, np.float32),
                                           scale_dtype="f16"),
    "layout rows": lambda: Quantized(Geometry(1, 5, 40, 40, "rows"), np.zeros(G.shape, np.int8),
                                     np.ones((1, 5, 2), np.float32), group=32),
}.items())
def test_refuses(what, make_it):
    with pytest.raises(EncodingError, match=what):
        make_it()
