"""Integers with the scales of least squared error, and 16-bit floats."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import numpy.typing as npt

from cmf.encodings import Dense, Quantized
from cmf.encodings.base import F32, Geometry
from cmf.passes.balance import swaps

F64 = npt.NDArray[np.float64]

#: elements worked on at a time, so that they stay in the cache
BLOCK = 1 << 17
#: f16 scales are taken where they raise the squared error by at most this factor
HALF_LOSS = 1.01


def code_range(bits: int) -> tuple[int, int]:
    """Codes in use: all of two's complement, but symmetric from 8 bits on, where one code more gains nothing."""
    bound = 1 << (bits - 1)
    return (-bound, bound - 1) if bits < 8 else (-bound + 1, bound - 1)


def quantize(
    weight: F32, geometry: Geometry, bits: int, *, granularity: str = "channel", group: int = 0,
    scale_dtype: str | None = None, balanced: bool = False,
) -> Quantized:
    """``weight`` [S, O, K] as integers of ``bits`` bits; zeros stay zero.

    Each scale has the least squared error of a grid of clipping points, refined by least squares; it is rounded to
    ``scale_dtype`` before the codes are chosen. Without ``scale_dtype`` scales are f16 where that costs no accuracy.
    ``balanced``: codes are chosen so that the errors of each output add up to nearly 0.
    """
    rows = _rows(weight, geometry, granularity, group)
    scales, error = best_scales(rows, bits)
    if scale_dtype != "f32":
        half, half_error = _half_scales(rows, scales, bits)
        if scale_dtype == "f16" or half_error.sum() <= HALF_LOSS * error.sum():
            scales, scale_dtype = half, "f16"
    codes = _codes(rows, scales, bits)
    if balanced and bits < 16:
        _balance(rows, codes, scales, bits, geometry)
    whole = _unrows(codes.astype(np.int16 if bits == 16 else np.int8), geometry, group)
    shape = (1, 1, 1) if granularity == "tensor" else (geometry.stack, geometry.outputs, -1)
    return Quantized(geometry, whole, scales.reshape(shape), bits, group=group,
                     scale_dtype=scale_dtype or "f32", granularity="group" if group else granularity)


def best_scales(rows: F32, bits: int) -> tuple[F32, F64]:
    """The scale of each row [R, n] and its squared error. A scale of few bits may be negative: two's complement
    reaches one step further on one side. Rows of zeros have scale 1."""
    peak = np.abs(rows).max(axis=1).astype(np.float32)
    low, high = code_range(bits)
    reach = max(-low, high)
    dead = peak / np.float32(reach) == 0
    best = np.where(dead, np.float32(1), peak / np.float32(reach)).astype(np.float32)
    error = squared_error(rows, best, bits)
    for ratio in _ratios(bits):
        for sign in (1, -1) if bits < 8 else (1,):
            trial = np.where(dead, 1, np.float32(sign * ratio) * peak / np.float32(reach)).astype(np.float32)
            _keep(trial, rows, bits, best, error)
    for _ in range(2 if bits < 16 else 0):
        _keep(_least_squares(rows, best, bits), rows, bits, best, error)
    return best, error


