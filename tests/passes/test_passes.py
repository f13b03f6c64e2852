"""Each pass does what its name says, and what the graph computes stays what it was."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx_models import check, model, node, ops, random

from cmf.encodings import Quantized
from cmf.errors import GraphError
from cmf.frontend import load
from cmf.ir.graph import Activation, Graph, Node, Value
from cmf.passes import dead_code, fold_constants, pipeline
from cmf.passes.rewrite import sort

NCHW = ["N", 4, 6, 5]


def x(seed: int = 0) -> dict[str, Any]:
    return {"x": random(2, 4, 6, 5, seed=seed)}


def vector(n: int, seed: int, *ones: int) -> Any:
    return random(n, seed=seed).reshape(n, *ones)


# ---------------------------------------------------------------- folding


def test_constants_are_folded_and_large_ones_are_not_grown() -> None:
    nodes = [node("Add", "a b", "c"), node("Sqrt", "c", "d"), node("Expand", "d s", "e"), node("Add", "x e", "y")]
    constants = {"a": np.float32(1), "b": np.float32(3), "s": np.array([300, 300], np.int64)}
    graph = check(model(nodes, {"x": [300, 300]}, constants=constants), {"x": random(300, 300)})
    assert ops(graph) == ["Expand", "Add"]
    assert graph.value(graph.nodes[0].inputs[0]).data == np.float32(2)


def test_an_output_that_is_constant() -> None:
    nodes = [node("Add", "a a", "y"), node("Relu", "x", "z")]
    graph = check(model(nodes, {"x": [2]}, "y z", {"a": random(3)}), {"x": random(2)})
    assert sorted(ops(graph)) == ["Identity", "Relu"]


def test_an_output_that_is_an_input() -> None:
    check(model([node("Identity", "x", "y")], {"x": [2]}), {"x": random(2)})


def test_two_outputs_of_one_value() -> None:
    nodes = [node("Relu", "x", "a"), node("Identity", "a", "y"), node("Identity", "a", "z")]
    graph = check(model(nodes, {"x": [2]}, "y z"), {"x": random(2)})
    assert sorted(ops(graph)) == ["Identity", "Relu"]


@pytest.mark.parametrize("bias", ["", " b"])
def test_batch_norm_folds_into_convolutions(bias: str) -> None:
    constants = {
        "w": random(6, 4, 3, 3),
        "b": random(6, seed=1),
        "s": random(6, seed=2),
        "o": random(6, seed=3),
        "m": random(6, seed=4),
        "v": np.abs(random(6, seed=5)),
    }
    nodes = [node("Conv", f"x w{bias}", "a"), node("BatchNormalization", "a s o m v", "c"), node("Relu", "c", "y")]
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x(), tolerance=5e-6)
    assert ops(graph) == ["Transpose", "Conv", "Transpose"]
    assert graph.nodes[1].activation == Activation("relu")


@pytest.mark.parametrize("last", ["Mul", "Div", "Sub", "Add"])
def test_factors_by_channel_fold_into_convolutions(last: str) -> None:
    constants = {"w": random(6, 2, 3, 3), "s": vector(6, 1, 1, 1), "o": vector(6, 2, 1, 1) + 3, "k": np.float32(0.5)}
    nodes = [
        node("Conv", "x w", "a", group=2),
        node("Mul", "s a", "b"),
        node("Add", "b k", "c"),
        node(last, "c o", "y"),
    ]
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x(), tolerance=5e-6)
    assert ops(graph) == ["Transpose", "Conv", "Transpose"]


def test_what_must_not_fold_into_a_convolution() -> None:
    """A factor by column, a value that is read twice, a difference the wrong way round, the value itself."""
    constants = {"w": random(6, 4, 3, 3), "column": random(3), "s": vector(6, 1, 1, 1)}
    for nodes in (
        [node("Conv", "x w", "a"), node("Mul", "a column", "y")],
        [node("Conv", "x w", "a"), node("Mul", "a s", "b"), node("Sub", "b a", "y")],
        [node("Conv", "x w", "a"), node("Sub", "s a", "y")],
        [node("Conv", "x w", "a"), node("Mul", "a a", "y")],
    ):
        graph = check(model(nodes, {"x": NCHW}, constants=constants), x(), tolerance=5e-6)
        assert set(ops(graph)) - {"Conv", "Transpose"}


def test_matmul_takes_bias_and_factor() -> None:
    constants = {"w": random(4, 6), "b": random(6, seed=1), "s": random(1, 6, seed=2), "c": random(6, seed=3)}
    nodes = [
        node("MatMul", "x w", "a"),
        node("Add", "b a", "d"),
        node("Mul", "d s", "e"),
        node("Add", "e c", "f"),
        node("Relu", "f", "y"),
    ]
    graph = check(model(nodes, {"x": ["N", 3, 4]}, constants=constants), {"x": random(2, 3, 4)})
    assert ops(graph) == ["MatMul"]
    assert graph.nodes[0].activation == Activation("relu")


def test_products_of_activations_take_no_bias() -> None:
    nodes = [node("MatMul", "x z", "a"), node("Add", "a b", "y")]
    graph = check(
        model(nodes, {"x": [3, 4], "z": [4, 5]}, constants={"b": random(5)}), {"x": random(3, 4), "z": random(4, 5)}
    )
    assert ops(graph) == ["MatMul", "Add"]


@pytest.mark.parametrize(
    ("pads", "folds"),
    [([0, 0, 1, 2, 0, 0, 3, 4], True), ([0, 1, 1, 2, 0, 0, 3, 4], False), ([0, 0, -1, 2, 0, 0, 3, 4], False)],
)
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_pads(pads: list[int], folds: bool, fill: float) -> None:
    channels = 4 + pads[1] + pads[5]
    constants = {"w": random(3, channels, 3, 3), "p": np.array(pads, np.int64), "v": np.float32(fill)}
    nodes = [node("Pad", "x p v", "a"), node("Conv", "a w", "y", pads=[1, 0, 0, 1])]
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x())
    assert ("Pad" not in ops(graph)) == (folds and fill == 0.0)
    if folds and fill == 0.0:
        assert graph.nodes[1].options["pads"] == (2, 2, 3, 5)


# ---------------------------------------------------------------- fusing


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"low": 0.0, "high": 6.0}, Activation("clip", 0.0, 6.0)),
        ({"low": 0.0}, Activation("relu")),
        ({"low": -1.0, "high": 1.0}, Activation("clip", -1.0, 1.0)),
        ({"high": 1.0}, None),
    ],
)
def test_clip_becomes_an_activation(limits: dict[str, float], expected: Activation | None) -> None:
    constants: dict[str, Any] = {k: np.float32(v) for k, v in limits.items()}
    constants["w"] = random(6, 4, 1, 1)
    names = " ".join(n if n in limits else "-" for n in ("low", "high"))
    nodes = [node("Conv", "x w", "a"), node("Clip", f"a {names}", "y")]
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x())
    assert graph.nodes[1].activation == expected
    assert ("Clip" in ops(graph)) == (expected is None)


def test_activations_one_after_the_other() -> None:
    constants = {"w": random(6, 4, 1, 1), "low": np.float32(-1), "high": np.float32(1)}
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Clip", "b low high", "y")]
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x())
    assert graph.nodes[1].activation == Activation("clip", 0.0, 1.0)


def test_a_value_read_before_its_activation_is_kept() -> None:
    nodes = [node("Add", "x x", "a"), node("Relu", "a", "b"), node("Sub", "a b", "y")]
    assert "Relu" in ops(check(model(nodes, {"x": [3, 3]}), {"x": random(3, 3)}))


ROOT, HALF = np.float32(np.sqrt(2)), np.float32(0.5)


@pytest.mark.parametrize("form", ["div", "mul", "half first", "half x"])
def test_gelu_is_recognised(form: str) -> None:
    inner = node("Mul", "x inverse", "a") if form == "mul" else node("Div", "x root", "a")
    start = [inner, node("Erf", "a", "b"), node("Add", "one b", "c")]
    ends = {
        "half first": [node("Mul", "c half", "d"), node("Mul", "x d", "y")],
        "half x": [node("Mul", "half x", "d"), node("Mul", "d c", "y")],
    }
    end = ends.get(form, [node("Mul", "x c", "d"), node("Mul", "d half", "y")])
    constants = {"root": ROOT, "inverse": np.float32(1) / ROOT, "one": np.float32(1), "half": HALF}
    graph = check(model(start + end, {"x": [4, 5]}, constants=constants), {"x": random(4, 5) * 2})
    assert ops(graph) == ["Gelu"]


@pytest.mark.parametrize("change", [{"root": np.float32(1.5)}, {"one": np.float32(2)}, {"half": np.float32(0.4)}])
def test_what_is_nearly_gelu_is_not(change: dict[str, Any]) -> None:
    nodes = [
        node("Div", "x root", "a"),
        node("Erf", "a", "b"),
        node("Add", "b one", "c"),
        node("Mul", "x c", "d"),
        node("Mul", "d half", "y"),
    ]
    constants = {"root": ROOT, "one": np.float32(1), "half": HALF, **change}
    assert "Gelu" not in ops(check(model(nodes, {"x": [4, 5]}, constants=constants), {"x": random(4, 5)}))


# ---------------------------------------------------------------- layout


def layers(*nodes: Any) -> list[Any]:
    """Two convolutions with something in between."""
    return [node("Conv", "x w1", "a", pads=[1, 1, 1, 1]), *nodes, node("Conv", "z w2", "y")]


WEIGHTS = {"w1": random(8, 4, 3, 3), "w2": random(3, 8, 1, 1, seed=1)}


@pytest.mark.parametrize(
    "between",
    [
        [node("Sigmoid", "a", "z")],
        [node("Relu", "a", "b"), node("Add", "a b", "z")],
        [node("Mul", "a c1", "b"), node("Sigmoid", "b", "d"), node("Add", "d c2", "z")],
        [node("Mul", "a c3", "b"), node("Exp", "b", "d"), node("Mul", "d c0", "z")],
        [node("GlobalAveragePool", "a", "b"), node("Sigmoid", "b", "d"), node("Mul", "a d", "z")],
        [node("ReduceMean", "a", "b", axes=[2, 3]), node("Sub", "a b", "z")],
        [node("MaxPool", "a", "z", kernel_shape=[2, 2])],
        [node("AveragePool", "a", "z", kernel_shape=[2, 2])],
        [node("Softmax", "a", "z", axis=1)],
        [node("Clip", "a c0 -", "z")],
        [node("Split", "a half", "b d", axis=1), node("Tanh", "b", "e"), node("Concat", "e d", "z", axis=1)],
        [node("Pad", "a pads", "z", mode="edge")],
        [node("Slice", "a one last axis", "z")],
        [node("Greater", "a c0", "p"), node("Where", "p a c1", "z")],
        [node("Resize", "a - scales", "z", mode="linear")],
        [node("Cast", "a", "i", to=7), node("Cast", "i", "z", to=1)],
    ],
)
def test_transposes_between_convolutions_vanish(between: list[Any]) -> None:
    constants = {
        **WEIGHTS,
        "c0": np.float32(0.25),
        "c1": vector(8, 3, 1, 1),
        "c2": random(1, 8, 6, 5, seed=4),
        "c3": random(5, seed=5),
        "half": np.array([3, 5], np.int64),
        "pads": np.array([0, 0, 1, 0, 0, 0, 0, 2], np.int64),
        "one": np.array([1], np.int64),
        "last": np.array([-1], np.int64),
        "axis": np.array([2], np.int64),
        "scales": np.array([1, 1, 2, 3], np.float32),
    }
    graph = check(model(layers(*between), {"x": NCHW}, constants=constants), x(), tolerance=5e-6)
    assert ops(graph).count("Transpose") == 2, "only those of the interface"


def test_dynamic_resize_of_another_value_s_size() -> None:
    """HED's way: sizes from Shape, Slice and Concat; here with symbolic height and width."""
    nodes = [
        node("Conv", "x w1", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Shape", "x", "s"),
        node("Slice", "s two four", "hw"),
        node("Shape", "a", "t"),
        node("Slice", "t zero two", "nc"),
        node("Concat", "nc hw", "sizes", axis=0),
        node("Resize", "a - - sizes", "z", mode="linear"),
        node("Conv", "z w2", "y"),
    ]
    constants = {
        **WEIGHTS,
        "zero": np.array([0], np.int64),
        "two": np.array([2], np.int64),
        "four": np.array([4], np.int64),
    }
    graph = check(model(nodes, {"x": ["N", 4, "H", "W"]}, constants=constants), x())
    assert ops(graph).count("Transpose") == 2


def test_flatten_permutes_the_rows_of_the_weight_behind_it() -> None:
    """LeNet's way: no Transpose runs between the convolution and the first dense layer."""
    nodes = [
        node("Conv", "x w1", "a", pads=[1, 1, 1, 1]),
        node("Flatten", "a", "f"),
        node("Relu", "f", "r"),
        node("Gemm", "r w b", "y"),
    ]
    constants = {"w1": WEIGHTS["w1"], "w": random(8 * 6 * 5, 7, seed=2), "b": random(7, seed=3)}
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x(), tolerance=5e-6)
    assert ops(graph) == ["Transpose", "Conv", "Reshape", "Relu", "MatMul"]


