"""Levels, zeros and factors chosen by what they do to a layer's output."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from networks import Builder, images, small_net, token_net

import cmf
from cmf.container.writer import to_bytes
from cmf.encodings import Geometry, check_tree
from cmf.errors import RecipeError
from cmf.ir.graph import Node
from cmf.ir.verify import verify
from cmf.passes import steps as s
from cmf.passes.calibrate import columns, walk
from cmf.passes.choose import choose
from cmf.passes.factorize import svd, whitened
from cmf.passes.feedback import Free, Steps, Table, best_of, descend, feedback
from cmf.passes.hessian import Hessian, Moments
from cmf.passes.layers import Layer, find_layers
from cmf.passes.obs import exact, gradual, obs_mask, refit
from cmf.recipe import Recipe
from cmf.reference import evaluate

Array = npt.NDArray[Any]
F = np.float32


def problem(blocks: int = 1, rows: int = 6, inputs: int = 24, seed: int = 0) -> tuple[Array, Hessian]:
    """A weight [B, R, K] and the Hessian of correlated inputs with a mean."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(blocks, 400, inputs)) @ rng.normal(size=(blocks, inputs, inputs)) / np.sqrt(inputs) + 0.5
    moments = Moments()
    moments.add(x.astype(F))
    return rng.normal(size=(blocks, rows, inputs)).astype(F), moments.hessian(False)


def steps_of(weight: Array, bits: int) -> tuple[Steps, Array]:
    bound = 1 << (bits - 1)
    step = (np.abs(weight).max(axis=2, keepdims=True) / (bound - 1)).astype(F)
    return Steps(step, -bound, bound - 1), (np.clip(np.rint(weight / step), -bound, bound - 1) * step).astype(F)


# ---------------------------------------------------------------- the Hessian


def test_moments_are_those_of_all_columns() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2, 5000, 7)) @ rng.normal(size=(2, 7, 7)) + 1).astype(F)
    moments = Moments()
    for part in np.split(x, [100, 2000], axis=1):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, x.mean(axis=1), rtol=1e-4)
    raw = np.einsum("bni,bnj->bij", x.astype(float), x) / 5000
    for centered in (False, True):
        expected = raw - (x.mean(axis=1)[:, :, None] * x.mean(axis=1)[:, None] if centered else 0)
        found = moments.hessian(centered).matrix
        diagonal = np.einsum("bkk->bk", expected)
        np.testing.assert_allclose(np.einsum("bkk->bk", found), diagonal + 0.01 * diagonal.mean(axis=1, keepdims=True),
                                   rtol=1e-4)
        np.testing.assert_allclose(found, expected, atol=0.02 * diagonal.mean())


def test_few_samples_of_many_inputs_are_not_taken_at_their_word() -> None:
    x = np.random.default_rng(1).normal(size=(1, 20, 200)).astype(F)
    moments = Moments()
    moments.add(x)
    matrix = moments.hessian(False).matrix[0]
    off = matrix[~np.eye(200, dtype=bool)]
    assert np.abs(off).max() < 0.2 * np.abs((x[0].T @ x[0] / 20)[~np.eye(200, dtype=bool)]).max()
    assert np.linalg.eigvalsh(matrix.astype(float)).min() > 0.1


def test_dead_inputs_cost_something_but_hardly() -> None:
    x = np.random.default_rng(2).normal(size=(1, 50, 6)).astype(F)
    x[:, :, 2] = 0
    moments = Moments()
    moments.add(x)
    matrix = moments.hessian(True).matrix[0]
    assert matrix[2, 2] >= 1 and not np.delete(matrix[2], 2).any()
    np.linalg.cholesky(matrix.astype(float))


