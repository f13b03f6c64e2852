"""Nodes of a plan: all are told of, in order, and running them one by one is running the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_files import Case

import cmf
from cmf.container import read, write
from cmf.errors import CmfError
from cmf.runtime import File, Plan, isa_levels
from cmf.runtime.library import check, ffi, lib

LENET = Path(__file__).parents[1] / "fixtures" / "lenet5.onnx"
RNG = np.random.default_rng(5)
PICTURE = RNG.random((1, 1, 28, 28), dtype=np.float32)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """LeNet-5 by a recipe."""
    folder = tmp_path_factory.mktemp("nodes")

    def make(recipe: str) -> Path:
        path = folder / f"{recipe.replace(' ', '').replace(';', '_').replace(':', '-')}.cmf"
        if not path.exists():
            model, _ = cmf.compress(LENET, recipe, calibration=[{"image": PICTURE}])
            cmf.save(model, path)
        return path

    return make


def plan_of(path: Path, **options: Any) -> Plan:
    return File(path).session(**options).plan(image=(1, 1, 28, 28))


def test_every_node_of_the_file_in_its_order(lenet: Callable[[str], Path]) -> None:
    path = lenet("f32")
    nodes = plan_of(path).nodes()
    assert [(n.name, n.op) for n in nodes] == [(n.name, n.op) for n in read(path).nodes]
    assert [n.compute for n in nodes if n.op in ("Conv", "MatMul")] == ["f32"] * 4
    assert all(n.compute == n.method == n.weights == "" for n in nodes if n.op not in ("Conv", "MatMul"))


def test_work_and_bytes_add_up(lenet: Callable[[str], Path]) -> None:
    path = lenet("prune(0.5) + codebook(16)")
    plan = plan_of(path)
    nodes = plan.nodes()
    assert sum(n.work for n in nodes) == plan.footprint.work
    assert sum(n.weight_bytes for n in nodes) == sum(w.stored_bytes for w in File(path).weights())
    assert nodes[-1].output_bytes == 40 and all(n.input_bytes > 0 for n in nodes)


@pytest.mark.parametrize(
    ("recipe", "compute", "weights", "method"),
    [("f32", "f32", "in place", "row"), ("int8", "f32", "in place", "row"), ("codebook(16)", "f32", "decoded", "row"),
     ("int8 + a8(dynamic)", "int8_dynamic", "in place", "row"), ("int8 + a8", "int8_static", "in place", "row"),
     ("svd(0.5)", "f32", "in place", "factors"), ("svd(0.5) + codebook(16)", "f32", "decoded", "factors"),
     ("dct(8)", "f32", "in place", "dct"), ("dct(8) + int4", "f32", "decoded", "dct")])
def test_the_way_of_the_last_layer(lenet: Callable[[str], Path], recipe: str, compute: str, weights: str,
                                   method: str) -> None:
    last = [n for n in plan_of(lenet(recipe)).nodes() if n.op == "MatMul"][-1]
    assert (last.compute, last.method, last.weights) == (compute, method, weights)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", isa_levels())
@pytest.mark.parametrize("recipe", ["f32", "int8 + a8", "int8 + a8(dynamic)", "svd(0.5)"])
def test_node_by_node_is_the_network_to_the_bit(lenet: Callable[[str], Path], recipe: str, isa: str,
                                                threads: int) -> None:
    whole, parts = (plan_of(lenet(recipe), isa=isa, threads=threads) for _ in range(2))
    assert whole.isa == parts.isa == isa
    for _ in range(2):
        picture = RNG.random((1, 1, 28, 28), dtype=np.float32)
        for plan in (whole, parts):
            plan.input("image")[:] = picture
        whole.run()
        times = parts.run_nodes()
        assert times.shape == (len(parts.nodes()),) and (times >= 0).all() and times.sum() > 0
        np.testing.assert_array_equal(parts.output("logits"), whole.output("logits"))
        parts.run()
        np.testing.assert_array_equal(parts.output("logits"), whole.output("logits"))


def test_nothing_is_run_before_its_turn(lenet: Callable[[str], Path]) -> None:
    """Only the last node writes the output."""
    plan = plan_of(lenet("f32"))
    plan.input("image")[:] = PICTURE
    plan.run()
    expected = plan.output("logits").copy()
    error = ffi.new("cmf_error *")
    count = len(plan.nodes())
    for index in range(count):
        plan.output("logits")[:] = 7 if index == count - 1 else plan.output("logits")
        check(lib.cmf_session_run_node(plan._session, index, error), error)
    np.testing.assert_array_equal(plan.output("logits"), expected)


def test_a_node_that_is_not_there(lenet: Callable[[str], Path]) -> None:
    plan = plan_of(lenet("f32"))
    error, info = ffi.new("cmf_error *"), ffi.new("cmf_node_info *")
    count = len(plan.nodes())
    with pytest.raises(CmfError, match=f"node {count} of a model of {count} nodes"):
        check(lib.cmf_session_run_node(plan._session, count, error), error)
    assert lib.cmf_session_node(plan._session, count, info) == lib.CMF_E_ARGUMENT


def test_an_error_of_a_node_comes_through(two: Case) -> None:
    plan = File(two.path).session().plan(a=(3, 3), ids=(3,))
    plan.input("ids")[:] = [0, 99, 0]
    with pytest.raises(CmfError, match="Gather"):
        plan.run_nodes()


def test_a_gather_reads_only_its_rows(two: Case) -> None:
    (gather,) = [n for n in File(two.path).session().plan(a=(3, 3), ids=(3,)).nodes() if n.op == "Gather"]
    (table,) = File(two.path).weights()
    assert gather.weight_bytes == table.stored_bytes * 3 // 10


def test_what_is_known_beforehand_does_not_run(tmp_path: Path) -> None:
    from cmf.ir.graph import Graph, Node, Value

    graph = Graph(name="known")
    for name, dtype, shape in (("x", "f32", (2, 6)), ("n", "i64", (2,)), ("flat", "f32", (12,)), ("y", "f32", (12,))):
        graph.values[name] = Value(name, dtype, shape)
    graph.inputs, graph.outputs = ["x"], ["y", "n"]
    graph.nodes += [
        Node("Shape", ["x"], ["n"], name="shape"),
        Node("Reshape", ["x", graph.constant("to", np.array([12]))], ["flat"], name="flat"),
        Node("Relu", ["flat"], ["y"], name="relu"),
    ]
    plan = File(write(graph, tmp_path / "known.cmf")).session().plan()
    assert [(n.name, n.runs) for n in plan.nodes()] == [("shape", False), ("flat", False), ("relu", True)]
    plan.input("x")[:] = np.arange(-6, 6).reshape(2, 6)
    plan.run_nodes()
    np.testing.assert_array_equal(plan.output("y"), np.maximum(np.arange(-6, 6), 0))
    np.testing.assert_array_equal(plan.output("n"), [2, 6])
