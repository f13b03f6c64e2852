"""The table of FORMAT.md section 2, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cmf.encodings import Geometry
from cmf.errors import ShapeError
from cmf.ir.geometry import from_matrix, to_matrix, weight_geometry


@pytest.mark.parametrize(
    ("op", "shape", "options", "expected"),
    [
        ("Conv", (17, 3, 3, 16), {}, Geometry(1, 17, 144, 16)),
        ("Conv", (17, 1, 1, 16), {}, Geometry(1, 17, 16, 16)),
        ("Conv", (17, 3, 3, 3), {}, Geometry(1, 17, 27, 27)),
        ("Conv", (17, 3, 3, 7), {}, Geometry(1, 17, 63, 63)),
        ("Conv", (17, 3, 3, 8), {}, Geometry(1, 17, 72, 8)),
        ("Conv", (6, 5, 5, 1), {"group": 1}, Geometry(1, 6, 25, 25)),
        ("Conv", (12, 3, 3, 8), {"group": 4}, Geometry(4, 3, 72, 8)),
        ("Conv", (12, 3, 3, 1), {"group": 12}, Geometry(1, 12, 9, 9, "rows")),
        ("Conv", (24, 3, 3, 1), {"group": 12}, Geometry(1, 24, 9, 9, "rows")),
        ("MatMul", (33, 17), {}, Geometry(1, 17, 33, 33)),
        ("MatMul", (2, 3, 33, 17), {}, Geometry(6, 17, 33, 33)),
        ("Gather", (100, 17), {}, Geometry(1, 100, 17, 17)),
        ("Gather", (100, 3, 17), {"axis": 0}, Geometry(1, 100, 51, 51)),
        ("Gather", (100,), {}, Geometry(1, 100, 1, 1)),
    ],
)
def test_weights(op: str, shape: tuple[int, ...], options: dict[str, Any], expected: Geometry) -> None:
    geometry = weight_geometry(op, shape, options)
    assert geometry == expected
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    matrix = to_matrix(weight, op, geometry)
    assert matrix.shape == geometry.shape and matrix.flags.c_contiguous
    assert np.array_equal(from_matrix(matrix, op, shape), weight)


def test_a_matmul_s_matrix_is_transposed() -> None:
    weight = np.arange(12).reshape(2, 3, 2)
    matrix = to_matrix(weight, "MatMul", weight_geometry("MatMul", weight.shape))
    assert all(matrix[s, n, k] == weight[s, k, n] for s in range(2) for n in range(2) for k in range(3))


def test_a_convolution_s_groups_are_its_stack() -> None:
    weight = np.arange(4 * 2 * 2 * 8).reshape(4, 2, 2, 8)
    matrix = to_matrix(weight, "Conv", weight_geometry("Conv", weight.shape, {"group": 2}))
    assert matrix.shape == (2, 2, 32)
    assert np.array_equal(matrix[1, 0], weight[2].reshape(-1)), "taps by row and column, channels innermost"


@pytest.mark.parametrize(
    ("op", "shape", "options", "match"),
    [
        ("Conv", (8, 3, 3), {}, "cannot be cut"),
        ("Conv", (8, 3, 3, 2), {"group": 3}, "into 3 groups"),
        ("Conv", (8, 3, 0, 2), {}, "is empty"),
        ("MatMul", (8,), {}, "at least 2 dimensions"),
        ("Gather", (8, 3), {"axis": 1}, "along axis 0"),
        ("Add", (8, 3), {}, "no encoded weights"),
    ],
)
def test_what_is_no_weight(op: str, shape: tuple[int, ...], options: dict[str, Any], match: str) -> None:
    with pytest.raises(ShapeError, match=match):
        weight_geometry(op, shape, options)