def test_inverse() -> None:
    _, hessian = problem(blocks=3)
    for b in range(3):
        order = hessian.order[b]
        inverse = np.linalg.inv(hessian.matrix[b].astype(float))
        factor = hessian.inverse_factor[b].astype(float)
        np.testing.assert_allclose(factor.T @ factor, inverse[np.ix_(order, order)], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(hessian.inverse_diagonal[b], np.diagonal(inverse), rtol=1e-4)
        assert not np.tril(factor, -1).any()


@pytest.mark.parametrize("name", ["stem", "depth", "point", "grouped", "wide", "strided", "y"])
def test_columns_times_weight_are_the_layer(name: str) -> None:
    graph = small_net()
    node = next(node for node in graph.nodes if node.outputs[0] == name)
    values = evaluate(graph, {"x": images(2)}, keep=True)
    weight = graph.value(node.inputs[1]).data
    assert weight is not None
    found = columns(node, list(weight.shape), values[node.inputs[0]], 10**6)
    matrix = weight.T[None] if node.op == "MatMul" else weight.reshape(len(found), -1, found.shape[2])
    plain = Node(node.op, node.inputs[:2], node.outputs, node.options, node.name)
    from cmf.reference import evaluate_node

    expected = evaluate_node(plain, values, graph)[name]
    y = np.swapaxes(found @ np.swapaxes(matrix, 1, 2), 0, 1).reshape(expected.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
    few = columns(node, list(weight.shape), values[node.inputs[0]], 5, 0.4)
    assert few.shape[1] == min(5, found.shape[1])
    assert all((few[:, i, None] == found).all(axis=(0, 2)).any() for i in range(few.shape[1]))


def test_columns_of_stacked_matrices() -> None:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(2, 3, 5, 4)).astype(F), rng.normal(size=(3, 4, 6)).astype(F)
    found = columns(Node("MatMul", ["x", "w"], ["y"]), [3, 4, 6], x, 1000)
    np.testing.assert_allclose((found @ w).reshape(3, 2, 5, 6).swapaxes(0, 1), x @ w, rtol=1e-5)


# ---------------------------------------------------------------- rounding


@pytest.mark.parametrize("bits", [2, 3])
def test_rounding_is_near_the_best_of_all(bits: int) -> None:
    found, best, nearest = 0.0, 0.0, 0.0
    for seed in range(6):
        weight, hessian = problem(rows=3, inputs=5, seed=seed)
        grid, plain = steps_of(weight, bits)
        levels = descend(weight, feedback(weight, hessian, grid), hessian, grid)
        for row in range(3):
            every = np.array(list(itertools.product(range(grid.low, grid.high + 1), repeat=5)), F) * grid.step[0, row]
            best += float(hessian.errors(weight[:, row : row + 1] - every[None]).min())
        found += float(hessian.errors(weight - levels).sum())
        nearest += float(hessian.errors(weight - plain).sum())
    assert best <= found * (1 + 1e-6) and found - best < 0.5 * (nearest - best)


def test_without_correlations_feedback_is_the_nearest_level() -> None:
    weight, _ = problem()
    grid, plain = steps_of(weight, 4)
    hessian = Hessian.identity(Geometry(1, 6, 24, 24))
    np.testing.assert_allclose(feedback(weight, hessian, grid), plain, atol=1e-6)
    np.testing.assert_array_equal(descend(weight, plain, hessian, grid), plain)


@pytest.mark.parametrize("blocks,rows,inputs", [(1, 6, 150), (9, 1, 9), (2, 5, 40)])
def test_errors_never_grow(blocks: int, rows: int, inputs: int) -> None:
    weight, hessian = problem(blocks, rows, inputs)
    grid, plain = steps_of(weight, 3)
    before = hessian.errors(weight - plain)
    levels, which = best_of(weight, hessian, plain, [grid, Steps(grid.step * F(0.8), grid.low, grid.high)])
    between = hessian.errors(weight - levels)
    assert (between <= before).all() and set(which.reshape(-1)) <= {0, 1}
    after = hessian.errors(weight - descend(weight, plain, hessian, grid))
    assert (after <= before).all() and after.sum() < 0.9 * before.sum()


def test_levels_lie_on_their_grid_and_in_their_mask() -> None:
    weight, hessian = problem(inputs=40)
    mask = np.random.default_rng(4).random(weight.shape) < 0.5
    table = Table(np.array([-1.5, -0.25, 0.5, 2], F), np.linspace(0.5, 2, 6).astype(F)[None])
    for levels in (feedback(weight, hessian, table, mask), descend(weight, weight * 0, hessian, table, mask)):
        assert not levels[~mask].any()
        assert np.isin(levels, np.concatenate([[0], np.multiply.outer(table.entries, np.asarray(table.scale)[0])],
                                              axis=None)).all()


# ---------------------------------------------------------------- zeros


def best_loss(row: Array, hessian: Hessian, drop: int) -> float:
    """Of all choices of what to drop."""
    losses = []
    for gone in itertools.combinations(range(len(row)), drop):
        mask = np.ones((1, 1, len(row)), bool)
        mask[..., gone] = False
        losses.append(float(hessian.errors(row[None, None] - refit(row[None, None], hessian, mask))[0, 0]))
    return min(losses)


@pytest.mark.parametrize("drop", [1, 3, 5])
def test_exact_obs_is_near_the_best_of_all(drop: int) -> None:
    found = best = size = 0.0
    for seed in range(8):
        weight, hessian = problem(rows=1, inputs=8, seed=seed)
        mask = exact(weight, hessian, np.ones(weight.shape, bool), drop)
        assert np.count_nonzero(~mask) == drop
        found += float(hessian.errors(weight - refit(weight, hessian, mask)).sum())
        best += best_loss(weight[0, 0], hessian, drop)
        small = np.abs(weight) >= np.sort(np.abs(weight), axis=None)[drop]
        size += float(hessian.errors(weight - refit(weight, hessian, small)).sum())
    assert best <= found * (1 + 1e-5) and found - best < 0.3 * (size - best)
    if drop == 1:
        assert found == pytest.approx(best, rel=1e-4)


def test_refit_is_the_minimum() -> None:
    weight, hessian = problem()
    mask = np.random.default_rng(5).random(weight.shape) < 0.5
    fitted = refit(weight, hessian, mask)
    assert not fitted[~mask].any()
    least = hessian.errors(weight - fitted)
    slope = (weight - fitted) @ hessian.matrix
    np.testing.assert_allclose(slope[mask], 0, atol=1e-3 * np.abs(slope).max())
    assert (least <= hessian.errors(weight - np.where(mask, weight, F(0)))).all()


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.8])
def test_masks_drop_what_was_asked_and_lose_less_than_magnitudes(fraction: float) -> None:
    for inputs in (24, 100):
        weight, hessian = problem(inputs=inputs)
        present = np.ones(weight.shape, bool)
        present[:, :, ::7] = False
        drop = round(fraction * weight.size)
        size = np.where(present, np.abs(weight), 0)
        by_size = (size > np.sort(size, axis=None)[drop - 1]) & present
        masks = [obs_mask(weight, hessian, present, fraction), gradual(weight, hessian, present, drop)]
        for mask in masks:
            assert np.count_nonzero(~mask) == drop and not (mask & ~present).any()
        losses = [hessian.errors(weight - refit(weight, hessian, m)).sum() for m in (*masks, by_size)]
        assert max(losses[:2]) < losses[2]
    assert obs_mask(weight, hessian, present, 0.0) is present


