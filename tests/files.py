"""Files to test with, and the means to damage them knowingly."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from cmf.container.crc32c import crc32c
from cmf.encodings import Codebook, Dense, Geometry, LowRank, Quantized, Sparse
from cmf.ir.graph import Activation, Affine, Graph, Node, Value


def small_graph() -> Graph:
    """A network with something of everything: symbols, constants of several types, trees, options, integers."""
    rng = np.random.default_rng(7)
    g = Graph("small", inputs=["image"], outputs=["probabilities", "codes"], metadata={"licence": "none", "über": "ß"})

    def value(name, dtype="f32", shape=None, **rest):
        g.values[name] = Value(name, dtype, shape, **rest)

    def weight(name, tree, shape):
        value(name, "f32", shape, tree=tree)

    value("image", shape=("N", 8, 8, 3))
    value("hidden", shape=("N", 8, 8, 8))
    geometry = Geometry(1, 8, 27, 27)
    codes = rng.integers(0, 16, geometry.shape).astype(np.uint8)
    table = rng.standard_normal((1, 16)).astype(np.float32)
    weight("conv", Sparse(geometry, rng.random(geometry.shape) < 0.5, Codebook(geometry, codes, table)), (8, 3, 3, 3))
    g.constant("bias", rng.standard_normal(8).astype(np.float32))
    options = {"strides": (1, 1), "pads": (1, 1, 1, 1)}
    g.nodes.append(Node("Conv", ["image", "conv", "bias"], ["hidden"], options, "first",
                        activation=Activation("clip", 0.0, 6.0)))
    value("wide")
    g.constant("depthwise", rng.standard_normal((8, 3, 3, 1)).astype(np.float32))
    g.nodes.append(Node("Conv", ["hidden", "depthwise"], ["wide"], {"pads": (1, 1, 1, 1), "group": 8}, "second",
                        activation=Activation("relu")))
    value("pooled")
    g.nodes.append(Node("GlobalAveragePool", ["wide"], ["pooled"]))
    value("flat", shape=("N", 8))
    g.constant("flat shape", np.array([0, -1], np.int64))
    g.nodes.append(Node("Reshape", ["pooled", "flat shape"], ["flat"]))
    value("scores", shape=("N", 10))
    factors = (Dense(Geometry(1, 4, 8, 8), rng.standard_normal((1, 4, 8)).astype(np.float16)),
               Quantized(Geometry(1, 10, 4, 4), rng.integers(-8, 8, (1, 10, 4)).astype(np.int8),
                         np.ones((1, 10, 1), np.float32), 4))
    weight("classifier", LowRank(Geometry(1, 10, 8, 8), factors), (8, 10))
    g.nodes.append(Node("MatMul", ["flat", "classifier"], ["scores"]))
    value("probabilities", shape=("N", 10))
    g.nodes.append(Node("Softmax", ["scores"], ["probabilities"], {"axis": 1}))
    value("codes", "i8", ("N", 10), affine=Affine(0.25, -3))
    g.nodes.append(Node("QuantizeLinear", ["scores"], ["codes"]))
    return g


def large_graph(size: int = 64) -> Graph:
    """One MatMul whose weight is a buffer of its own, with a bias in the pool."""
    g = Graph("large", inputs=["x"], outputs=["y"])
    g.values["x"] = Value("x", "f32", (1, size))
    g.constant("weight", np.random.default_rng(0).standard_normal((size, size)).astype(np.float32))
    g.constant("bias", np.zeros(size, np.float32))
    g.values["y"] = Value("y", "f32", (1, size))
    g.nodes.append(Node("MatMul", ["x", "weight", "bias"], ["y"]))
    return g


def reseal(data: bytes | bytearray) -> bytes:
    """The file with the checksums of preamble and metadata and the digest put right."""
    data = bytearray(data)
    size = struct.unpack_from("<Q", data, 24)[0]
    struct.pack_into("<I", data, 48, crc32c(bytes(data[64 : 64 + size])))
    struct.pack_into("<I", data, 60, crc32c(bytes(data[:60])))
    data[-32:] = hashlib.sha256(data[:-32]).digest()
    return bytes(data)


def patched(data: bytes, offset: int, form: str, *values: object) -> bytes:
    """The file with something else at an offset, checksums put right."""
    changed = bytearray(data)
    struct.pack_into("<" + form, changed, offset, *values)
    return reseal(changed)
