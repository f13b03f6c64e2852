"""What Python writes, the C library opens at its strictest, and finds the same weights in it."""

import numpy as np
import pytest
from files import large_graph, small_graph

from cmf.container import Container, read, to_bytes
from cmf.runtime import File


@pytest.mark.parametrize("options", [{}, {"codec": "zstd"}, {"codec": "auto", "alignment": 16}, {"alignment": 4096}])
@pytest.mark.parametrize("make", [small_graph, large_graph])
def test_opens(make, options):
    data = to_bytes(make(), **options)
    file, graph = File(data, verify="full"), read(data)
    assert file.file_bytes == len(data)
    resident = sum(buffer.size for buffer in Container(data).buffers if buffer.codec == "zstd")
    assert file.resident_bytes >= resident
    weights = [value for value in graph.values.values() if value.tree is not None]
    assert [weight.name for weight in file.weights()] == [value.name for value in weights]
    for value in weights:
        scale = np.abs(value.tree.decode()).max()
        np.testing.assert_allclose(file.decode_weight(value.name), value.tree.decode(), rtol=0, atol=1e-5 * scale)
    assert [(tensor.name, tensor.shape) for tensor in file.inputs] == [
        (name, graph.values[name].shape) for name in graph.inputs]
