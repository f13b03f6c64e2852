"""``cmf.compress``: a network and a recipe in, a smaller network and a report out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.calibration import calibration_inputs
from cmf.container.weights import encode_constants
from cmf.encodings import Tree, Winograd, winograd_filters
from cmf.encodings.base import F32
from cmf.errors import RecipeError
from cmf.ir.graph import Graph, Node
from cmf.ir.ops import OPS
from cmf.model import Model
from cmf.passes import drop_channels, halve_biases
from cmf.passes.activations import Outcome, make_dynamic, make_static, observe
from cmf.passes.bias import correctable, corrected
from cmf.passes.calibrate import walk
from cmf.passes.choose import calibrated, choose
from cmf.passes.hessian import Moments
from cmf.passes.layers import Layer, find_layers
from cmf.passes.steps import Activations, Step
from cmf.recipe import Recipe, RecipeLike
from cmf.reference import Evaluator, evaluate_node
from cmf.reference.integers import dequantize, quantize
from cmf.report import LayerReport, Report, sqnr

Array = npt.NDArray[Any]

#: ``progress(what, done, total)``: called before the first unit of a stage and after each
Progress = Callable[[str, int, int], None]

#: dB of a weight's SQNR from which on its layer's bias stays in f32 (rounding a number to f16 leaves about 73)
EXACT = 60.0

#: calibration inputs that output errors are measured on
MEASURED = 8


def compress(
    model: Any, recipe: RecipeLike, calibration: Any = None, *, sequential: bool = False,
    progress: Progress | None = None,
) -> tuple[Model, Report]:
    """Compresses a network.

    model: whatever :func:`cmf.save` takes. recipe: text such as ``"prune(0.8) + codebook(16)"`` or a
    :class:`cmf.Recipe`. calibration: example inputs without labels (see :func:`cmf.calibration.calibration_inputs`).
    With them, levels and zeros are chosen by what they do to each layer's outputs, biases make up for what is lost on
    average, and errors of outputs are measured; ``a8`` needs them. sequential: layers are given what the compressed
    layers before them compute, and make up for their errors; else they are independent. progress: called as
    ``progress(what, done, total)``. The model given is not changed. Steps that are not possible for a layer are left
    out there, and the report says so; it also says where channels were dropped because they give the same number for
    every input. Raises CmfError.
    """
    start = time.perf_counter()
    tell: Progress = progress or (lambda what, done, total: None)
    recipe = Recipe.of(recipe)
    source = Model.of(model)
    graph, dropped = source.graph, dict[str, int]()
    if any(step.role in ("product", "basis", "pattern", "levels", "activations") for step in recipe.all_steps()):
        graph = drop_channels.copied(source.graph)
        dropped = drop_channels.run(graph)
    before = encode_constants(graph)
    inputs = None if calibration is None else calibration_inputs(calibration, before)
    layers = find_layers(before)
    plans = {layer.name: recipe.steps_for(layer.names, layer.kinds) for layer in layers}
    if inputs is None and any(_mode(steps) == "static" for steps in plans.values()):
        raise RecipeError("a8 needs calibration inputs, to find the ranges of activations; or use a8(dynamic)")
    graph = replace(before, values=dict(before.values), nodes=[replace(node) for node in before.nodes])
    notes, algorithms = _encode(graph, before, layers, plans, inputs, sequential, tell)
    rounded = {layer.name for layer in layers if _mode(plans[layer.name]) != "static"
               and _weight_sqnr(_tree(before, layer), _tree(graph, layer)) < EXACT}
    halve_biases.run(graph, rounded)
    codes = _activations(graph, before, recipe, plans, inputs, notes, tell)
    errors, outputs = _measure(before, graph, layers, codes, (inputs or [])[:MEASURED], tell)
    twins = _twins(graph, layers, codes)
    report = _report(source.name, recipe, before, graph, layers, twins, notes, algorithms, errors, outputs)
    _name_after_nodes(graph)
    return Model(graph, codec=recipe.codec), replace(report, dropped=dropped, seconds=time.perf_counter() - start)


def _tree(graph: Graph, layer: Layer) -> Tree:
    tree = graph.value(layer.name).tree
    assert tree is not None
    return tree


def _mode(steps: tuple[Step, ...]) -> str | None:
    return next((step.mode for step in steps if isinstance(step, Activations)), None)


# ---------------------------------------------------------------- weights


def _encode(
    graph: Graph, before: Graph, layers: list[Layer], plans: dict[str, tuple[Step, ...]],
    inputs: list[dict[str, Array]] | None, sequential: bool, tell: Progress,
) -> tuple[dict[str, list[str]], dict[str, tuple[str, ...]]]:
    """Puts the chosen trees into the graph; returns notes and calibrated algorithms by layer."""
    notes: dict[str, list[str]] = {}
    algorithms: dict[str, tuple[str, ...]] = {}
    tell("weights", 0, len(layers))
    seen: Iterable[tuple[Layer, Moments | None]] = ((layer, None) for layer in layers)
    if inputs and any(_changes(steps) and calibrated(steps) for steps in plans.values()):
        seen = walk(before, graph, layers, inputs, sequential)
    for done, (layer, moments) in enumerate(seen, 1):
        value, steps = graph.value(layer.name), plans[layer.name]
        assert value.tree is not None
        notes[layer.name] = []
        if _changes(steps):
            why = _kept(layer, value.tree)
            if why:
                notes[layer.name].append(why)
            else:
                given = moments if calibrated(steps) else None
                if inputs and calibrated(steps) and moments is None and layer.op != "Gather":
                    notes[layer.name].append("calibration left out: its inputs are too many or not f32")
                notes[layer.name] += _choose(graph, layer, value.tree.decode(), steps, given, algorithms)
        tell("weights", done, len(layers))
    return notes, algorithms


def _changes(steps: tuple[Step, ...]) -> bool:
    return any(step.role not in ("activations", "file") for step in steps) or _mode(steps) is not None


def _choose(
    graph: Graph, layer: Layer, weight: F32, steps: tuple[Step, ...], moments: Moments | None,
    algorithms: dict[str, tuple[str, ...]],
) -> list[str]:
    """Encodes one weight, and with moments of its inputs corrects its bias; returns notes."""
    value, bias = graph.value(layer.name), None
    if moments is None or not np.isfinite(weight).all():
        chosen = choose(weight, layer, steps)
    else:
        bias = correctable(graph, layer)
        hessian = moments.hessian(bias is not None)
        target = moments.target(weight, hessian, bias is not None)
        chosen = choose(weight, layer, steps, hessian, target)
    graph.values[layer.name] = replace(value, tree=chosen.tree)
    if bias is not None and moments is not None:
        graph.values[bias] = corrected(graph.value(bias), moments, weight, chosen.tree.decode())
        chosen.algorithms += ("bias correction",)
    if chosen.algorithms:
        algorithms[layer.name] = chosen.algorithms
    return chosen.notes


def _kept(layer: Layer, tree: Tree) -> str:
    """Why a weight stays as it came; empty if it may change."""
    if any(node.compute != "f32" for node in layer.nodes):
        return "kept as it is: the network computes with its integers"
    if isinstance(tree, Winograd):
        return "kept as it is: Winograd filters have no exact form in pixels"
    return ""


# ---------------------------------------------------------------- activations


def _activations(
    graph: Graph, before: Graph, recipe: Recipe, plans: dict[str, tuple[Step, ...]],
    inputs: list[dict[str, Array]] | None, notes: dict[str, list[str]], tell: Progress,
) -> dict[str, str]:
    """Makes nodes compute on integers where the recipe says so; returns the i8 value of each activation."""
    wanted = {mode: {name for name, steps in plans.items() if _mode(steps) == mode} for mode in ("static", "dynamic")}
    outcomes: list[Outcome] = []
    if wanted["dynamic"]:
        outcomes.append(make_dynamic(graph, wanted["dynamic"]))
    if wanted["static"] and inputs:
        percentile = min(step.percentile for steps in plans.values() for step in steps if isinstance(step, Activations))
        tell("activation ranges", 0, len(inputs))
        ranges = observe(graph, inputs, percentile, lambda done: tell("activation ranges", done, len(inputs)))
        outcomes.append(make_static(graph, wanted["static"], ranges, others=_mode(recipe.steps) == "static"))
    for outcome in outcomes:
        for name, note in outcome.notes.items():
            notes[name].append(note)
    return {name: code for outcome in outcomes for name, code in outcome.codes.items()}


def _name_after_nodes(graph: Graph) -> None:
    """Inner activations take their node's name, so that a file holds it once."""
    new = {}
    for node in graph.nodes:
        old = node.outputs[0]
        if node.name and node.name not in graph.values and old not in graph.outputs:
            graph.values[node.name] = replace(graph.values.pop(old), name=node.name)
            new[old] = node.name
    for node in graph.nodes:
        node.inputs = [new.get(name, name) for name in node.inputs]
        node.outputs = [new.get(name, name) for name in node.outputs]


