"""Rounding that keeps sums."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmf.encodings import Geometry
from cmf.passes.balance import keep_sums, swaps
from cmf.passes.cluster import cluster
from cmf.passes.prune import magnitude_mask
from cmf.passes.quantize import quantize
from cmf.report import sqnr

Array = npt.NDArray[Any]
F = np.float32
numbers = st.lists(st.floats(-10, 10, width=16), min_size=1, max_size=8)


@given(numbers)
def test_sums_of_rounded_numbers_are_right_to_half_a_step(values: list[float]) -> None:
    wanted = np.array([values], F)
    chosen = np.rint(wanted)
    other = (chosen - np.sign(chosen - wanted)).astype(F)
    result = np.where(swaps(wanted, chosen, other), other, chosen)
    assert abs(float((result - wanted).sum())) <= 0.5 + 1e-5
    assert (np.abs(result - wanted) < 1).all()
    assert (result == wanted)[chosen == wanted].all()
    # among all ways to round that reach this sum none has less squared error
    best = min(float(((np.array(way) - wanted[0]) ** 2).sum()) for way in itertools.product(
        *({float(np.floor(v)), float(np.ceil(v))} for v in wanted[0])) if abs(sum(way) - result.sum()) < 1e-6)
    assert float(((result - wanted) ** 2).sum()) <= best + 1e-4


@pytest.mark.parametrize("geometry", [Geometry(1, 20, 256, 256), Geometry(2, 9, 9 * 40, 40),
                                      Geometry(1, 33, 9, 9, "rows")])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
def test_balanced_integers(geometry: Geometry, bits: int, granularity: str) -> None:
    if granularity == "group" and geometry.layout == "rows":
        granularity = "channel"
    group = 32 if granularity == "group" else 0
    weight = np.random.default_rng(0).normal(size=geometry.shape).astype(F)
    weight[:, :, ::7] = 0
    plain, balanced = (quantize(weight, geometry, bits, granularity=granularity, group=group, balanced=b)
                       for b in (False, True))
    np.testing.assert_array_equal(balanced.scales, plain.scales)
    assert not balanced.decode()[weight == 0].any()
    before, after = (np.abs((tree.decode().astype(np.float64) - weight).sum(axis=2)) for tree in (plain, balanced))
    largest = np.abs(plain.scales).max(axis=2)
    assert (after <= np.maximum(before, 1e-6)).all()
    if geometry.inputs > 9:
        assert (after <= 0.51 * largest).all()
        assert sqnr(weight, balanced.decode()) > sqnr(weight, plain.decode()) - 0.6


@pytest.mark.parametrize("options", [{}, {"channel_scales": True}, {"integer_table": True}])
@pytest.mark.parametrize("pruned", [False, True])
def test_balanced_codebooks(options: dict[str, bool], pruned: bool) -> None:
    geometry = Geometry(1, 20, 300, 300)
    weight = np.random.default_rng(1).normal(size=geometry.shape).astype(F)
    present = magnitude_mask(weight, 0.5) if pruned else None
    if present is not None:
        weight = np.where(present, weight, F(0))
    errors = []
    for balanced in (False, True):
        tree = cluster(weight, geometry, 16, 4, present=present, balanced=balanced, **options)
        error = tree.decode().astype(np.float64) - weight
        errors.append(np.abs((error if present is None else np.where(present, error, 0)).sum(axis=2)).mean())
    assert errors[1] < 0.2 * errors[0]


def test_a_codebook_that_is_exact_stays_exact() -> None:
    geometry = Geometry(1, 4, 50, 50)
    weight = np.random.default_rng(2).integers(-8, 8, geometry.shape).astype(F)
    np.testing.assert_array_equal(cluster(weight, geometry, 16, 4, balanced=True).decode(), weight)


@given(st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_the_share_is_optimal_for_rectified_inputs(seed: int, fraction: float) -> None:
    weight = np.random.default_rng(seed).normal(size=(1, 1, 9)).astype(F)
    mask = magnitude_mask(weight, fraction)
    pruned = np.where(mask, weight, F(0))

    def expected(moved: Array) -> float:
        error = (moved - weight).astype(np.float64)
        return float((np.pi - 1) * (error**2).sum() + error.sum() ** 2)

    best = expected(keep_sums(weight, pruned))
    for move in np.linspace(-1, 1, 41):
        assert best <= expected(np.where(mask, pruned + F(move), F(0))) + 1e-5


def test_dropped_weights_leave_their_sum_to_the_others() -> None:
    weight = np.random.default_rng(3).normal(size=(1, 6, 40)).astype(F)
    weight[0, 5] = 0
    mask = magnitude_mask(weight, 0.6)
    kept = keep_sums(weight, np.where(mask, weight, F(0)))
    assert not kept[~mask].any()
    rest = weight.sum(axis=2) - kept.sum(axis=2)
    dropped = np.where(mask, 0, weight).sum(axis=2)
    np.testing.assert_allclose(rest, dropped * (np.pi - 1) / ((kept != 0).sum(axis=2) + np.pi - 1), atol=1e-4)
    np.testing.assert_array_equal(keep_sums(weight, weight), weight)
