"""Codebooks: one-dimensional k-means, solved by dynamic programming."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmf.encodings import Codebook
from cmf.encodings.base import F32, Geometry
from cmf.passes.balance import swaps

F64 = npt.NDArray[np.float64]

#: k-means is solved exactly on a histogram of at most this many bins
BINS = 2048
#: rounds of Lloyd's iteration at most
ROUNDS = 50


def cluster(
    weight: F32, geometry: Geometry, entries: int, bits: int, *, present: npt.NDArray[np.bool_] | None = None,
    channel_scales: bool = False, integer_table: bool = False, balanced: bool = False,
    importance: F64 | None = None,
) -> Codebook:
    """A codebook of at most ``entries`` values for the present positions (None: all) of ``weight`` [S, O, K].

    Where the weight has no more distinct values than that, the result is exact. Otherwise the entries are centroids of
    least squared error; an exact 0 is kept among them where present positions hold zeros. ``channel_scales`` lets each
    channel stretch the table; ``integer_table`` makes it i8 (with a scale for the weight, or for each channel).
    ``balanced``: indices are chosen so that the errors of each output add up to nearly 0. ``importance`` [S, O, K]
    weighs squared errors (None: alike).
    """
    chosen = weight.reshape(-1) if present is None else weight[present]
    scales = None
    if channel_scales:
        table, scales = _shared_shape(weight, entries, present, importance)
        scaled = weight / scales
    else:
        weights = np.ones(weight.shape) if importance is None else importance
        table, scaled = _table(chosen, weights.reshape(-1) if present is None else weights[present], entries), weight
    if integer_table:
        unit = np.float32(max(float(np.abs(table).max()), 1e-30) / 127)
        codes8 = np.unique(np.rint(table / unit).astype(np.int8))
        scales = (np.ones((1, 1, 1), np.float32) if scales is None else scales) * unit
        scaled = weight / scales
        full, table = _padded(codes8, bits), codes8.astype(np.float32)
    else:
        full = _padded(table, bits)
    codes = nearest(table, scaled)
    if balanced:
        codes = _balance(codes, table, scaled, present)
    return Codebook(geometry, codes, full, bits, None if scales is None else scales.astype(np.float32))


def _balance(
    codes: npt.NDArray[np.uint8], table: F32, scaled: F32, present: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.uint8]:
    """Moves indices by one until the errors of each output add up to nearly 0 (its one scale does not matter)."""
    direction = np.sign(table[codes] - scaled).astype(np.int64)
    other = np.clip(codes - direction, 0, len(table) - 1).astype(np.uint8)
    if present is not None:
        other = np.where(present, other, codes)
        scaled = np.where(present, scaled, table[codes])
    shape = (-1, codes.shape[2])
    swap = swaps(scaled.reshape(shape), table[codes].reshape(shape), table[other].reshape(shape))
    return np.where(swap.reshape(codes.shape), other, codes)


def nearest(table: F32, values: F32) -> npt.NDArray[np.uint8]:
    """The index of the nearest entry of an ascending table."""
    if len(table) == 1:
        return np.zeros(values.shape, np.uint8)
    wide = table.astype(np.float64)
    return np.searchsorted((wide[1:] + wide[:-1]) / 2, values.reshape(-1)).astype(np.uint8).reshape(values.shape)


def kmeans(values: F64, weights: F64, entries: int) -> F64:
    """Centroids, ascending, of least weighted squared error: optimal for histogram bins, then Lloyd on the values."""
    order = np.argsort(values, kind="stable")
    atoms = Atoms.of(values[order], weights[order])
    if entries >= len(atoms.values):
        return atoms.values
    return atoms.lloyd(atoms.binned(BINS).partition(entries))


class Atoms:
    """Sorted values with weights, and prefix sums by which the error of any interval is known at once."""

    def __init__(self, values: F64, weight: F64, first: F64, second: F64) -> None:
        self.values = values
        self.w, self.wx, self.wxx = (np.concatenate([[0.0], np.cumsum(s)]) for s in (weight, first, second))

    @staticmethod
    def of(values: F64, weights: F64) -> Atoms:
        """Equal neighbours become one."""
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        sums = [np.add.reduceat(s, starts) for s in (weights, weights * values, weights * values**2)]
        return Atoms(values[starts], *sums)

    def binned(self, bins: int) -> Atoms:
        """At most ``bins`` atoms of equal width; sums are kept exactly."""
        if len(self.values) <= bins:
            return self
        low, high = self.values[0], self.values[-1]
        index = np.minimum(((self.values - low) * (bins / (high - low))).astype(np.int64), bins - 1)
        starts = np.flatnonzero(np.concatenate([[True], index[1:] != index[:-1]]))
        w, wx, wxx = (np.add.reduceat(np.diff(s), starts) for s in (self.w, self.wx, self.wxx))
        heavy = w > 0
        return Atoms(wx[heavy] / w[heavy], w[heavy], wx[heavy], wxx[heavy])

    def cost(self, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> F64:
        """Squared error of atoms start .. stop-1 around their mean."""
        w, wx = self.w[stop] - self.w[start], self.wx[stop] - self.wx[start]
        mean_square = np.divide(wx * wx, w, out=np.zeros_like(w), where=w > 0)
        return np.asarray(np.maximum(self.wxx[stop] - self.wxx[start] - mean_square, 0))

    def means(self, edges: npt.NDArray[np.int64], fallback: F64) -> F64:
        w, wx = np.diff(self.w[edges]), np.diff(self.wx[edges])
        return np.asarray(np.where(w > 0, wx / np.where(w > 0, w, 1), fallback))

    def partition(self, entries: int) -> F64:
        """Optimal centroids by dynamic programming over intervals, with divide and conquer.

        ``D[k][i] = min_j D[k-1][j] + cost(j, i)``: the best j grows with i (Grønlund et al., arXiv 1701.07204), so each
        level of the recursion looks at O(n) pairs; all intervals of a level are done at once.
        """
        n = len(self.values)
        ends = np.arange(n + 1)
        best = self.cost(np.zeros(n + 1, np.int64), ends)
        back = np.zeros((entries, n + 1), np.int64)
        for k in range(1, entries):
            best, back[k] = self._layer(best)
        edges = [n]
        for k in range(entries - 1, 0, -1):
            edges.append(int(back[k][edges[-1]]))
        edges.append(0)
        found = np.unique(np.asarray(edges[::-1], np.int64))
        return self.means(found, np.zeros(len(found) - 1))

    def _layer(self, best: F64) -> tuple[F64, npt.NDArray[np.int64]]:
        n = len(best) - 1
        out, argument = np.zeros(n + 1), np.zeros(n + 1, np.int64)
        # intervals of ends still to do, and the range that their best starts lie in
        low, high = np.array([0]), np.array([n])
        first, last = np.array([0]), np.array([n])
        while len(low):
            middle = (low + high) // 2
            stop = np.minimum(middle, last)
            count = stop - first + 1
            owner = np.repeat(np.arange(len(middle)), count)
            offset = np.cumsum(count) - count
            start = np.arange(count.sum()) - offset[owner] + first[owner]
            total = best[start] + self.cost(start, middle[owner])
            least = np.minimum.reduceat(total, offset)
            hit = np.flatnonzero(total == least[owner])
            chosen = start[hit[np.unique(owner[hit], return_index=True)[1]]]
            out[middle], argument[middle] = least, chosen
            left, right = low < middle, middle < high
            low, high, first, last = (
                np.concatenate([low[left], (middle + 1)[right]]), np.concatenate([(middle - 1)[left], high[right]]),
                np.concatenate([first[left], chosen[right]]), np.concatenate([chosen[left], last[right]]))
        return out, argument

    def lloyd(self, centroids: F64) -> F64:
        """Assignment and means in turn until nothing moves; the error never grows. Empty clusters stay."""
        for _ in range(ROUNDS):
            middles = (centroids[1:] + centroids[:-1]) / 2
            edges = np.concatenate([[0], np.searchsorted(self.values, middles), [len(self.values)]])
            moved = self.means(edges, centroids)
            if np.array_equal(moved, centroids):
                break
            centroids = np.sort(moved)
        return centroids


def _table(values: F32, weights: F64, entries: int) -> F32:
    """An ascending f32 table for values; exact where it can be."""
    distinct = np.unique(values)
    if len(distinct) <= entries:
        return distinct if len(distinct) else np.zeros(1, np.float32)
    zeros = values == 0
    if not zeros.any():
        return np.unique(kmeans(values.astype(np.float64), weights, entries).astype(np.float32))
    others = kmeans(values[~zeros].astype(np.float64), weights[~zeros], entries - 1)
    return np.unique(np.append(others.astype(np.float32), np.float32(0)))


def _shared_shape(
    weight: F32, entries: int, present: npt.NDArray[np.bool_] | None, weights: F64 | None
) -> tuple[F32, F32]:
    """A table and a scale for each channel [S, O, 1]: gain and shape fitted in turn."""
    mask = np.ones(weight.shape, np.bool_) if present is None else present
    count = np.maximum(mask.sum(axis=2, keepdims=True), 1)
    scales = np.sqrt((np.where(mask, weight, 0).astype(np.float64) ** 2).sum(axis=2, keepdims=True) / count)
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    table = np.zeros(1, np.float32)
    for _ in range(3):
        square = scales.astype(np.float64) ** 2
        importance = np.maximum(square, 1e-12 * square.max()) * (np.ones(weight.shape) if weights is None else weights)
        table = _table((weight / scales)[mask], importance[mask], entries)
        chosen = np.where(mask, table[nearest(table, weight / scales)], 0).astype(np.float64)
        square = (chosen**2).sum(axis=2, keepdims=True)
        product = (chosen * weight).sum(axis=2, keepdims=True)
        fitted = product / np.where(square > 0, square, 1)
        scales = np.where((square > 0) & (fitted > 0), fitted, scales).astype(np.float32)
    return table, scales


def _padded(table: npt.NDArray[np.float32 | np.int8], bits: int) -> npt.NDArray[np.float32 | np.int8]:
    """[1, 2^bits]: unused entries are 0."""
    full = np.zeros((1, 1 << bits), table.dtype)
    full[0, : len(table)] = table
    return full