# ---------------------------------------------------------------- whole weights


def layer(geometry: Geometry, *kinds: str) -> Layer:
    return Layer("w", (Node("MatMul", ["x", "w"], ["y"]),), geometry, frozenset(kinds or ("matmul",)))


CHAINS = ["int8", "int6", "int4", "int3", "int2", "int1", "int4(scales=tensor)", "int4(group=32)", "codebook(16)",
          "codebook(5)", "codebook(16, scales=channel)", "codebook(200)", "ternary", "binary", "prune(0.5)",
          "prune(0.5) + int8", "prune(0.8) + int4", "prune(0.7) + codebook(8)", "prune(0.5) + ternary",
          "prune(0.4) + binary", "int8 + a8", "codebook(16) + a8", "svd(0.6)", "svd(0.6) + int4"]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("shape", [Geometry(1, 10, 70, 70), Geometry(2, 5, 36, 4), Geometry(1, 12, 9, 9, "rows")])
def test_the_calibrated_form_never_loses_more(chain: str, shape: Geometry) -> None:
    rows = shape.layout == "rows"
    if rows and "svd" in chain:
        pytest.skip("a depthwise filter is no product")
    weight, hessian = problem(shape.outputs if rows else shape.stack, 1 if rows else shape.outputs, shape.inputs)
    weight = weight.reshape(shape.shape)
    steps = Recipe.parse(chain).steps
    where = layer(shape, *(["depthwise"] if rows else []))
    plain, found = choose(weight, where, steps).tree, choose(weight, where, steps, hessian)
    check_tree(found.tree)
    loss = [float(hessian.errors(hessian.split(weight - tree.decode())).sum()) for tree in (plain, found.tree)]
    assert loss[1] <= loss[0] * (1 + 1e-5)
    if chain not in ("int8", "int8 + a8", "codebook(200)"):
        assert found.algorithms
    forced = [f"{step}" for step in steps]
    if forced == ["int4"]:
        nearest = choose(weight, where, Recipe.parse("int4(rounding=nearest)").steps, hessian)
        np.testing.assert_array_equal(nearest.tree.decode(), plain.decode())
        assert not nearest.algorithms