# ---------------------------------------------------------------- errors


def _measure(
    before: Graph, after: Graph, layers: list[Layer], codes: dict[str, str], inputs: list[dict[str, Array]],
    tell: Progress,
) -> tuple[dict[str, float], dict[str, float]]:
    """SQNR of each layer's output given its original inputs, and of the network's outputs."""
    if not inputs:
        return {}, {}
    originals, now = Evaluator(before), Evaluator(after)
    twins = _twins(after, layers, codes)
    pairs: dict[str, list[tuple[Array, Array]]] = {}
    decoded: dict[str, Array] = {}
    tell("errors", 0, len(inputs))
    for done, given in enumerate(inputs, 1):
        values = originals.run(given, keep=True)
        for name, array in now.run(given).items():
            pairs.setdefault(f"output {name}", []).append((values[name], array))
        for layer in layers:
            for node in layer.nodes:
                result = _alone(twins[node.outputs[0]], node, values, after, decoded)
                pairs.setdefault(f"layer {layer.name}", []).append((values[node.outputs[0]], result))
        tell("errors", done, len(inputs))
    found = {key: _joint_sqnr(parts) for key, parts in pairs.items()}
    return ({layer.name: found[f"layer {layer.name}"] for layer in layers},
            {name: found[f"output {name}"] for name in before.outputs})


