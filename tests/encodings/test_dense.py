import ml_dtypes
import numpy as np
import pytest
from contract import check_contract, check_file
from trees import cases

from cmf.encodings import Dense, EncodingError, Geometry

CASES = cases("dense")


@pytest.mark.parametrize("name", CASES)
def test_contract(name):
    tree = CASES[name]()
    check_contract(tree)
    check_file(tree)


def test_keeps_every_bit_of_special_numbers():
    bits = np.array([0x7FC01234, 0xFF800000, 0x80000000, 0x00000001], np.uint32)
    g = Geometry(1, 4, 1, 1)
    tree = Dense(g, bits.view(np.float32).reshape(g.shape))
    back = Dense.from_spans(g, tree.fields(), tree.spans(), {})
    assert np.array_equal(back.codes.view(np.uint32).reshape(-1), bits)


def test_half_types_decode_exactly():
    g = Geometry(1, 1, 3, 3)
    numbers = np.array([[[1.5, -0.0, 3.0e38]]], np.float32)
    assert np.array_equal(Dense(g, numbers.astype(ml_dtypes.bfloat16)).decode()[0, 0, :2], [1.5, 0])
    assert Dense(g, numbers.astype(np.float32)).detail == "f32"


@pytest.mark.parametrize("codes", [np.zeros((1, 2, 3)), np.zeros((1, 2, 3), np.int32), np.zeros((2, 3), np.float32)])
def test_refuses_other_types_and_shapes(codes):
    with pytest.raises(EncodingError, match="dense"):
        Dense(Geometry(1, 2, 3, 3), codes)
