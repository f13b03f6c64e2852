"""Every recipe, computed in C from the file on every instruction set, against the numpy evaluator.

Floats agree to 1e-5 of the output's scale, integers exactly.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import cmf
from cmf.container.writer import to_bytes
from cmf.reference import evaluate
from cmf.runtime import isa_levels, load

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
NETWORKS = ("lenet_300_100", "lenet5")

RECIPES = [
    "f32", "f16", "bf16", "int16", "int8", "int6", "int5", "int4", "int3", "int2", "int1", "int4(group=32)",
    "int8(scales=tensor)", "codebook(256)", "codebook(64)", "codebook(16)", "codebook(5)", "binary", "ternary",
    "prune(0.9)", "prune(0.8) + codebook(16)", "prune(0.5) + int8", "prune(0.7) + int3", "prune(0.5) + ternary",
    "prune(0.6) + f16", "svd(0.25) + int8", "svd(0.5) + prune(0.5) + codebook(16)", "tucker(0.5)", "tucker(0.5) + int4",
    "dct(16)", "dct(8, 4) + int8", "dct(16) + prune(0.9) + int8", "svd(0.5) + dct(4) + prune(0.5) + codebook(16)",
    "int8 + zstd", "first: int8; last: binary; prune(0.9) + codebook(8)",
]
INTEGERS = ["a8", "int4 + a8", "ternary + a8", "prune(0.5) + int6 + a8"]
DYNAMIC = ["a8(dynamic)", "int4 + a8(dynamic)", "ternary + a8(dynamic)"]


@functools.cache
def digits() -> npt.NDArray[np.float32]:
    pixels = np.load(FIXTURES / "mnist_sample.npz")["x"][:4]
    return pixels[:, None].astype(np.float32) / 255


@functools.cache
def source(network: str) -> cmf.Model:
    return cmf.Model.of(FIXTURES / f"{network}.onnx")


def both(network: str, recipe: str) -> tuple[npt.NDArray[np.float32], dict[str, npt.NDArray[np.float32]]]:
    """The evaluator's answer, and C's on each level."""
    x = digits()
    (name,) = source(network).inputs
    model, _ = cmf.compress(source(network), recipe, calibration=[{name: x}])
    (expected,) = evaluate(model.graph, {name: x}).values()
    file = to_bytes(model.graph, codec=model.codec)
    return expected, {level: load(file, isa=level, verify="full")(x) for level in isa_levels()}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("network", NETWORKS)
def test_floats(network: str, recipe: str) -> None:
    expected, answers = both(network, recipe)
    for level, got in answers.items():
        assert got.shape == expected.shape and got.dtype == expected.dtype
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max(), level


@pytest.mark.parametrize("recipe", INTEGERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_integers(network: str, recipe: str) -> None:
    expected, answers = both(network, recipe)
    for level, got in answers.items():
        np.testing.assert_array_equal(got, expected, err_msg=level)


@pytest.mark.parametrize("recipe", DYNAMIC)
@pytest.mark.parametrize("network", NETWORKS)
def test_dynamic_integers(network: str, recipe: str) -> None:
    """Rows are quantized as they come: a float that falls on another side of a rounding boundary moves one code."""
    expected, answers = both(network, recipe)
    for level, got in answers.items():
        assert np.abs(got - expected).max() <= 1e-2 * np.abs(expected).max(), level