def test_flatten_that_is_read_twice_keeps_its_transpose() -> None:
    nodes = [
        node("Conv", "x w1", "a"),
        node("Flatten", "a", "f"),
        node("Gemm", "f w", "p"),
        node("Softmax", "f", "q"),
        node("Concat", "p q", "y", axis=1),
    ]
    constants = {"w1": WEIGHTS["w1"], "w": random(8 * 4 * 3, 7, seed=2)}
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x(), tolerance=5e-6)
    assert ops(graph).count("Transpose") == 2


def test_one_channel_needs_no_transpose() -> None:
    constants = {"w": random(8, 1, 3, 3)}
    nodes = [node("Conv", "x w", "a"), node("GlobalAveragePool", "a", "b"), node("Flatten", "b", "y")]
    graph = check(model(nodes, {"x": ["N", 1, 6, 5]}, constants=constants), {"x": random(2, 1, 6, 5)})
    assert "Transpose" not in ops(graph)


def test_channels_last_models_lose_their_transposes() -> None:
    """Exporters of channels-last frameworks put Transposes around everything; none is left."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w1", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "r"),
        node("Conv", "r w2", "z"),
        node("Transpose", "z", "y", perm=[0, 2, 3, 1]),
    ]
    graph = check(model(nodes, {"x": ["N", 6, 5, 4]}, constants=WEIGHTS), {"x": random(2, 6, 5, 4)})
    assert ops(graph) == ["Conv", "Conv"]


def test_attention_s_transposes_merge() -> None:
    """[b h s d] -> [bh s d] -> [bh d s] -> [b h d s], as exporters write it, is one Transpose."""
    nodes = [
        node("Reshape", "x split", "v"),
        node("Transpose", "v", "k", perm=[0, 2, 1, 3]),
        node("Shape", "k", "ks"),
        node("Gather", "ks i0", "b"),
        node("Gather", "ks i2", "s"),
        node("Concat", "minus s d", "flat", axis=0),
        node("Reshape", "k flat", "kf"),
        node("Transpose", "kf", "kt", perm=[0, 2, 1]),
        node("Concat", "b h d s", "back", axis=0),
        node("Reshape", "kt back", "kT"),
        node("MatMul", "k kT", "y"),
    ]
    one = {k: np.array([v], np.int64) for k, v in {"i0": 0, "i2": 2, "minus": -1, "d": 4, "h": 3}.items()}
    graph = check(
        model(nodes, {"x": ["N", "S", 12]}, constants={"split": np.array([0, 0, 3, 4], np.int64), **one}),
        {"x": random(2, 5, 12)},
    )
    assert ops(graph) == ["Reshape", "Transpose", "Transpose", "MatMul"]


# ---------------------------------------------------------------- the pipeline itself


def small() -> Graph:
    graph = Graph(inputs=["x"], outputs=["y"])
    for name in ("x", "a", "y"):
        graph.values[name] = Value(name, "f32", (2, 3))
    graph.nodes = [Node("Relu", ["x"], ["a"]), Node("Sigmoid", ["a"], ["y"])]
    return graph


def test_sort_puts_nodes_in_order_and_refuses_cycles() -> None:
    graph = small()
    graph.nodes.reverse()
    sort(graph)
    assert [n.op for n in graph.nodes] == ["Relu", "Sigmoid"]
    graph.nodes[0].inputs = ["y"]
    with pytest.raises(GraphError, match="depends on its own result"):
        sort(graph)


def test_dead_code_goes_with_its_values() -> None:
    graph = small()
    graph.values["z"] = Value("z", "f32", (2, 3))
    graph.nodes.append(Node("Exp", ["a"], ["z"]))
    assert dead_code.run(graph) == 1
    assert "z" not in graph.values


def test_a_pass_that_breaks_the_graph_is_named() -> None:
    def run(graph: Graph) -> None:
        graph.nodes[0].inputs = ["nothing"]

    module = ModuleType("cmf.passes.breaks")
    module.run = run  # type: ignore[attr-defined]
    with pytest.raises(GraphError, match=r"Relu node .*nothing.*after pass breaks"):
        pipeline.apply(small(), module)


def test_lowering_is_deterministic() -> None:
    proto = model(layers(node("Sigmoid", "a", "z")), {"x": NCHW}, constants=WEIGHTS)
    first, second = (pipeline.lower(load(proto)) for _ in range(2))
    assert [(n.op, n.name, n.inputs, n.outputs) for n in first.nodes] == [
        (n.op, n.name, n.inputs, n.outputs) for n in second.nodes
    ]
    assert list(first.values) == list(second.values)


def test_lowering_twice_changes_nothing() -> None:
    proto = model(layers(node("Sigmoid", "a", "z")), {"x": NCHW}, constants=WEIGHTS)
    graph = pipeline.lower(load(proto))
    before = [(n.op, n.name, n.inputs, n.outputs) for n in graph.nodes]
    assert [(n.op, n.name, n.inputs, n.outputs) for n in pipeline.lower(graph).nodes] == before


def test_every_node_has_a_name_of_its_own() -> None:
    nodes = [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Sigmoid", "b", "y")]
    for n in nodes:
        n.name = "same"
    names = [n.name for n in pipeline.lower(load(model(nodes, {"x": [2]}))).nodes]
    assert len(set(names)) == len(names)


def test_weights_of_integers_are_not_folded_before_they_are_taken_over() -> None:
    nodes = [node("Cast", "q", "f", to=1), node("Mul", "f s", "w"), node("MatMul", "x w", "y")]
    constants = {"q": np.arange(-6, 6, dtype=np.int8).reshape(4, 3), "s": random(1, 3)}
    graph = load(model(nodes, {"x": ["N", 4]}, constants=constants))
    assert fold_constants.run(graph) == 0
    assert fold_constants.run(graph, keep_weights=False) == 2
    lowered = pipeline.lower(load(model(nodes, {"x": ["N", 4]}, constants=constants)))
    assert isinstance(lowered.value(lowered.nodes[0].inputs[1]).tree, Quantized)


def test_weights_keep_their_names() -> None:
    """Recipes choose weights by name: a transposed, permuted or folded weight is still the model's weight."""
    constants = {
        "conv.weight": random(8, 4, 3, 3),
        "scale": vector(8, 1, 1, 1),
        "fc.weight": random(7, 8 * 4 * 3, seed=2),
        "fc.bias": random(7, seed=3),
        "codes": np.arange(-14, 14, dtype=np.int8).reshape(4, 7),
        "step": random(4, 1, seed=4),
    }
    nodes = [
        node("Conv", "x conv.weight", "a"),
        node("Mul", "a scale", "s"),
        node("Flatten", "s", "f"),
        node("Gemm", "f fc.weight fc.bias", "g", transB=1, alpha=2.0),
        node("Cast", "codes", "c", to=1),
        node("Mul", "c step", "last.weight"),
        node("Gemm", "g last.weight", "y", transB=1),
    ]
    graph = check(model(nodes, {"x": NCHW}, constants=constants), x(), tolerance=1e-5)
    layers = [n for n in graph.nodes if n.op in ("Conv", "MatMul")]
    assert [n.inputs[1] for n in layers] == ["conv.weight", "fc.weight", "last.weight"]
    assert layers[1].inputs[2] == "fc.bias"
