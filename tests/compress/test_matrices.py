"""The algorithms on matrices: optimal where theory says what is optimal, monotone where it says so."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmf.encodings import Geometry
from cmf.encodings.leaf import scale_shape
from cmf.passes.binarize import binarize, ternarize
from cmf.passes.cluster import Atoms, cluster, kmeans, nearest
from cmf.passes.factorize import svd, svd_rank, tucker2, tucker_ranks
from cmf.passes.prune import magnitude_mask
from cmf.passes.quantize import best_scales, halve, quantize, squared_error
from cmf.passes.transform import cosine, winograd
from cmf.report import sqnr

Array = npt.NDArray[Any]
F = np.float32
GEOMETRIES = [Geometry(1, 20, 64, 64), Geometry(1, 17, 9 * 40, 40), Geometry(2, 5, 27, 27),
              Geometry(1, 33, 9, 9, "rows"), Geometry(1, 1, 1, 1)]


def normal(geometry: Geometry, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=geometry.shape).astype(F)


# ---------------------------------------------------------------- prune


@given(st.lists(st.sampled_from([0.0, 0.5, -0.5, 1.0, -2.0]), min_size=1, max_size=40), st.floats(0, 0.99))
def test_prune_drops_exactly_so_many_and_the_smallest(values: list[float], fraction: float) -> None:
    weight = np.array(values, F).reshape(1, 1, -1)
    mask = magnitude_mask(weight, fraction)
    assert np.count_nonzero(~mask) == round(fraction * weight.size)
    if mask.any() and not mask.all():
        assert np.abs(weight[~mask]).max() <= np.abs(weight[mask]).min()


# ---------------------------------------------------------------- quantize


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 8, 16])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
def test_quantize_fits_and_keeps_zeros(geometry: Geometry, bits: int, granularity: str) -> None:
    if granularity == "group" and geometry.layout == "rows":
        granularity = "channel"  # layout rows has no groups
    group = 32 if granularity == "group" else 0
    weight = normal(geometry)
    weight[0, 0, 0] = 0
    tree = quantize(weight, geometry, bits, granularity=granularity, group=group)
    assert tree.scales.shape == scale_shape(geometry, tree.granularity, group)
    assert tree.decode()[0, 0, 0] == 0
    np.testing.assert_array_equal(tree.scales, tree.scales.astype(np.float16 if tree.scale_dtype == "f16" else F))


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_uniform_weights_lose_what_theory_says(bits: int) -> None:
    """Step^2 / 12 of noise: 6.02 dB for each bit; a symmetric code wastes less than one level of 2^bits."""
    geometry = Geometry(1, 8, 4096, 4096)
    weight = np.random.default_rng(1).uniform(-1, 1, geometry.shape).astype(F)
    found = sqnr(weight, quantize(weight, geometry, bits).decode())
    assert 20 * math.log10(2**bits - 1) - 0.5 < found < 6.03 * bits + 0.3


def test_sixteen_bits() -> None:
    weight = normal(GEOMETRIES[0])
    peak, power = np.abs(weight).max(axis=2), float((weight**2).mean())
    noise = float(((peak / 32767) ** 2).mean()) / 12
    assert sqnr(weight, quantize(weight, GEOMETRIES[0], 16).decode()) > 10 * math.log10(power / noise) - 0.5


def test_more_bits_and_finer_scales_lose_less() -> None:
    geometry = Geometry(1, 16, 512, 512)
    weight = (normal(geometry) * np.random.default_rng(2).uniform(0.1, 2, (1, 16, 1))).astype(F)
    by_bits = [sqnr(weight, quantize(weight, geometry, bits).decode()) for bits in (1, 2, 3, 4, 5, 6, 8, 16)]
    assert by_bits == sorted(by_bits)
    assert all(b - a > 3 for a, b in itertools.pairwise(by_bits))
    tensor = quantize(weight, geometry, 4, granularity="tensor")
    group = quantize(weight, geometry, 4, granularity="group", group=32)
    assert sqnr(weight, tensor.decode()) < by_bits[3] < sqnr(weight, group.decode())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_scales_are_no_worse_than_those_of_any_clipping_point(bits: int) -> None:
    rows = np.random.default_rng(3).laplace(size=(20, 2000)).astype(F)
    error = best_scales(rows, bits)[1]
    peak = np.abs(rows).max(axis=1)
    for part in np.linspace(0.2, 1.2, 101):
        trial = (part * peak / (2 ** (bits - 1) - (bits == 8))).astype(F)
        assert (error <= squared_error(rows, trial, bits) * 1.02).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_what_can_be_said_exactly_is(bits: int) -> None:
    geometry = Geometry(1, 12, 64, 64)
    rng = np.random.default_rng(4)
    bound = 2 ** (bits - 1)
    codes = rng.integers(-bound + (bits == 8), bound, geometry.shape)
    codes[:, :, 0] = -bound + (bits == 8)
    scales = rng.uniform(0.01, 1, (1, 12, 1)).astype(np.float16).astype(F)
    weight = (codes * scales).astype(F)
    tree = quantize(weight, geometry, bits)
    np.testing.assert_array_equal(tree.decode(), weight)
    assert tree.scale_dtype == "f16"


def test_f32_scales_where_f16_would_lose() -> None:
    geometry = Geometry(1, 4, 8, 8)
    weight = np.full(geometry.shape, F(127 * 1.0003), F)  # exact with a scale that f16 does not have
    tree = quantize(weight, geometry, 8)
    assert tree.scale_dtype == "f32"
    np.testing.assert_allclose(tree.decode(), weight, rtol=1e-7)
    tiny = quantize((normal(geometry) * 1e-9).astype(F), geometry, 8)
    assert tiny.scale_dtype == "f32" and sqnr(normal(geometry) * 1e-9, tiny.decode()) > 35
    assert quantize(normal(geometry), geometry, 8, scale_dtype="f32").scale_dtype == "f32"


def test_a_dead_channel_costs_nothing_and_spoils_nothing() -> None:
    geometry = Geometry(1, 4, 32, 32)
    weight = normal(geometry)
    weight[0, 1] = 0
    weight[0, 2] *= F(1e-12)
    tree = quantize(weight, geometry, 8)
    assert tree.scale_dtype == "f16"
    assert not tree.decode()[0, 1].any()
    assert np.abs(tree.decode()[0, 2] - weight[0, 2]).max() <= 1e-11
    assert sqnr(weight[0, 0], tree.decode()[0, 0]) > 38


def test_groups_end_with_their_run() -> None:
    geometry = Geometry(1, 4, 3 * 40, 40)
    weight = normal(geometry)
    tree = quantize(weight, geometry, 4, granularity="group", group=32)
    assert tree.scales.shape == (1, 4, 6)
    alone = quantize(np.ascontiguousarray(weight[:, :, 72:80]), Geometry(1, 4, 8, 8), 4, scale_dtype=tree.scale_dtype)
    np.testing.assert_array_equal(tree.decode()[:, :, 72:80], alone.decode())


def test_halves_are_the_nearest() -> None:
    weight = normal(GEOMETRIES[0])
    assert sqnr(weight, halve(weight, GEOMETRIES[0], "f16").decode()) > 70
    found = halve(weight, GEOMETRIES[0], "bf16").decode()
    assert np.abs(found / weight - 1).max() <= 2**-8
    assert 50 < sqnr(weight, found) < 60


# ---------------------------------------------------------------- cluster


def clustering_cost(values: Array, centroids: Array) -> float:
    return float((np.abs(values[:, None] - centroids[None, :]).min(axis=1) ** 2).sum())


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=10), st.integers(1, 4))
def test_k_means_is_optimal(numbers: list[int], k: int) -> None:
    values = np.sort(np.array(numbers, np.float64))
    found = clustering_cost(values, kmeans(values, np.ones(len(values)), k))
    best = math.inf
    for cuts in itertools.combinations_with_replacement(range(len(values) + 1), k - 1):
        edges = [0, *cuts, len(values)]
        parts = [values[a:b] for a, b in itertools.pairwise(edges) if a < b]
        best = min(best, sum(float(((p - p.mean()) ** 2).sum()) for p in parts))
    assert found <= best + 1e-9


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=12), st.lists(st.integers(1, 5), min_size=12, max_size=12))
def test_weights_of_k_means_are_repetitions(numbers: list[int], repeats: list[int]) -> None:
    values, times = np.array(numbers, np.float64), np.array(repeats[: len(numbers)])
    one = np.repeat(values, times)
    found = clustering_cost(one, kmeans(values, times.astype(np.float64), 3))
    assert found == pytest.approx(clustering_cost(one, kmeans(one, np.ones(len(one)), 3)), abs=1e-9)


def test_lloyd_never_raises_the_error() -> None:
    values = np.sort(np.random.default_rng(5).laplace(size=3000))
    atoms = Atoms.of(values, np.ones(3000))
    start = np.linspace(values[0], values[-1], 12)
    assert clustering_cost(values, atoms.lloyd(start)) <= clustering_cost(values, start)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("entries, bits", [(2, 1), (3, 2), (16, 4), (256, 8)])
@pytest.mark.parametrize("channel_scales", [False, True])
@pytest.mark.parametrize("integer_table", [False, True])
def test_codebooks_fit(geometry: Geometry, entries: int, bits: int, channel_scales: bool, integer_table: bool) -> None:
    weight = normal(geometry)
    tree = cluster(weight, geometry, entries, bits, channel_scales=channel_scales, integer_table=integer_table)
    assert tree.table.shape == (1, 1 << bits)
    assert tree.table.dtype == (np.int8 if integer_table else F)
    if geometry.inputs > 1 or not channel_scales:
        assert len(np.unique(tree.codes)) <= entries


def test_gaussian_codebooks_reach_the_lloyd_max_quantizer() -> None:
    """Optimal scalar quantizers of a Gaussian: 4.40, 9.30, 14.62, 20.22 dB (Max 1960, table 1)."""
    weight = normal(Geometry(1, 50, 4000, 4000))
    for bits, best in ((1, 4.40), (2, 9.30), (3, 14.62), (4, 20.22)):
        found = sqnr(weight, cluster(weight, Geometry(1, 50, 4000, 4000), 1 << bits, bits).decode())
        assert found == pytest.approx(best, abs=0.08)


def test_few_values_are_kept_exactly() -> None:
    geometry = Geometry(1, 16, 64, 64)
    values = np.random.default_rng(6).normal(size=256).astype(F)
    weight = values[np.random.default_rng(7).integers(0, 256, geometry.shape)]
    np.testing.assert_array_equal(cluster(weight, geometry, 256, 8).decode(), weight)


def test_zeros_stay_zero_and_absent_positions_do_not_count() -> None:
    geometry = Geometry(1, 16, 64, 64)
    weight = normal(geometry)
    mask = magnitude_mask(weight, 0.5)
    weight = np.where(mask, weight, F(0))
    tree = cluster(weight, geometry, 16, 4)
    assert not tree.decode()[~mask].any()
    masked = cluster(weight, geometry, 16, 4, present=mask)
    assert sqnr(weight[mask], masked.decode()[mask]) > sqnr(weight[mask], tree.decode()[mask])


def test_channel_scales_help_where_channels_differ() -> None:
    geometry = Geometry(1, 16, 256, 256)
    weight = (normal(geometry) * 10 ** np.linspace(-3, 0, 16).reshape(1, 16, 1)).astype(F)
    plain, scaled = (cluster(weight, geometry, 16, 4, channel_scales=c).decode() for c in (False, True))
    assert sqnr(weight[0, 0], plain[0, 0]) < 5
    assert sqnr(weight[0, 0], scaled[0, 0]) > 18


def test_nearest() -> None:
    table = np.array([-1, 0, 2], F)
    values = np.linspace(-3, 4, 29).astype(F)
    chosen = table[nearest(table, values)]
    assert (np.abs(chosen - values) == np.abs(table[:, None] - values).min(axis=0)).all()


# ---------------------------------------------------------------- binary, ternary


@given(st.lists(st.floats(-10, 10, width=16), min_size=1, max_size=9))
def test_ternary_is_optimal(numbers: list[float]) -> None:
    weight = np.array(numbers, F).reshape(1, 1, -1)
    geometry = Geometry(1, 1, weight.size, weight.size)
    tree = ternarize(weight, geometry)
    assert not tree.decode()[weight == 0].any()
    found = float((((tree.codes * tree.scales) - weight).astype(np.float64) ** 2).sum())
    best = min(float((w**2).sum()) - max(float(t @ w), 0) ** 2 / max(float(t @ t), 1)
               for w in [weight.reshape(-1).astype(np.float64)]
               for t in (np.array(c, np.float64) for c in itertools.product((-1, 0, 1), repeat=min(weight.size, 6)))
               if len(t) == len(w)) if weight.size <= 6 else math.inf
    assert found <= best + 2e-3 * float((weight**2).sum()) + 1e-12


def test_binary_is_sign_times_mean() -> None:
    geometry = Geometry(2, 3, 40, 40)
    weight = normal(geometry)
    tree = binarize(weight, geometry)
    np.testing.assert_array_equal(tree.codes, np.where(weight < 0, -1, 1))
    np.testing.assert_allclose(tree.scales[..., 0], np.abs(weight).mean(axis=2), rtol=2**-11)
    # of a Gaussian: 1 - 2/pi of the power remains as error
    assert sqnr(weight, tree.decode()) == pytest.approx(-10 * math.log10(1 - 2 / math.pi), abs=0.6)


# ---------------------------------------------------------------- factors


@pytest.mark.parametrize("geometry", [Geometry(1, 20, 64, 64), Geometry(2, 9, 27, 27)])
def test_svd_error_is_the_dropped_singular_values(geometry: Geometry) -> None:
    weight = normal(geometry)
    values = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
    full = min(geometry.outputs, geometry.inputs)
    for rank in (1, 4, full):
        inner, outer = svd(weight, rank)
        assert inner.shape == (geometry.stack, rank, geometry.inputs)
        error = float(((outer.astype(np.float64) @ inner - weight) ** 2).sum())
        assert error == pytest.approx(float((values[:, rank:] ** 2).sum()), rel=1e-4, abs=1e-8)
    assert np.abs(outer @ inner - weight).max() < 1e-5


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 1))
def test_ranks_keep_their_part_of_the_parameters(outputs: int, inputs: int, fraction: float) -> None:
    rank = svd_rank(Geometry(1, outputs, inputs, inputs), fraction)
    assert rank == 1 or rank * (outputs + inputs) <= fraction * outputs * inputs
    rank_in, rank_out = tucker_ranks(Geometry(1, outputs, 9 * inputs, inputs), fraction)
    size = rank_in * inputs + 9 * rank_in * rank_out + rank_out * outputs
    assert 1 in (rank_in, rank_out) or size <= fraction * 9 * inputs * outputs


def product(factors: tuple[Array, Array, Array], taps: int) -> Array:
    first, core, last = (f[0].astype(np.float64) for f in factors)
    inner = core.reshape(len(core), taps, -1) @ first
    return last @ inner.reshape(len(core), -1)


def test_tucker_never_gets_worse_and_full_rank_is_exact() -> None:
    weight = normal(Geometry(1, 12, 9 * 10, 10))
    errors = [float(((product(tucker2(weight, 9, 4, 5, rounds=n), 9) - weight[0]) ** 2).sum()) for n in range(1, 8)]
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(errors))
    assert errors[-1] < errors[0]
    np.testing.assert_allclose(product(tucker2(weight, 9, 10, 12), 9), weight[0], atol=1e-5)


def test_tucker_finds_what_is_low_rank() -> None:
    rng = np.random.default_rng(8)
    tensor = np.einsum("or,rts,si->oti", rng.normal(size=(12, 3)), rng.normal(size=(3, 9, 2)), rng.normal(size=(2, 10)))
    weight = tensor.reshape(1, 12, 90).astype(F)
    np.testing.assert_allclose(product(tucker2(weight, 9, 2, 3), 9), weight[0], atol=1e-4)
    one_tap = normal(Geometry(1, 12, 10, 10))
    values = np.linalg.svd(one_tap[0].astype(np.float64), compute_uv=False)
    error = float(((product(tucker2(one_tap, 1, 4, 4), 1) - one_tap[0]) ** 2).sum())
    assert error == pytest.approx(float((values[4:] ** 2).sum()), rel=1e-5)


# ---------------------------------------------------------------- bases


def test_cosines_keep_the_energy_and_gather_what_is_smooth() -> None:
    geometry = Geometry(1, 16, 64, 32)
    weight = normal(geometry)
    assert (cosine(weight, geometry, 16, 4) ** 2).sum() == pytest.approx((weight**2).sum(), rel=1e-5)
    smooth = np.broadcast_to(np.linspace(-1, 1, 32).astype(F), (1, 16, 2, 32)).reshape(geometry.shape)
    energy = np.sort((cosine(smooth, geometry, 16, 4) ** 2).reshape(-1))[::-1]
    assert energy[: energy.size // 16].sum() > 0.99 * energy.sum()


@pytest.mark.parametrize("tile", [2, 4])
def test_winograd_positions(tile: int) -> None:
    geometry = Geometry(1, 5, 9 * 8, 8)
    filters, inner = winograd(normal(geometry), geometry, tile)
    assert filters.shape == inner.shape == ((tile + 2) ** 2, 5, 8)
    corner = 1 if tile == 2 else 1 / 16
    np.testing.assert_allclose(filters[0], normal(geometry)[0, :, :8] * corner, rtol=1e-6)
    np.testing.assert_allclose(filters[-1], normal(geometry)[0, :, 64:], rtol=1e-6)
