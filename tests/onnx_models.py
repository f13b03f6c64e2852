"""Small ONNX models made by hand, and what they compute: our graph in the reference evaluator against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from cmf.frontend import load  # noqa: E402
from cmf.ir.graph import Graph  # noqa: E402
from cmf.passes.pipeline import lower  # noqa: E402
from cmf.reference import evaluate  # noqa: E402

TYPES = {
    "f": TensorProto.FLOAT,
    "i64": TensorProto.INT64,
    "i32": TensorProto.INT32,
    "b": TensorProto.BOOL,
    "u8": TensorProto.UINT8,
    "i8": TensorProto.INT8,
}
#: The IR version that goes with the oldest supported operator set: runtimes read it with every later set too.
IR_VERSION = 8


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """``node("Conv", "x w", "y", group=2)``; "-" is an absent input."""
    names = [[("" if n == "-" else n) for n in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op, *names, name=f"{op}_{names[1][0]}", **attributes)


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int | str] | tuple[str, Sequence[int | str]]],
    outputs: str = "y",
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    out_type: str = "f",
) -> Any:
    """A ModelProto. ``inputs`` maps names to a shape (f32), or to (type, shape)."""
    infos = []
    for name, spec in inputs.items():
        kind, shape = spec if isinstance(spec, tuple) else ("f", spec)
        infos.append(helper.make_tensor_value_info(name, TYPES[kind], shape))
    results = [helper.make_tensor_value_info(name, TYPES[out_type], None) for name in outputs.split()]
    initializers = [numpy_helper.from_array(np.asarray(data), name) for name, data in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "test", infos, results, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR_VERSION)


def onnxruntime(proto: Any, feeds: Mapping[str, Any]) -> list[Any]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # what the model says, not what fused kernels with roundings of their own make of it
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def check(proto: Any, feeds: Mapping[str, Any], tolerance: float = 2e-6) -> Graph:
    """Imports and lowers a model, compares it with ONNX Runtime before and after, and returns the lowered graph.

    Floats must agree to ``tolerance`` of the output's scale, everything else exactly.
    """
    expected = onnxruntime(proto, feeds)
    imported = load(proto)
    if not any(len(n.inputs) > 1 for n in imported.nodes if n.op in ("QuantizeLinear", "DequantizeLinear")):
        compare(imported, feeds, expected, tolerance)
    graph = lower(load(proto))
    assert graph.layout == "channels_last"
    assert (graph.inputs, graph.outputs) == (imported.inputs, imported.outputs), "the interface keeps its names"
    compare(graph, feeds, expected, tolerance)
    return graph


def compare(graph: Graph, feeds: Mapping[str, Any], expected: Sequence[Any], tolerance: float) -> None:
    found = evaluate(graph, feeds)
    assert len(graph.outputs) == len(expected)
    for name, want in zip(graph.outputs, expected):
        got = found[name]
        assert got.shape == want.shape, name
        assert got.dtype == want.dtype, name
        if want.dtype == np.float32 and want.size:
            assert np.array_equal(np.isnan(got), np.isnan(want))
            scale = max(float(np.nanmax(np.abs(np.where(np.isinf(want), 0, want)))), 1e-6)
            difference = np.where(got == want, 0, got - want)
            assert float(np.nanmax(np.abs(difference))) <= tolerance * scale, name
        else:
            assert np.array_equal(got, want), name


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
