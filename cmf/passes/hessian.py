"""What calibration inputs say about a layer: the Hessian of its output's squared error.

With inputs X of a layer an error E of its weight gives ``|E X|^2 / n = tr(E H E^T)``, H = X X^T / n: one quadratic that
rounding, pruning, clustering and factorisation all minimise under constraints of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32, Geometry

F64 = npt.NDArray[np.float64]

#: part of the mean diagonal that is added to the diagonal (Frantar et al., arXiv 2210.17323, section 3.3)
DAMPING = 0.01


@dataclass(frozen=True, eq=False)
class Hessian:
    """``matrix`` [B, K, K], f32, positive definite.

    A weight [S, O, K] is taken as [B, R, K]: B = S, or B = S O where each output has inputs of its own (depthwise).
    """

    matrix: F32

    @staticmethod
    def identity(geometry: Geometry) -> Hessian:
        """What is known without inputs: all are alike and independent."""
        return Hessian(np.broadcast_to(np.eye(geometry.inputs, dtype=np.float32),
                                       (geometry.stack, geometry.inputs, geometry.inputs)))

    @property
    def diagonal(self) -> F32:
        """[B, K]"""
        return np.asarray(np.einsum("bkk->bk", self.matrix))

    def split(self, weight: F32) -> F32:
        """[S, O, K] -> [B, R, K]"""
        return weight.reshape(len(self.matrix), -1, weight.shape[-1])

    def split_mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """[S, O, K] -> [B, R, K]"""
        return mask.reshape(len(self.matrix), -1, mask.shape[-1])

    def errors(self, difference: F32) -> F64:
        """``e H e^T`` of each row of ``difference`` [B, R, K] -> [B, R]."""
        return np.asarray(np.einsum("brk,brk->br", difference @ self.matrix, difference, dtype=np.float64))

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """Inputs by power, the largest first [B, K]."""
        return np.argsort(-self.diagonal, axis=1, kind="stable")

    @cached_property
    def inverse_factor(self) -> F32:
        """The upper triangular U [B, K, K] with ``U^T U = H^-1``, for inputs in :attr:`order`."""
        ordered = np.take_along_axis(self.matrix, self.order[:, :, None], axis=1)
        ordered = np.take_along_axis(ordered, self.order[:, None, :], axis=2).astype(np.float64)
        return np.swapaxes(np.linalg.cholesky(np.linalg.inv(ordered)), 1, 2).astype(np.float32)

    @cached_property
    def inverse_diagonal(self) -> F64:
        """The diagonal of ``H^-1`` [B, K]."""
        out = np.empty(self.order.shape)
        np.put_along_axis(out, self.order, np.square(self.inverse_factor, dtype=np.float64).sum(axis=1), axis=1)
        return out

    def changed(self, transform: F32) -> Hessian:
        """For inputs ``T x``: ``T H T^T``, T [B, N, K] or [N, K]."""
        matrix = transform @ self.matrix @ np.swapaxes(transform, -1, -2)
        return Hessian(_damped(((matrix + np.swapaxes(matrix, 1, 2)) / 2).astype(np.float32), 1e-6))


@dataclass
class Moments:
    """Sums over inputs of a layer: those it has now, and how far they are from those of the original network.

    ``add`` takes columns [B, n, K].
    """

    count: int = 0
    square: F32 = field(default_factory=lambda: np.zeros(0, np.float32))
    cross: F32 | None = None
    total: F64 = field(default_factory=lambda: np.zeros(0))
    shift: F64 | None = None

    def add(self, now: F32, original: F32 | None = None) -> None:
        """``original``: None where both are the same."""
        if not self.count:
            self.square = np.zeros((now.shape[0], now.shape[2], now.shape[2]), np.float32)
            self.total = np.zeros((now.shape[0], now.shape[2]))
        self.count += now.shape[1]
        self.square += np.swapaxes(now, 1, 2) @ now
        self.total += now.sum(axis=1, dtype=np.float64)
        if original is not None:
            if self.cross is None or self.shift is None:
                self.cross, self.shift = np.zeros_like(self.square), np.zeros_like(self.total)
            moved = original - now
            self.cross += np.swapaxes(moved, 1, 2) @ now
            self.shift += moved.sum(axis=1, dtype=np.float64)

    @property
    def mean(self) -> F32:
        """Of the inputs as they are now [B, K]."""
        return (self.total / self.count).astype(np.float32)

    @property
    def original_mean(self) -> F32:
        """Of the original network's inputs [B, K]."""
        return ((self.total + (0 if self.shift is None else self.shift)) / self.count).astype(np.float32)

    def hessian(self, centered: bool) -> Hessian:
        """``centered``: without the part that a corrected bias makes up for."""
        return Hessian(_shrunk(self._covariance(self.square, self.total, centered), self.count))

    def target(self, weight: F32, hessian: Hessian, centered: bool) -> F32:
        """The weight [S, O, K] whose results now are nearest to those of the original weight on the original inputs:
        ``W + W E[(x - x') x'^T] H^-1`` (asymmetric calibration: Li et al., "GPTAQ", arXiv 2504.02692)."""
        if self.cross is None or self.shift is None:
            return weight
        cross = self._covariance(self.cross, self.shift, centered)
        rows = hessian.split(weight).astype(np.float64)
        moved = np.swapaxes(np.linalg.solve(hessian.matrix.astype(np.float64), np.swapaxes(rows @ cross, 1, 2)), 1, 2)
        return np.asarray((rows + moved).reshape(weight.shape), np.float32)

    def _covariance(self, square: F32, total: F64, centered: bool) -> F64:
        out = square.astype(np.float64) / self.count
        if centered:
            out -= (total / self.count)[:, :, None] * (self.total / self.count)[:, None, :]
        return out


def _shrunk(matrix: F64, count: int) -> F32:
    """A covariance estimated from few samples, with its correlations shrunk as far as chance explains them (oracle
    approximating shrinkage: Chen et al., arXiv 0907.4698, equation 23, on correlations), and damped. Inputs that are
    always 0 get 1."""
    diagonal = np.einsum("bkk->bk", matrix).copy()
    dead = diagonal <= 1e-10 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-30)
    unit = np.where(dead, 1, np.sqrt(np.where(dead, 1, diagonal)))
    correlation = matrix / unit[:, :, None] / unit[:, None, :]
    correlation[dead] = 0
    np.swapaxes(correlation, 1, 2)[dead] = 0
    size = matrix.shape[1]
    power = (correlation**2).sum(axis=(1, 2))
    excess = (count + 1 - 2 / size) * np.maximum(power - size, 1e-9)
    part = np.clip(((1 - 2 / size) * power + size**2) / excess, 0, 1)[:, None, None] if size > 1 else 0.0
    correlation *= 1 - part
    np.einsum("bkk->bk", correlation)[:] = 1
    return _damped((correlation * unit[:, :, None] * unit[:, None, :]).astype(np.float32), DAMPING)


def _damped(matrix: F32, part: float) -> F32:
    out = np.array(matrix, np.float32)
    diagonal = np.einsum("bkk->bk", out)
    diagonal += np.float32(part) * np.maximum(diagonal.mean(axis=1, keepdims=True), np.float32(1e-20))
    return out