def _twins(after: Graph, layers: list[Layer], codes: dict[str, str]) -> dict[str, Node]:
    """The compressed node of each layer's node, by the original's output."""
    nodes = {node.outputs[0]: node for node in after.nodes}
    twins: dict[str, Node] = {}
    for layer in layers:
        for node in layer.nodes:
            output = node.outputs[0]
            # the integer value of an output may also come from a QuantizeLinear behind a float node
            twins[output] = next(nodes[name] for name in (codes.get(output), output)
                                 if name in nodes and nodes[name].op == node.op)
    return twins


def _alone(node: Node, original: Node, values: dict[str, Array], graph: Graph, decoded: dict[str, Array]) -> Array:
    """The result of a compressed node on the inputs that the original node had, as floats."""
    given: dict[str, Array] = {}
    for name, old in zip(node.inputs, original.inputs, strict=False):
        value = graph.values.get(name)
        if value is not None and not value.is_constant:
            integers = value.affine is not None and values[old].dtype.kind == "f"
            given[name] = quantize(values[old], value.affine) if integers and value.affine else values[old]
    result = evaluate_node(node, given, graph, decoded)[node.outputs[0]]
    affine = graph.value(node.outputs[0]).affine
    return result if affine is None else dequantize(result, affine)


def _joint_sqnr(parts: list[tuple[Array, Array]]) -> float:
    return sqnr(np.concatenate([a.reshape(-1) for a, _ in parts]), np.concatenate([b.reshape(-1) for _, b in parts]))


# ---------------------------------------------------------------- report


def _report(
    name: str, recipe: Recipe, before: Graph, after: Graph, layers: list[Layer], twins: dict[str, Node],
    notes: dict[str, list[str]], algorithms: dict[str, tuple[str, ...]], errors: dict[str, float],
    outputs: dict[str, float],
) -> Report:
    lines = []
    for layer in layers:
        node = layer.nodes[0]
        twin = twins[node.outputs[0]]
        value, old = after.value(twin.inputs[OPS[twin.op].weight or 0]), before.value(layer.name).tree
        assert value.tree is not None and value.shape is not None and old is not None
        lines.append(LayerReport(
            layer.name, node.name, layer.op, tuple(sorted(layer.kinds)), value.tree.describe(), twin.compute,
            tuple(int(d) for d in value.shape), value.tree.geometry.elements, value.tree.stored_bytes,
            _weight_sqnr(old, value.tree), errors.get(layer.name), algorithms.get(layer.name, ()),
            tuple(notes[layer.name])))
    used = {i for node in after.nodes for i in node.inputs}
    other = sum(v.data.nbytes for v in after.values.values() if v.data is not None and v.name in used)
    return Report(name, str(recipe), tuple(lines), other, outputs)


def _weight_sqnr(old: Tree, new: Tree) -> float:
    """Of the weight; for Winograd filters in their own basis, since they have no exact form in pixels."""
    if isinstance(new, Winograd) and not isinstance(old, Winograd):
        spatial: F32 = old.decode().reshape(new.geometry.outputs, 3, 3, new.geometry.run)
        return sqnr(winograd_filters(spatial, new.tile).astype(np.float32), new.decode())
    return sqnr(old.decode(), new.decode())


