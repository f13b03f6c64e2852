import hashlib
import os
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from contract import weight_graph
from files import large_graph, small_graph
from hypothesis import given, settings
from hypothesis import strategies as st

from cmf.container import Container, read, to_bytes, write
from cmf.container.weights import encode_constants
from cmf.container.writer import POOL_LIMIT
from cmf.encodings import Dct, Dense, Geometry, LowRank, same
from cmf.errors import CmfError, FormatError, GraphError
from cmf.ir.graph import Graph, Node, Value
from cmf.ir.ops import OPS


def assert_same_graph(found: Graph, expected: Graph) -> None:
    assert (found.name, found.inputs, found.outputs, found.metadata) == (
        expected.name, expected.inputs, expected.outputs, expected.metadata)
    assert len(found.nodes) == len(expected.nodes)
    for one, two in zip(found.nodes, expected.nodes):
        defaults = {name: option.default for name, option in OPS[two.op].options.items()}
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in {**defaults, **two.options}.items()}
        for name, value in one.options.items():
            assert options[name] == pytest.approx(value, rel=1e-7)
        assert replace(one, options={}) == replace(two, options={})
    for name, value in found.values.items():
        other = expected.values[name]
        assert (value.dtype, value.shape, value.affine) == (other.dtype, other.shape, other.affine)
        assert (value.tree is None) == (other.tree is None) and (value.data is None) == (other.data is None)
        assert value.tree is None or same(value.tree, other.tree)
        if value.data is not None:
            assert value.data.dtype == other.data.dtype and value.data.shape == other.data.shape
            assert value.data.tobytes() == other.data.tobytes()


@pytest.mark.parametrize("options", [{}, {"codec": "zstd"}, {"codec": "auto", "alignment": 16}, {"alignment": 4096}])
@pytest.mark.parametrize("make", [small_graph, large_graph])
def test_a_file_gives_the_graph_back(make, options):
    data = to_bytes(make(), **options)
    assert_same_graph(read(data), encode_constants(make()))
    assert to_bytes(read(data), **options) == data