def _balance(rows: F32, codes: F32, scales: F32, bits: int, geometry: Geometry) -> None:
    """Moves codes by one, in place, until the errors of each output add up to nearly 0."""
    low, high = code_range(bits)
    outputs = geometry.stack * geometry.outputs
    wide = scales[:, None]
    values = codes * wide
    other = np.clip(codes - np.sign(values - rows) * np.sign(wide), low, high)
    shape = (outputs, rows.size // outputs)
    step = max(1, BLOCK // shape[1])
    views = [array.reshape(shape) for array in (rows, values, other * wide, codes, other)]
    for start in range(0, outputs, step):
        wanted, chosen, neighbour, mine, theirs = (view[start : start + step] for view in views)
        np.copyto(mine, theirs, where=swaps(wanted, chosen, neighbour))


def _half_scales(rows: F32, scales: F32, bits: int) -> tuple[F32, F64]:
    """Scales that are f16 numbers, and their errors: the nearest one or the next larger one, which clips less.

    Rows too small for f16 get its least number; what they lose counts in the error as what it is.
    """
    sign = np.where(scales < 0, np.float32(-1), np.float32(1))
    magnitude = np.minimum(np.abs(scales), np.float32(np.finfo(np.float16).max)).astype(np.float16)
    least = np.float16(np.finfo(np.float16).smallest_subnormal)
    half = sign * np.maximum(magnitude, least).astype(np.float32)
    error = squared_error(rows, half, bits)
    larger = np.minimum(np.nextafter(magnitude, np.float16(np.inf)), np.finfo(np.float16).max)
    _keep(sign * larger.astype(np.float32), rows, bits, half, error)
    return half, error


def squared_error(rows: F32, scales: F32, bits: int) -> F64:
    """The squared error of each row."""
    error = np.empty(len(rows))
    for at in _blocks(rows):
        codes = _codes(rows[at], scales[at], bits)
        codes *= scales[at, None]
        codes -= rows[at]
        codes *= codes
        error[at] = codes.sum(axis=1)
    return error


def halve(weight: F32, geometry: Geometry, dtype: str) -> Dense:
    """The nearest f16 or bf16 numbers."""
    target = np.dtype(np.float16) if dtype == "f16" else np.dtype(ml_dtypes.bfloat16)
    with np.errstate(over="ignore"):
        return Dense(geometry, weight.astype(target))


def _ratios(bits: int) -> npt.NDArray[np.float64]:
    """Clipping points to try, as fractions of the largest magnitude. The fewer the levels, the more clipping pays."""
    if bits >= 16:
        return np.empty(0)
    if bits >= 8:
        return np.linspace(0.7, 0.99, 24)
    return np.linspace(0.6 if bits > 4 else 0.25, 1.2, 24 if bits > 4 else 32)


def _keep(trial: F32, rows: F32, bits: int, best: F32, error: F64) -> None:
    """Takes over, in place, the scales of a trial that lower the error."""
    found = squared_error(rows, trial, bits)
    better = found < error
    best[better] = trial[better]
    error[better] = found[better]


def _least_squares(rows: F32, scales: F32, bits: int) -> F32:
    """The best scale of each row for the codes that it has now: <w, q> / <q, q>."""
    out = scales.copy()
    for at in _blocks(rows):
        codes = _codes(rows[at], scales[at], bits)
        square = np.einsum("ij,ij->i", codes, codes, dtype=np.float64)
        product = np.einsum("ij,ij->i", codes, rows[at], dtype=np.float64)
        good = (square > 0) & (product != 0)
        out[at] = np.where(good, product / np.where(good, square, 1), scales[at])
    return np.asarray(out)


def _codes(rows: F32, scales: F32, bits: int) -> F32:
    """Codes as f32 numbers."""
    low, high = code_range(bits)
    safe = np.where(scales == 0, np.float32(1), scales).astype(np.float32)
    codes: F32 = rows / safe[:, None]
    np.rint(codes, out=codes)
    np.clip(codes, low, high, out=codes)
    return codes


def _blocks(rows: F32) -> list[slice]:
    step = max(1, BLOCK // max(1, rows.shape[1]))
    return [slice(start, start + step) for start in range(0, len(rows), step)]


def _rows(weight: F32, geometry: Geometry, granularity: str, group: int) -> F32:
    """[S, O, K] -> one row for each scale, in the order of scales in a tree. Short groups are filled with zeros."""
    if granularity == "tensor":
        return weight.reshape(1, -1)
    if not group:
        return weight.reshape(-1, geometry.inputs)
    runs = weight.reshape(-1, geometry.runs, geometry.run)
    fill = -geometry.run % group
    return np.ascontiguousarray(np.pad(runs, ((0, 0), (0, 0), (0, fill)))).reshape(-1, group)


def _unrows(codes: npt.NDArray[np.int8 | np.int16], geometry: Geometry, group: int) -> npt.NDArray[np.int8 | np.int16]:
    if not group:
        return codes.reshape(geometry.shape)
    padded = geometry.run + -geometry.run % group
    return np.ascontiguousarray(codes.reshape(-1, geometry.runs, padded)[:, :, : geometry.run]).reshape(geometry.shape)
