"""Levels chosen by their effect on a layer's output: trees of the plain form, with better codes, scales and tables.

``weight`` is what is wanted, [S, O, K]; ``present`` where it may differ from 0 (None: everywhere). The error is that of
:meth:`Hessian.errors`. It is never above that of the plain tree, which is always one of the candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cmf.encodings import Bitpacked, Codebook, Quantized
from cmf.encodings.base import F32
from cmf.encodings.leaf import spread
from cmf.passes.feedback import Grid, Mask, Steps, Table, best_of, descend
from cmf.passes.hessian import Hessian
from cmf.passes.quantize import code_range

#: scales to try, as parts of that of least squared error
FACTORS = (1.0, 0.82, 0.88, 0.94, 1.06, 1.12)
#: entries of a table up to which it is refitted to its codes
REFITTED = 32


def fit_integers(plain: Quantized, weight: F32, hessian: Hessian, present: Mask | None) -> Quantized:
    """Integers of the bits and granularity of ``plain``."""
    low, high = code_range(plain.bits)
    rows, mask = hessian.split(weight), None if present is None else hessian.split_mask(present)
    if plain.granularity == "tensor":
        step = np.broadcast_to(plain.scales, (*rows.shape[:2], 1))
        levels, _ = _fit(rows, hessian, _masked(hessian.split(plain.decode()), mask), [step],
                         lambda s: Steps(s, low, high), mask)
        codes = np.rint(levels / step)
        return replace(plain, codes=codes.reshape(weight.shape).astype(plain.codes.dtype))
    wide = spread(plain.scales, plain.geometry, plain.group)
    factors = FACTORS if plain.bits < 8 else FACTORS[:1]
    every = [_rounded(wide, factor, plain.scale_dtype) for factor in factors]
    steps = [s.reshape(*rows.shape[:2], -1) for s in every]
    levels, which = _fit(rows, hessian, _masked(hessian.split(plain.decode()), mask), steps,
                         lambda s: Steps(s, low, high), mask)
    narrow = [_rounded(plain.scales, factor, plain.scale_dtype) for factor in factors]
    scales = _taken(narrow, which.reshape(weight.shape[:2]))
    codes = np.rint(levels / _taken(steps, which))
    if not plain.group:
        codes, refitted = _refit_scales(rows, hessian, codes, scales.reshape(*rows.shape[:2], 1),
                                        lambda s: Steps(s, low, high), mask, plain.scale_dtype)
        scales = refitted.reshape(scales.shape)
    return replace(plain, codes=codes.reshape(weight.shape).astype(plain.codes.dtype), scales=scales)


def fit_signs(plain: Bitpacked, weight: F32, hessian: Hessian, present: Mask | None) -> Bitpacked:
    """-a, 0, a or -a, a."""
    rows, mask = hessian.split(weight), None if present is None else hessian.split_mask(present)

    def grid(step: F32) -> Grid:
        return Steps(step, -1, 1) if plain.levels == "ternary" else Table(np.array([-1, 1], np.float32), step[:, :, 0])

    scales = [_rounded(plain.scales, factor, plain.scale_dtype) for factor in FACTORS]
    steps = [s.reshape(*rows.shape[:2], 1) for s in scales]
    levels, which = _fit(rows, hessian, _masked(hessian.split(plain.decode()), mask), steps, grid, mask)
    step = _taken(steps, which)
    codes, step = _refit_scales(rows, hessian, np.rint(levels / step), step, grid, mask, plain.scale_dtype)
    if plain.levels == "binary":
        codes = np.where(codes < 0, -1, 1)
    return replace(plain, codes=codes.reshape(weight.shape).astype(np.int8), scales=step.reshape(plain.scales.shape))


def fit_codebook(plain: Sequence[Codebook], weight: F32, hessian: Hessian, present: Mask | None) -> Codebook:
    """The best of some tables, each with its codes fitted, and then refitted to them."""
    rows, mask = hessian.split(weight), None if present is None else hessian.split_mask(present)
    best, least = plain[0], np.inf
    for tree in plain:
        scale: F32 | float = 1.0 if tree.scales is None else np.broadcast_to(
            tree.scales[:, :, 0], weight.shape[:2]).reshape(rows.shape[:2])
        entries = tree.table[0, : int(tree.codes.max()) + 1].astype(np.float32)
        first = _masked(hessian.split(tree.decode()), mask)
        levels, _ = best_of(rows, hessian, first, [Table(entries, scale)], mask)
        levels = descend(rows, levels, hessian, Table(entries, scale), mask)
        error = float(hessian.errors(rows - levels).sum())
        table = tree.table
        if tree.table.dtype == np.float32 and len(entries) <= REFITTED:
            entries, levels, error = _refit_table(rows, hessian, levels, entries, scale, mask, error)
            table = tree.table.copy()
            table[0, : len(entries)] = entries
        if error < least:
            codes = _indices(entries, levels, scale).reshape(weight.shape)
            best, least = replace(tree, codes=codes, table=table), error
    return best


def _fit(
    rows: F32, hessian: Hessian, first: F32, steps: list[F32], grid: Callable[[F32], Grid], mask: Mask | None
) -> tuple[F32, npt.NDArray[np.int64]]:
    levels, which = best_of(rows, hessian, first, [grid(step) for step in steps], mask)
    return descend(rows, levels, hessian, grid(_taken(steps, which)), mask), which


def _refit_scales(
    rows: F32, hessian: Hessian, codes: F32, step: F32, grid: Callable[[F32], Grid], mask: Mask | None, dtype: str
) -> tuple[F32, F32]:
    """The best scale of each row for its codes, ``w H q / q H q``, and codes for that scale, in turn."""
    for _ in range(2):
        through = codes @ hessian.matrix
        square = np.einsum("brk,brk->br", through, codes, dtype=np.float64)
        product = np.einsum("brk,brk->br", through, rows, dtype=np.float64)
        good = (square > 0) & (product * step[:, :, 0] > 0)
        found = np.where(good, product / np.where(good, square, 1), step[:, :, 0])[:, :, None].astype(np.float32)
        found = _rounded(found, 1.0, dtype)
        error = hessian.errors(rows - codes * step)
        step = np.where((hessian.errors(rows - codes * found) < error)[:, :, None], found, step)
        levels = descend(rows, codes * step, hessian, grid(step), mask, 2)
        codes = np.rint(levels / step)
    return codes, step


def _refit_table(
    rows: F32, hessian: Hessian, levels: F32, entries: F32, scale: F32 | float, mask: Mask | None, error: float
) -> tuple[F32, F32, float]:
    """The table of least error for its codes, and codes for that table, in turn; 0 stays 0."""
    wide = np.broadcast_to(scale, rows.shape[:2])
    for _ in range(3):
        codes = _indices(entries, levels, scale)
        gram, right = np.zeros((len(entries), len(entries))), np.zeros(len(entries))
        for b in range(len(rows)):
            wanted = rows[b] @ hessian.matrix[b]
            for r in range(rows.shape[1]):
                chosen = (codes[b, r][:, None] == np.arange(len(entries))).astype(np.float32) * wide[b, r]
                if mask is not None:
                    chosen *= mask[b, r][:, None]
                gram += chosen.T @ (hessian.matrix[b] @ chosen)
                right += chosen.T @ wanted[r]
        free = (entries != 0) & (np.diagonal(gram) > 0)
        table = entries.copy()
        table[free] = np.linalg.lstsq(gram[np.ix_(free, free)], right[free], rcond=1e-7)[0]
        if not (np.diff(table) > 0).all():
            break
        moved = wide[:, :, None] * table[codes]
        moved = descend(rows, _masked(moved.astype(np.float32), mask), hessian, Table(table, scale), mask, 2)
        found = float(hessian.errors(rows - moved).sum())
        if found >= error:
            break
        entries, levels, error = table, moved, found
    return entries, levels, error


def _indices(entries: F32, levels: F32, scale: F32 | float) -> npt.NDArray[np.uint8]:
    values = levels / (scale if np.ndim(scale) == 0 else np.asarray(scale)[:, :, None])
    return np.searchsorted((entries[1:] + entries[:-1]) / 2, values).astype(np.uint8)


def _taken(steps: list[F32], which: npt.NDArray[np.int64]) -> F32:
    """For each row [B, R] its own of some arrays [B, R, n]."""
    return np.asarray(np.choose(which[:, :, None], steps), np.float32)


def _rounded(scales: F32, factor: float, dtype: str) -> F32:
    """Scaled and rounded to f16 where that is how they are kept; those that would vanish stay."""
    out = (scales * np.float32(factor)).astype(np.float32)
    if dtype == "f16":
        with np.errstate(over="ignore"):
            out = out.astype(np.float16).astype(np.float32)
    return np.asarray(np.where((out != 0) & np.isfinite(out), out, scales), np.float32)


def _masked(levels: F32, mask: Mask | None) -> F32:
    return levels if mask is None else np.where(mask, levels, np.float32(0))