def test_the_same_bytes_every_time():
    program = ("import sys; sys.path.insert(0, sys.argv[1])\n"
               "import files, hashlib; from cmf.container import to_bytes\n"
               "print(hashlib.sha256(to_bytes(files.small_graph(), codec='zstd')).hexdigest())")
    folder = os.path.dirname(os.path.dirname(__file__))
    digests = {subprocess.run([sys.executable, "-c", program, folder], check=True, capture_output=True, text=True,
                              env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}
    digests.add(hashlib.sha256(to_bytes(small_graph(), codec="zstd")).hexdigest() + "\n")
    assert len(digests) == 1


@pytest.mark.parametrize("alignment", [16, 64, 256])
@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_every_byte_is_accounted_for(alignment, codec):
    data = to_bytes(large_graph(), alignment=alignment, codec=codec)
    magic, major, minor, align, size, metadata, start, features = struct.unpack_from("<8sHHIQQQQ", data)
    assert (magic, major, minor, align, size) == (b"\x89CMF\r\n\x1a\n", 1, 0, alignment, len(data))
    assert features == (codec == "zstd")
    owner = bytearray(len(data))

    def claim(begin: int, end: int) -> None:
        assert not any(owner[begin:end])
        owner[begin:end] = b"\1" * (end - begin)

    claim(0, 64)
    claim(64, 64 + metadata)
    claim(len(data) - 32, len(data))
    container = Container(data)
    assert len(container.buffers) == 2
    for buffer in container.buffers:
        assert (start + buffer.offset) % alignment == 0
        claim(start + buffer.offset, start + buffer.offset + buffer.stored_size)
    gaps = [index for index, claimed in enumerate(owner) if not claimed]
    assert all(data[index] == 0 for index in gaps)
    assert len(gaps) < alignment * 3
    assert data[-32:] == hashlib.sha256(data[:-32]).digest()


def test_spans_of_a_buffer_do_not_overlap_and_keep_their_alignment():
    container = Container(to_bytes(small_graph()))
    ends = {}
    for span in sorted(container.spans(), key=lambda s: (s.buffer, s.offset)):
        assert span.offset >= ends.get(span.buffer, 0)
        assert span.offset % (8 if span.field == "mask" or span.owner == "flat shape" else 4) == 0
        ends[span.buffer] = span.offset + span.size
    assert ends == {0: container.buffers[0].size}


def test_small_spans_share_the_last_buffer():
    spans = {span.owner: span for span in Container(to_bytes(large_graph())).spans()}
    assert spans["weight"].size >= POOL_LIMIT and spans["weight"].buffer == 0
    assert spans["bias"].size < POOL_LIMIT and spans["bias"].buffer == 1


def test_equal_spans_are_stored_once():
    graph = large_graph()
    graph.constant("again", graph.values["weight"].data.copy())
    graph.values["z"] = Value("z", "f32", (1, 64))
    graph.nodes.append(Node("MatMul", ["y", "again", "bias"], ["z"]))
    graph.outputs = ["z"]
    assert len(Container(to_bytes(graph)).buffers) == 2


def test_zstd_is_kept_only_where_it_pays():
    graph = large_graph()
    graph.values["weight"].data = np.zeros((64, 64), np.float32)
    one, two = Container(to_bytes(graph, codec="zstd")).buffers
    assert (one.codec, one.size, two.codec) == ("zstd", 4 * 64 * 64, "zstd") and one.stored_size < 100
    noise = large_graph()
    words = np.frombuffer(np.random.default_rng(0).bytes(4 * 64 * 64), np.uint32)
    noise.values["weight"].data = words.reshape(64, 64).astype(np.float32)
    assert Container(to_bytes(noise, codec="auto")).buffers[0].codec == "raw"


def test_a_large_data_section_goes_through_a_file(monkeypatch):
    whole = to_bytes(large_graph())
    monkeypatch.setattr("cmf.container.writer._SPOOL_LIMIT", 100)
    monkeypatch.setattr("cmf.container.writer._CHUNK", 1000)
    assert to_bytes(large_graph()) == whole


# ---------------------------------------------------------------- which constants are weights


def test_weights_become_dense_trees_and_other_constants_stay():
    graph = read(to_bytes(small_graph()))
    assert graph.values["depthwise"].tree.geometry == Geometry(1, 8, 9, 9, "rows")
    assert graph.values["bias"].tree is None and graph.values["flat shape"].data.tolist() == [0, -1]


def test_a_matrix_is_turned_so_that_inputs_lie_together():
    graph = large_graph()
    weight = graph.values["weight"].data
    assert np.array_equal(read(to_bytes(graph)).values["weight"].tree.decode()[0], weight.T)


def test_an_embedding_is_a_weight_and_a_shared_constant_is_both():
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    graph = Graph("tied", inputs=["ids"], outputs=["sum"])
    graph.values["ids"] = Value("ids", "i64", (2,))
    graph.constant("table", table)
    graph.values["rows"] = Value("rows", "f32", (2, 3))
    graph.nodes.append(Node("Gather", ["table", "ids"], ["rows"]))
    alone = read(to_bytes(replace(graph, outputs=["rows"])))
    assert np.array_equal(alone.values["table"].tree.decode()[0], table)
    graph.values["turned"] = Value("turned", "f32", (3, 4))
    graph.values["sum"] = Value("sum", "f32", (2, 4))
    graph.nodes.append(Node("Transpose", ["table"], ["turned"], {"perm": (1, 0)}))
    graph.nodes.append(Node("MatMul", ["rows", "turned"], ["sum"]))
    both = read(to_bytes(graph))
    assert both.values["table"].data is not None
    assert both.nodes[0].inputs == ["table_weight", "ids"]
    assert np.array_equal(both.values["table_weight"].tree.decode()[0], table)


def test_values_that_nothing_uses_are_not_written():
    graph = small_graph()
    graph.constant("left over", np.zeros(5, np.float32))
    assert to_bytes(graph) == to_bytes(small_graph())


# ---------------------------------------------------------------- saving


def test_write_makes_the_file(tmp_path):
    path = write(small_graph(), tmp_path / "small.cmf")
    assert path.read_bytes() == to_bytes(small_graph())
    assert os.listdir(tmp_path) == ["small.cmf"]


@pytest.mark.parametrize("stage", ["cmf.container.writer._place", "cmf.container.writer._metadata", "os.fsync",
                                   "os.replace"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_save_keeps_the_old_file(tmp_path, monkeypatch, stage, error):
    path = tmp_path / "model.cmf"
    path.write_bytes(b"old")

    def interrupt(*_: object) -> None:
        raise error

    monkeypatch.setattr(stage, interrupt)
    with pytest.raises(error):
        write(small_graph(), path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["model.cmf"]


# ---------------------------------------------------------------- what is not written


def test_refuses_options(tmp_path):
    for options, what in (({"alignment": 48}, "alignment is 48"), ({"codec": "gzip"}, "unknown codec")):
        with pytest.raises(CmfError, match=what):
            write(small_graph(), tmp_path / "x.cmf", **options)
    assert not os.listdir(tmp_path)


def test_refuses_graphs():
    with pytest.raises(GraphError, match="channels_first"):
        to_bytes(replace(small_graph(), layout="channels_first"))
    graph = small_graph()
    graph.metadata["long"] = "x" * 70000
    with pytest.raises(FormatError, match="65535"):
        to_bytes(graph)


def test_refuses_a_tree_against_the_grammar():
    g = Geometry(1, 4, 4, 4)
    inner = LowRank(g, (Dense(g, np.zeros(g.shape, np.float32)),) * 2)
    with pytest.raises(CmfError, match="lowrank cannot be the factor0 of lowrank"):
        to_bytes(weight_graph(LowRank(g, (inner, inner))))
    with pytest.raises(CmfError, match="dct cannot be the coefficients of dct"):
        to_bytes(weight_graph(Dct(g, Dct(g, Dense(g, np.zeros(g.shape, np.float32))))))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["f32", "f16", "bf16", "f64", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "boolean"]),
       st.lists(st.integers(0, 3), max_size=8), st.integers(0, 2**32 - 1))
def test_constants_of_every_type_and_rank(dtype, shape, seed):
    import ml_dtypes

    from cmf.ir.graph import NUMPY_DTYPES

    numpy_type = np.dtype(ml_dtypes.bfloat16 if dtype == "bf16" else NUMPY_DTYPES[dtype])
    data = np.random.default_rng(seed).integers(0, 2, shape).astype(numpy_type)
    graph = Graph("constant", inputs=["x"], outputs=["y"])
    graph.values["x"] = Value("x", dtype, tuple(shape))
    graph.constant("c", data, dtype)
    graph.values["y"] = Value("y", dtype, tuple(shape))
    if shape:
        graph.values["y"].shape = (2 * shape[0], *shape[1:])
        graph.nodes.append(Node("Concat", ["x", "c"], ["y"], {"axis": 0}))
    else:
        graph.nodes.append(Node("Where", ["b", "x", "c"], ["y"]))
        graph.values["b"] = Value("b", "boolean", ())
        graph.inputs.insert(0, "b")
    assert_same_graph(read(to_bytes(graph)), graph)
