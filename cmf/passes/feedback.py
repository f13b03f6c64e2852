"""Rounding with error feedback: what one weight loses, the weights not yet rounded make up for.

Frantar et al., "GPTQ", arXiv 2210.17323 (columns in a fixed order, Cholesky factor of the inverse, blocks), then
coordinate descent on the same quadratic (Behdin et al., "QuantEase", arXiv 2309.01885), which never raises the error.
Weights are [B, R, K] as in :class:`cmf.passes.hessian.Hessian`; all rows are done at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32
from cmf.passes.hessian import Hessian

Mask = npt.NDArray[np.bool_]
Order = npt.NDArray[np.int64]

#: columns whose error is passed on at once
BLOCK = 32


class Grid(Protocol):
    """Levels that a weight may take."""

    def ordered(self, order: Order) -> Grid:
        """For inputs in another order [B, K]."""

    def nearest(self, values: F32, column: int) -> F32:
        """The levels nearest to ``values`` [B, R] of a column."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Multiples ``low .. high`` of a step [B, R, 1] or [B, R, K]."""

    step: F32
    low: int
    high: int

    def ordered(self, order: Order) -> Steps:
        if self.step.shape[2] == 1:
            return self
        return replace(self, step=np.take_along_axis(self.step, order[:, None], axis=2))

    def nearest(self, values: F32, column: int) -> F32:
        step = self.step[:, :, column if self.step.shape[2] > 1 else 0]
        return np.asarray(np.clip(np.rint(values / step), self.low, self.high) * step, np.float32)


@dataclass(frozen=True, eq=False)
class Table:
    """``scale * entries``: entries ascending [T], scale [B, R] or 1."""

    entries: F32
    scale: F32 | float = 1.0

    def ordered(self, order: Order) -> Table:
        return self

    def nearest(self, values: F32, column: int) -> F32:
        middles = (self.entries[1:] + self.entries[:-1]) / 2
        return np.asarray(self.scale * self.entries[np.searchsorted(middles, values / self.scale)], np.float32)


class Free:
    """Any number: pruning only."""

    def ordered(self, order: Order) -> Free:
        return self

    def nearest(self, values: F32, column: int) -> F32:
        return values


def feedback(weight: F32, hessian: Hessian, grid: Grid, mask: Mask | None = None) -> F32:
    """Levels for ``weight`` [B, R, K], 0 where the mask is False. Inputs of large power come first."""
    order, factor = hessian.order, hessian.inverse_factor
    rows = np.take_along_axis(weight, order[:, None], axis=2).astype(np.float32)
    kept = None if mask is None else np.take_along_axis(mask, order[:, None], axis=2)
    grid = grid.ordered(order)
    inputs = rows.shape[2]
    for start in range(0, inputs, BLOCK):
        stop = min(start + BLOCK, inputs)
        errors = np.empty((*rows.shape[:2], stop - start), np.float32)
        for j in range(start, stop):
            level = grid.nearest(rows[:, :, j], j)
            if kept is not None:
                level = np.where(kept[:, :, j], level, np.float32(0))
            error = (rows[:, :, j] - level) / factor[:, None, j, j]
            rows[:, :, j + 1 : stop] -= error[:, :, None] * factor[:, None, j, j + 1 : stop]
            rows[:, :, j], errors[:, :, j - start] = level, error
        rows[:, :, stop:] -= errors @ factor[:, start:stop, stop:]
    out = np.empty_like(rows)
    np.put_along_axis(out, np.broadcast_to(order[:, None], rows.shape), rows, axis=2)
    return out


def descend(
    weight: F32, levels: F32, hessian: Hessian, grid: Grid, mask: Mask | None = None, sweeps: int = 3
) -> F32:
    """Moves one level after the other to where the error is least, all others fixed; no row becomes worse."""
    best, error = levels, hessian.errors(weight - levels)
    now, matrix, inputs = levels.copy(), hessian.matrix, weight.shape[2]
    for _ in range(sweeps):
        slope = (weight - now) @ matrix
        for start in range(0, inputs, BLOCK):
            stop = min(start + BLOCK, inputs)
            moves = np.empty((*now.shape[:2], stop - start), np.float32)
            for j in range(start, stop):
                level = grid.nearest(now[:, :, j] + slope[:, :, j] / matrix[:, None, j, j], j)
                if mask is not None:
                    level = np.where(mask[:, :, j], level, np.float32(0))
                move = level - now[:, :, j]
                slope[:, :, j + 1 : stop] -= move[:, :, None] * matrix[:, None, j, j + 1 : stop]
                now[:, :, j], moves[:, :, j - start] = level, move
            slope[:, :, stop:] -= moves @ matrix[:, start:stop, stop:]
        found = hessian.errors(weight - now)
        better = found < error
        if not better.any():
            break
        best = np.where(better[:, :, None], now, best)
        error = np.where(better, found, error)
    return best


_G = TypeVar("_G", bound=Grid)


def best_of(
    weight: F32, hessian: Hessian, first: F32, grids: Sequence[Grid], mask: Mask | None = None
) -> tuple[F32, npt.NDArray[np.int64]]:
    """For each row the levels of least error: ``first``, which lie on ``grids[0]``, or those of feedback on one of the
    grids. Returns levels [B, R, K] and the index of each row's grid [B, R]."""
    best, error = first, hessian.errors(weight - first)
    which = np.zeros(error.shape, np.int64)
    for index, grid in enumerate(grids):
        levels = feedback(weight, hessian, grid, mask)
        found = hessian.errors(weight - levels)
        better = found < error
        best = np.where(better[:, :, None], levels, best)
        error, which = np.where(better, found, error), np.where(better, index, which)
    return best, which
