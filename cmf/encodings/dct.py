"""dct: the weight in a blockwise cosine basis (FORMAT.md 3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32, EncodingError, Geometry, Tree, Wire

F64 = npt.NDArray[np.float64]

INPUT_BLOCKS = (1, 2, 4, 8, 16, 32)
OUTPUT_BLOCKS = (1, 2, 4, 8, 16)


@cache
def dct_matrix(n: int) -> F64:
    """The orthonormal DCT-II: ``D[k, j] = c_k cos(pi (2j + 1) k / (2n))``, ``[n, n]``; ``D @ x`` transforms x."""
    k, j = np.mgrid[0:n, 0:n]
    matrix = np.cos(np.pi * (2 * j + 1) * k / (2 * n)) * np.where(k == 0, np.sqrt(1 / n), np.sqrt(2 / n))
    matrix.setflags(write=False)
    return np.asarray(matrix, np.float64)


def transform_blocks(x: F64, axis: int, block: int, inverse: bool = False) -> F64:
    """Every ``block`` entries along an axis (the last block may be shorter) in the cosine basis, or back from it."""
    if block == 1:
        return x
    x = np.moveaxis(x, axis, -1)
    size = x.shape[-1]
    whole = size - size % block
    parts = []
    for start, stop in ((0, whole), (whole, size)):
        if start < stop:
            n = min(block, stop - start)
            matrix = dct_matrix(n) if inverse else dct_matrix(n).T
            part = x[..., start:stop].reshape(*x.shape[:-1], -1, n) @ matrix
            parts.append(part.reshape(*x.shape[:-1], -1))
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, axis)


def dct_transform(
    weight: npt.NDArray[Any], run: int, input_block: int, output_block: int, inverse: bool = False
) -> F64:
    """``W[S, O, K]`` -> ``C = Dout W Din^T``, in float64; ``inverse``: C -> W."""
    stack, outputs, inputs = weight.shape
    runs = np.asarray(weight, np.float64).reshape(stack, outputs, inputs // run, run)
    runs = transform_blocks(runs, 3, input_block, inverse)
    return transform_blocks(runs, 1, output_block, inverse).reshape(weight.shape)


@dataclass(frozen=True, eq=False)
class Dct(Tree):
    """``coefficients``: a panel tree of W's size and run holding ``C = Dout W Din^T``."""

    coefficients: Tree
    input_block: int = 1
    output_block: int = 1
    encoding: ClassVar[str] = "dct"
    wire: ClassVar[Wire] = Wire("Dct", ("input_block", "output_block"), (), ("coefficients",))

    def __post_init__(self) -> None:
        object.__setattr__(self, "geometry", replace(self.geometry, layout="lines"))
        for name, blocks in (("input_block", INPUT_BLOCKS), ("output_block", OUTPUT_BLOCKS)):
            if getattr(self, name) not in blocks:
                raise EncodingError(f"dct: {name} is {getattr(self, name)}; allowed are {', '.join(map(str, blocks))}")
        mine = replace(self.geometry, layout=self.coefficients.geometry.layout)
        if self.coefficients.geometry != mine:
            raise EncodingError(f"dct: the coefficients are {self.coefficients.geometry}, the weight is {mine}")

    @property
    def detail(self) -> str:
        return f"{self.output_block}x{self.input_block}"

    def decode(self) -> F32:
        c = self.coefficients.decode()
        return dct_transform(c, self.geometry.run, self.input_block, self.output_block, inverse=True).astype(np.float32)

    def children(self) -> Mapping[str, Tree]:
        return {"coefficients": self.coefficients}

    def fields(self) -> Mapping[str, int | str]:
        return {"input_block": self.input_block, "output_block": self.output_block}

    def spans(self) -> Mapping[str, bytes]:
        return {}

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree]
    ) -> Dct:
        return cls(geometry, children["coefficients"], fields["input_block"], fields["output_block"])
