"""Reading ONNX files: what they may look like, and one clear error for whatever is wrong with them."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import check, model, node, random

from cmf.errors import CmfError, FormatError, GraphError, ShapeError, UnsupportedError
from cmf.frontend import load
from cmf.ir.graph import Graph
from cmf.passes.pipeline import lower

RELU = [node("Relu", "x", "y")]


def small() -> Any:
    """A network with a bit of everything that a file can hold."""
    nodes = [
        node("Conv", "x w b", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2]),
        node("Shape", "p", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Concat", "n rest", "t", axis=0),
        node("Reshape", "p t", "f"),
        node("Gemm", "f m c", "g", transB=1),
        node("Softmax", "g", "y", axis=-1),
    ]
    constants = {
        "w": random(3, 2, 3, 3),
        "b": random(3),
        "zero": np.array([0], np.int64),
        "rest": np.array([-1], np.int64),
        "m": random(4, 3 * 4 * 3, seed=1),
        "c": random(4, seed=2),
    }
    return model(nodes, {"x": ["N", 2, 5, 4]}, constants=constants)


# ---------------------------------------------------------------- what a model may be given as


def test_path_bytes_and_proto_are_the_same(tmp_path: Path) -> None:
    proto = small()
    path = tmp_path / "net.onnx"
    onnx.save(proto, path)
    graphs = [load(m) for m in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), proto)]
    assert all([n.op for n in g.nodes] == [n.op for n in graphs[0].nodes] for g in graphs)
    assert load(graphs[0]) is graphs[0], "a graph is a model too"
    assert graphs[0].name == "test" and graphs[0].layout == "channels_first"


def test_the_small_network_is_right() -> None:
    check(small(), {"x": random(3, 2, 5, 4)})


def test_metadata_is_kept() -> None:
    proto = model(RELU, {"x": [2]})
    helper.set_model_props(proto, {"labels": "a,b"})
    assert load(proto).metadata == {"labels": "a,b"}


def test_initializers_may_be_listed_as_inputs() -> None:
    proto = model([node("Add", "x c", "y")], {"x": [2], "c": [2]}, constants={"c": random(2)})
    assert load(proto).inputs == ["x"]


@pytest.mark.parametrize("kind", ["raw", "typed"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
def test_tensors_of_every_type(kind: str, dtype: str) -> None:
    from cmf.frontend.onnx_tensors import to_array

    data = (np.arange(6).reshape(2, 3) - (0 if np.dtype(dtype).kind in "u?" else 3)).astype(dtype)
    if kind == "raw":
        tensor = numpy_helper.from_array(data, "t")
    else:
        tensor = helper.make_tensor("t", helper.np_dtype_to_tensor_dtype(data.dtype), data.shape, data.reshape(-1))
        assert not tensor.HasField("raw_data")
    found = to_array(tensor, None)
    assert found.dtype == data.dtype and np.array_equal(found, data)


@pytest.mark.parametrize("kind", ["INT4", "UINT4"])
def test_tensors_of_four_bits(kind: str) -> None:
    from cmf.frontend.onnx_tensors import to_array

    numbers = [-8, 7, 3] if kind == "INT4" else [15, 0, 9]
    tensor = helper.make_tensor("t", getattr(TensorProto, kind), [3], numbers)
    assert to_array(tensor, None).tolist() == numbers
    packed = TensorProto(name="t", data_type=tensor.data_type, dims=[3], raw_data=bytes(tensor.int32_data))
    assert to_array(packed, None).tolist() == numbers


# ---------------------------------------------------------------- external data


def external(tmp_path: Path, **entries: str) -> Path:
    proto = model([node("Add", "x c", "y")], {"x": [4]}, constants={"c": np.arange(4, dtype=np.float32)})
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "weights.bin", "offset": "8", "length": "16", **entries}.items():
        tensor.external_data.add(key=key, value=value)
    (tmp_path / "weights.bin").write_bytes(bytes(8) + np.arange(4, dtype=np.float32).tobytes())
    path = tmp_path / "net.onnx"
    onnx.save(proto, path)
    return path


def test_external_data(tmp_path: Path) -> None:
    assert load(external(tmp_path)).value("c").data.tolist() == [0, 1, 2, 3]
    assert load(os.path.relpath(external(tmp_path))).value("c").data.tolist() == [0, 1, 2, 3]


def test_external_data_needs_a_path(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="load the model by its path"):
        load(external(tmp_path).read_bytes())


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"location": "../secret"}, "not inside"),
        ({"location": "/etc/passwd"}, "not inside"),
        ({"location": ""}, "not inside"),
        ({"location": "a\0b"}, "not inside"),
        ({"location": "link"}, "not inside"),
        ({"location": "missing"}, "cannot read"),
        ({"location": "."}, "cannot read|needs bytes|not inside"),
        ({"offset": "9"}, "needs bytes 9 to 25"),
        ({"offset": "-8"}, "needs bytes"),
        ({"offset": "x"}, "no number"),
        ({"length": "12"}, "declared to have 12"),
        ({"offset": str(2**80)}, "needs bytes"),
    ],
)
def test_external_data_that_is_refused(tmp_path: Path, entries: dict[str, str], match: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(64))
    (folder / "link").symlink_to(tmp_path / "secret")
    path = external(folder, **entries)
    with pytest.raises(CmfError, match=match):
        load(path)


# ---------------------------------------------------------------- what is wrong, where, what to do


def test_files_that_are_no_models(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "text": b"hello, this is not a model", "zeros": bytes(100)}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FormatError, match=f"{name}' is not an ONNX model"):
            load(path)
    for bad in (tmp_path / "missing.onnx", tmp_path, "a\0b"):
        with pytest.raises(FormatError, match="cannot read") as caught:
            load(bad)
        assert caught.value.code == "E_IO"
    with pytest.raises(UnsupportedError, match="cannot read a model of type int"):
        load(3)


def test_onnx_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(CmfError, match="pip install onnx"):
        load(b"")


@pytest.mark.parametrize("opset", [1, 10, 999])
def test_opsets(opset: int) -> None:
    with pytest.raises(UnsupportedError, match=f"opset {opset}; supported are 11 to"):
        load(model(RELU, {"x": [2]}, opset=opset))


def test_unsupported_things_are_named() -> None:
    for nodes, match in [
        (
            [node("Einsum", "x x", "y", equation="ij,jk->ik")],
            "node 'Einsum_y': operator Einsum is not supported; supported are Abs, Add",
        ),
        ([node("Relu", "x", "y", domain="com.example")], "com.example.Relu"),
        (
            [node("Relu", "x", "y", slope=1.0)],
            "Relu node 'Relu_y': attribute 'slope' is not supported; supported: none",
        ),
        ([node("MaxPool", "x", "y i", kernel_shape=[1, 1])], r"MaxPool node 'MaxPool_y': output 1 \('i'\)"),
        (
            [node("MaxPool", "x", "y", kernel_shape=[1, 1], storage_order=1)],
            "storage_order = 1 is not supported; supported: 0",
        ),
        ([node("Cast", "x", "y", to=TensorProto.DOUBLE)], "f64"),
        ([node("Cast", "x", "y", to=TensorProto.STRING)], "string"),
    ]:
        with pytest.raises(UnsupportedError, match=match):
            load(model(nodes, {"x": [1, 1, 2, 2]}))


def test_inputs_that_are_not_supported() -> None:
    with pytest.raises(UnsupportedError, match="input 'x' is f16; supported are"):
        proto = model(RELU, {"x": [2]})
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
        load(proto)
    with pytest.raises(UnsupportedError, match="input 'x' is not a tensor"):
        proto = model(RELU, {"x": [2]})
        proto.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1
        load(proto)
    with pytest.raises(UnsupportedError, match="sparse initializers"):
        proto = model(RELU, {"x": [2]})
        proto.graph.sparse_initializer.add()
        load(proto)


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([node("Relu", "z", "y")], "input 'z' is not defined before it is used"),
        ([node("Relu", "a", "y"), node("Relu", "y", "a")], "input 'a' is not defined before it is used"),
        ([node("Relu", "x", "y"), node("Relu", "x", "y")], "'y' is written twice"),
        ([node("Relu", "x", "x"), node("Relu", "x", "y")], "'x' is written twice"),
        ([node("Identity", "x", "a"), node("Relu", "x", "a"), node("Relu", "x", "y")], "'a' is written twice"),
        ([node("Relu", "x", "a")], "output 'y' is never written"),
        ([node("Relu", "", "y")], "Relu node .*: has 0 inputs"),
        ([node("Add", "x", "y")], "Add node 'Add_y': has 1 inputs; it takes 2 to 2"),
        ([node("Add", "x -", "y")], "Add node 'Add_y': input 1 is missing"),
        ([node("Cast", "x", "y")], "attribute 'to' is missing"),
        ([node("Cast", "x", "y", to=1.5)], "attribute 'to' has the wrong type"),
        ([helper.make_node("Relu", ["x"], [])], "has no output"),
    ],
)
def test_graphs_that_are_wrong(nodes: list[Any], match: str) -> None:
    with pytest.raises(GraphError, match=match):
        load(model(nodes, {"x": [2]}))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.dims.append(2), "needs 32 bytes, it holds 16"),
        (lambda t: t.dims.__setitem__(0, -4), "impossible shape"),
        (lambda t: t.dims.extend([2**40, 2**40]), "elements"),
        (lambda t: t.dims.extend([2**40, 0]), "holds 16|dimension"),
        (lambda t: t.dims.extend([1] * 9), "impossible shape"),
        (lambda t: t.ClearField("raw_data"), "needs 4 numbers in float_data, it holds 0"),
        (lambda t: setattr(t, "data_type", 0), "data type 0"),
        (lambda t: setattr(t, "data_type", TensorProto.STRING), "string"),
        (lambda t: setattr(t, "data_type", TensorProto.INT64), "needs 32 bytes"),
        (lambda t: t.segment.SetInParent(), "segments"),
        (lambda t: setattr(t, "name", "y"), "not defined|twice"),
    ],
)
def test_tensors_that_are_wrong(change: Any, match: str) -> None:
    proto = model([node("Add", "x c", "y")], {"x": [4]}, constants={"c": random(4)})
    change(proto.graph.initializer[0])
    with pytest.raises(CmfError, match=match):
        load(proto)


def test_numbers_that_do_not_fit_their_type() -> None:
    proto = model(
        [node("Cast", "c", "d", to=1), node("Add", "x d", "y")], {"x": [2]}, constants={"c": np.zeros(2, np.int8)}
    )
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.int32_data.extend([1, 300])
    with pytest.raises(GraphError, match="not int8"):
        load(proto)


def test_huge_dimensions_are_refused() -> None:
    for shape in ([2**31, 2], [2**21, 2**21], [1] * 9):
        with pytest.raises(ShapeError) as caught:
            load(model(RELU, {"x": shape}))
        assert caught.value.code == "E_LIMIT"
    expand = model(
        [node("Expand", "c s", "e"), node("Add", "x e", "y")],
        {"x": [1]},
        constants={"c": np.float32(1), "s": np.array([2**30], np.int64)},
    )
    assert "Expand" in [n.op for n in lower(load(expand)).nodes], "not stored as a constant of 4 GB"


def test_a_deep_graph_is_no_problem() -> None:
    nodes = [node("Relu", "x" if i == 0 else f"v{i}", f"v{i + 1}") for i in range(3000)]
    assert len(load(model(nodes, {"x": [2]}, "v3000")).nodes) == 3000


# ---------------------------------------------------------------- a stranger's file raises CmfError at worst


def attempt(data: Any) -> None:
    try:
        graph = lower(load(data))
    except CmfError as error:
        assert str(error)
        return
    assert isinstance(graph, Graph)


def quantized() -> Any:
    q = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w ws wz", "wd", axis=0),
        node("DequantizeLinear", "b bs", "bd", axis=0),
        node("Conv", "xd wd bd", "c"),
        node("QuantizeLinear", "c s z", "yq"),
        node("DequantizeLinear", "yq s z", "y"),
    ]
    constants = {
        "s": np.float32(0.1),
        "z": np.uint8(3),
        "w": np.ones((2, 2, 1, 1), np.int8),
        "ws": np.ones(2, np.float32),
        "wz": np.zeros(2, np.int8),
        "b": np.ones(2, np.int32),
        "bs": np.full(2, 0.1, np.float32),
    }
    return model(q, {"x": [1, 2, 3, 3]}, constants=constants)


def resizing() -> Any:
    nodes = [
        node("Resize", "x - f", "a", mode="linear"),
        node("BatchNormalization", "a s s s v", "b"),
        node("Split", "b", "c d", axis=1),
        node("Squeeze", "c one", "e"),
        node("Unsqueeze", "e one", "g"),
        node("Slice", "g z two one one", "h"),
        node("Pad", "h p", "i"),
        node("Clip", "i - l", "k"),
        node("ReduceMean", "k", "m", axes=[2, 3]),
        node("Range", "z0 l0 o0", "r"),
        node("Cast", "r", "rf", to=1),
        node("Add", "m rf", "y"),
    ]
    constants = {
        "f": np.array([1, 1, 2, 2], np.float32),
        "s": random(2),
        "v": np.abs(random(2)),
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "z": np.array([0], np.int64),
        "p": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
        "l": np.float32(1),
        "z0": np.array(0, np.int64),
        "l0": np.array(3, np.int64),
        "o0": np.array(1, np.int64),
    }
    return model(nodes, {"x": ["N", 2, 3, 3]}, constants=constants)


MODELS = {"small": small(), "quantized": quantized(), "resizing": resizing()}
BYTES = {name: proto.SerializeToString() for name, proto in MODELS.items()}
RANDOMLY = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", MODELS)
def test_every_prefix(name: str) -> None:
    load(BYTES[name])
    lower(load(MODELS[name]))
    for size in range(len(BYTES[name])):
        attempt(BYTES[name][:size])


def test_a_name_that_is_no_text() -> None:
    data = bytearray(BYTES["small"])
    data[data.index(b"MaxPool_p")] = 0x80
    with pytest.raises(FormatError, match="not valid text"):
        load(bytes(data))


@RANDOMLY
@given(
    st.sampled_from(sorted(BYTES)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_random_bytes(name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(BYTES[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    attempt(bytes(data))


NUMBERS = st.sampled_from(
    [-(2**63), -(2**31), -3, -2, -1, 0, 1, 2, 3, 4, 7, 63, 2**16, 2**31 - 1, 2**31, 2**40, 2**63 - 1]
)
NAMES = ["x", "y", "w", "a", "r", "s", "c", "", "nothing"]


@RANDOMLY
@given(st.data())
def test_random_edits(data: st.DataObject) -> None:
    """Well-formed protobufs that say wrong things: other names, numbers, types, operators, dimensions."""
    proto = onnx.ModelProto()
    proto.CopyFrom(MODELS[data.draw(st.sampled_from(sorted(MODELS)))])
    for _ in range(data.draw(st.integers(1, 3))):
        edit = data.draw(st.sampled_from(EDITS))
        edit(proto.graph, data)
    attempt(proto)


def pick(data: st.DataObject, items: Any) -> Any:
    return items[data.draw(st.integers(0, len(items) - 1))] if len(items) else None


def edit_input(graph: Any, data: st.DataObject) -> None:
    chosen = pick(data, graph.node)
    if chosen is not None and len(chosen.input):
        chosen.input[data.draw(st.integers(0, len(chosen.input) - 1))] = data.draw(st.sampled_from(NAMES))


def edit_arity(graph: Any, data: st.DataObject) -> None:
    chosen = pick(data, graph.node)
    if chosen is not None:
        if data.draw(st.booleans()):
            chosen.input.append(data.draw(st.sampled_from(NAMES)))
        elif len(chosen.input):
            del chosen.input[-1]


def edit_output(graph: Any, data: st.DataObject) -> None:
    chosen = pick(data, graph.node)
    if chosen is not None and len(chosen.output):
        chosen.output[0] = data.draw(st.sampled_from(NAMES))


def edit_op(graph: Any, data: st.DataObject) -> None:
    from cmf.frontend.onnx_ops import CONVERTERS

    chosen = pick(data, graph.node)
    if chosen is not None:
        chosen.op_type = data.draw(st.sampled_from(sorted(CONVERTERS)))
        if data.draw(st.booleans()):
            del chosen.attribute[:]


def edit_attribute(graph: Any, data: st.DataObject) -> None:
    chosen = pick(data, graph.node)
    attribute = pick(data, chosen.attribute) if chosen is not None else None
    if attribute is not None:
        attribute.i = data.draw(NUMBERS)
        del attribute.ints[:]
        attribute.ints.extend(data.draw(st.lists(NUMBERS, max_size=5)))
        if data.draw(st.booleans()):
            attribute.type = data.draw(st.integers(0, 10))


def edit_constant(graph: Any, data: st.DataObject) -> None:
    """A constant of another shape, type or contents."""
    tensor = pick(data, graph.initializer)
    if tensor is not None:
        shape = data.draw(st.lists(st.integers(0, 3), max_size=5))
        dtype = data.draw(st.sampled_from(["f4", "f8", "i8", "i4", "i1", "u1", "?"]))
        numbers = data.draw(st.lists(NUMBERS, min_size=1, max_size=4))
        contents = np.resize(np.array(numbers, dtype=object).astype(np.int64), shape).astype(dtype)
        if data.draw(st.booleans()) and dtype in ("f4", "f8"):
            contents = np.full(shape, data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.5, 1e-40, 1e38])), dtype)
        tensor.CopyFrom(numpy_helper.from_array(contents, tensor.name))


def edit_dims(graph: Any, data: st.DataObject) -> None:
    tensor = pick(data, graph.initializer)
    if tensor is not None and len(tensor.dims):
        tensor.dims[data.draw(st.integers(0, len(tensor.dims) - 1))] = data.draw(NUMBERS)


def edit_interface(graph: Any, data: st.DataObject) -> None:
    tensor = graph.input[0].type.tensor_type
    if data.draw(st.booleans()):
        tensor.elem_type = data.draw(st.integers(0, 30))
    if data.draw(st.booleans()) and len(tensor.shape.dim):
        tensor.shape.dim[data.draw(st.integers(0, len(tensor.shape.dim) - 1))].dim_value = data.draw(NUMBERS)
    if data.draw(st.booleans()):
        tensor.shape.dim.add(dim_param=data.draw(st.sampled_from(["N", "min(3,N)", "a:0", ""])))
    if data.draw(st.booleans()):
        tensor.ClearField("shape")


EDITS = [edit_input, edit_arity, edit_output, edit_op, edit_attribute, edit_constant, edit_dims, edit_interface]
