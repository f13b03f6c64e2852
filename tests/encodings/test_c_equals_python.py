"""The C library decodes every weight as Python does: panel trees bit for bit, products and bases to rounding."""

import numpy as np
import pytest
from contract import weight_graph
from trees import cases

from cmf.container import to_bytes
from cmf.encodings import ENCODINGS
from cmf.encodings.transient import transient_bytes
from cmf.runtime import File

#: relative to the largest magnitude: C multiplies factors and cosines in f32
PRODUCT_TOLERANCE = 1e-5
TREES = {f"{cls.encoding}-{name}": make for cls in ENCODINGS for name, make in cases(cls.encoding).items()}


@pytest.mark.parametrize("name", TREES)
def test_decodes_as_python(name):
    tree = TREES[name]()
    file = File(to_bytes(weight_graph(tree), alignment=16), verify="full")
    (weight,) = file.weights()
    g = tree.geometry
    assert (weight.stack, weight.outputs, weight.inputs, weight.run) == (g.stack, g.outputs, g.inputs, g.run)
    assert ENCODINGS[weight.encoding - 1].encoding == tree.encoding
    assert weight.stored_bytes == tree.stored_bytes
    assert weight.transient_bytes == transient_bytes(tree)
    found, expected = file.decode_weight(0), tree.decode()
    assert found.shape == expected.shape
    if tree.encoding in ("lowrank", "dct"):
        np.testing.assert_allclose(found, expected, rtol=0, atol=PRODUCT_TOLERANCE * max(np.abs(expected).max(), 1e-6))
    else:
        assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
