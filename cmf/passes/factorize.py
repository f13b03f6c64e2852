"""Low-rank factors: truncated singular value decomposition, and Tucker-2 for convolutions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32, Geometry

F64 = npt.NDArray[np.float64]

#: orthogonal iteration ends when a round keeps less than this part more of the energy
CONVERGED = 1e-4


def svd_rank(geometry: Geometry, fraction: float) -> int:
    """The rank whose two factors have at most ``fraction`` of the weight's parameters (at least 1)."""
    outputs, inputs = geometry.outputs, geometry.inputs
    return max(1, min(int(fraction * outputs * inputs / (outputs + inputs)), outputs, inputs))


def svd(weight: F32, rank: int) -> tuple[F32, F32]:
    """``W[S, O, K]`` ~ A B: returns B [S, rank, K] and A [S, O, rank] of least squared error (Eckart and Young).

    The singular values are shared between the factors, so that neither is large where the other is small.
    """
    inner, outer = zip(*(_svd(matrix.astype(np.float64), rank) for matrix in weight), strict=True)
    return np.stack(inner).astype(np.float32), np.stack(outer).astype(np.float32)


def whitened(weight: F32, hessian: F32, rank: int) -> tuple[F32, F32]:
    """As :func:`svd`, of least ``tr(E H E^T)``, H [S, K, K].

    With H = L L^T the decomposition of W L is truncated, and the squares of what is dropped are the loss (Wang et al.,
    "SVD-LLM", arXiv 2403.07378, section 3.1).
    """
    inner, outer = [], []
    for matrix, square in zip(weight.astype(np.float64), hessian.astype(np.float64), strict=True):
        root = np.linalg.cholesky(square)
        first, second = _svd(matrix @ root, rank)
        inner.append(np.linalg.solve(root.T, first.T).T)
        outer.append(second)
    return np.stack(inner).astype(np.float32), np.stack(outer).astype(np.float32)


def _svd(matrix: F64, rank: int) -> tuple[F64, F64]:
    """By the eigenvectors of the smaller Gram matrix, which is several times faster; the other factor is a projection,
    so nothing of what the kept vectors span is lost."""
    if matrix.shape[0] <= matrix.shape[1]:
        vectors = _leading(matrix @ matrix.T, rank)
        inner, outer = vectors.T @ matrix, vectors
        values = np.linalg.norm(inner, axis=1)
    else:
        vectors = _leading(matrix.T @ matrix, rank)
        inner, outer = vectors.T, matrix @ vectors
        values = np.linalg.norm(outer, axis=0)
    # one side has unit vectors, the other the singular values: share them
    share = np.sqrt(np.where(values > 0, values, 1))
    if matrix.shape[0] <= matrix.shape[1]:
        return inner / share[:, None], outer * share
    return inner * share[:, None], outer / share


def tucker_ranks(geometry: Geometry, fraction: float) -> tuple[int, int]:
    """Input and output ranks, the same part of the channels, with at most ``fraction`` of the weight's parameters.

    With ranks c I and c O and n taps the parameters are ``c (I^2 + O^2) + c^2 I O n``.
    """
    inputs, outputs = geometry.run, geometry.outputs
    a, b, goal = inputs * outputs * geometry.runs, inputs**2 + outputs**2, fraction * outputs * geometry.inputs
    part = (math.sqrt(b * b + 4 * a * goal) - b) / (2 * a)
    return max(1, min(int(part * inputs), inputs)), max(1, min(int(part * outputs), outputs))


def tucker2(weight: F32, taps: int, rank_in: int, rank_out: int, rounds: int = 10) -> tuple[F32, F32, F32]:
    """``W[1, O, taps * I]`` ~ core x_O U x_I V by higher-order orthogonal iteration (De Lathauwer et al., 2000).

    Returns V^T [1, rank_in, I], the core [1, rank_out, taps * rank_in] and U [1, O, rank_out]. Each round fits one side
    with the other fixed, so the error never grows.
    """
    tensor = weight[0].astype(np.float64).reshape(weight.shape[1], taps, -1)
    flat = tensor.reshape(len(tensor), -1)
    inputs = _leading(_gram(tensor.reshape(-1, tensor.shape[2])), rank_in)
    outputs = np.empty((len(tensor), rank_out))
    energy = -1.0
    for _ in range(rounds):
        narrow_in = (tensor @ inputs).reshape(len(tensor), -1)
        outputs = _leading(_gram(narrow_in.T), rank_out)
        narrow_out = (outputs.T @ flat).reshape(-1, tensor.shape[2])
        inputs = _leading(_gram(narrow_out), rank_in)
        kept = float(((narrow_out @ inputs) ** 2).sum())
        if kept <= energy * (1 + CONVERGED):
            break
        energy = kept
    core = (outputs.T @ flat).reshape(-1, tensor.shape[2]) @ inputs
    return (inputs.T[None].astype(np.float32), core.reshape(1, rank_out, -1).astype(np.float32),
            outputs[None].astype(np.float32))


def _gram(matrix: F64) -> F64:
    return np.asarray(matrix.T @ matrix)


def _leading(gram: F64, rank: int) -> F64:
    """The ``rank`` eigenvectors of largest eigenvalue [n, rank], with a sign that does not hang on the library."""
    vectors: F64 = np.linalg.eigh(gram)[1][:, ::-1][:, :rank]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return np.asarray(vectors * np.where(largest < 0, -1.0, 1.0))