def test_what_a_tree_can_hold_exactly_is_exact() -> None:
    rng = np.random.default_rng(6)
    shape = Geometry(1, 8, 40, 40)
    _, hessian = problem(rows=8, inputs=40)
    integers = rng.integers(-7, 8, shape.shape).astype(F) * F(0.25)
    integers[:, :, 0] = -2
    for chain, weight in (("int4", integers), ("codebook(16)", integers),
                          ("ternary", np.sign(integers) * F(0.5)), ("prune(0.5)", integers * (rng.random(40) < 0.5))):
        tree = choose(weight.astype(F), layer(shape), Recipe.parse(chain).steps, hessian).tree
        np.testing.assert_allclose(tree.decode(), weight, atol=1e-6)


def test_zeros_of_the_network_stay() -> None:
    weight, hessian = problem(rows=10, inputs=40)
    weight[np.random.default_rng(7).random(weight.shape) < 0.4] = 0
    shape = Geometry(1, 10, 40, 40)
    for chain in ("int4", "codebook(16)", "ternary", "int8", "prune(0.6) + int4"):
        target = weight + F(0.01)
        tree = choose(weight, layer(shape), Recipe.parse(chain).steps, hessian, target).tree
        assert not tree.decode()[weight == 0].any()


def test_whitened_factors_are_the_best_of_their_rank() -> None:
    weight, hessian = problem(rows=12, inputs=20)
    values = np.linalg.svd(weight[0].astype(float) @ np.linalg.cholesky(hessian.matrix[0].astype(float)))[1]
    for rank in (1, 4, 9):
        inner, outer = whitened(weight, hessian.matrix, rank)
        loss = hessian.errors(weight - outer @ inner).sum()
        assert loss == pytest.approx((values[rank:] ** 2).sum(), rel=1e-3)
        inner, outer = svd(weight, rank)
        assert loss < hessian.errors(weight - outer @ inner).sum()


# ---------------------------------------------------------------- whole networks


def test_walk_gives_each_layer_its_inputs() -> None:
    source = cmf.Model(small_net()).graph
    from cmf.container.weights import encode_constants

    graph = encode_constants(source)
    layers = find_layers(graph)
    inputs = [{"x": image[None]} for image in images(3)]
    for sequential in (False, True):
        seen = list(walk(graph, graph, layers, inputs, sequential))
        assert [found.name for found, _ in seen] == [found.name for found in layers]
        assert all(moments is not None and moments.cross is None for _, moments in seen)
    assert [moments for _, moments in walk(
        encode_constants(token_net()), encode_constants(token_net()), find_layers(encode_constants(token_net()))[:1],
        [{"x": np.zeros((1, 4), np.int64)}], True)] == [None]


@pytest.mark.parametrize("recipe", ["prune(0.6) + codebook(8)", "svd(0.5) + int8", "dct(8, 4) + int4",
                                    "tucker(0.5) + int6", "winograd(2x2) + int8", "int8 + a8",
                                    "int4(group=32) + zstd", "conv: f16; codebook(16) + a8(dynamic)"])
def test_networks(recipe: str) -> None:
    once, report = cmf.compress(cmf.Model(small_net()), recipe, images(2))
    again, _ = cmf.compress(cmf.Model(small_net()), recipe, images(2))
    verify(once.graph)
    for value in once.graph.values.values():
        if value.tree is not None:
            check_tree(value.tree)
    assert to_bytes(once.graph) == to_bytes(again.graph)
    calibrated = [line.algorithms for line in report.layers]
    assert any(calibrated) is not recipe.startswith("winograd")


@pytest.mark.parametrize("recipe", ["int4", "ternary", "prune(0.6)"])
def test_networks_lose_less_on_inputs_they_have_not_seen(recipe: str) -> None:
    test = {"x": images(32, seed=77)}
    exact_y = evaluate(small_net(), test)["y"]
    plain, _ = cmf.compress(cmf.Model(small_net()), recipe)
    losses = [float(np.square(evaluate(plain.graph, test)["y"] - exact_y).sum())]
    for sequential in (False, True):
        model, report = cmf.compress(cmf.Model(small_net()), recipe, images(16), sequential=sequential)
        losses.append(float(np.square(evaluate(model.graph, test)["y"] - exact_y).sum()))
        wide = next(line for line in report.layers if line.name == "point_w")
        assert ("obs" if "prune" in recipe else "gptq") in wide.algorithms and "bias correction" in wide.algorithms
    assert max(losses[1:]) < 0.6 * losses[0]


def test_the_bias_takes_the_mean() -> None:
    rng = np.random.default_rng(8)
    b = Builder(("N", 30))
    y = b.add("MatMul", ["x", b.weight("w", (30, 6), 30), b.constant("b", rng.normal(size=6).astype(F))], "y")
    graph = b.done(y)
    x = rng.uniform(0, 2, (200, 30)).astype(F)
    for recipe in ("int2", "ternary", "svd(0.4)"):
        model, _ = cmf.compress(cmf.Model(graph), recipe, x)
        error = evaluate(model.graph, {"x": x})["y"] - evaluate(graph, {"x": x})["y"]
        np.testing.assert_allclose(error.mean(axis=0), 0, atol=2e-3)


def test_inputs_too_many_for_a_hessian_are_said() -> None:
    b = Builder(("N", 9000))
    graph = b.done(b.add("MatMul", ["x", b.weight("w", (9000, 2), 9000)], "y"))
    _, report = cmf.compress(cmf.Model(graph), "int8", np.ones((1, 9000), F))
    assert "calibration left out" in report.notes["w"][0] and not report.layers[0].algorithms


def test_options_of_steps() -> None:
    for text in ("int4(rounding=nearest)", "int4(group=32, rounding=nearest)", "codebook(16, rounding=nearest)",
                 "ternary(rounding=nearest)", "prune(0.5, score=magnitude) + int8"):
        assert str(Recipe.parse(text)) == text
        _, report = cmf.compress(cmf.Model(small_net()), text, images(2))
        assert not any(line.algorithms for line in report.layers)
    with pytest.raises(RecipeError, match="auto or nearest"):
        s.Signs("ternary", "up")
    with pytest.raises(RecipeError, match="auto or magnitude"):
        s.Prune(0.5, "size")


def test_free_levels_are_the_numbers_themselves() -> None:
    weight, hessian = problem()
    np.testing.assert_allclose(feedback(weight, hessian, Free()), weight, atol=1e-5)
