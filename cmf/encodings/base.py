"""What every encoding shares: its place in a weight, and the contract of a tree.

An encoding decides the *bytes* of a weight ``W[stack, outputs, inputs]``. It knows no graph and no operator.
Trees hold their content in logical form - arrays indexed ``[stack, outputs, inputs]`` - and turn it into panels
(FORMAT.md section 2) only when they are written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Iterator, Literal, Mapping

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
LayoutName = Literal["lines", "rows"]


@dataclass(frozen=True)
class Geometry:
    """Size of a weight and how its panels run through it (FORMAT.md, section 2).

    ``run`` inputs lie together (the input channels of a convolution's tap); ``inputs`` is a multiple of it.
    """

    stack: int
    outputs: int
    inputs: int
    run: int
    layout: LayoutName = "lines"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.stack, self.outputs, self.inputs)


@dataclass(frozen=True, eq=False)
class Tree(ABC):
    """A weight in some encoding. Immutable; arrays must not be written to after construction.

    Subclasses check themselves in ``__post_init__`` and raise :class:`cmf.errors.CmfError`.
    """

    geometry: Geometry
    #: the name in cmf.fbs, lower case
    encoding: ClassVar[str]

    @abstractmethod
    def decode(self) -> F32:
        """The weight as float32 ``[stack, outputs, inputs]``, bit for bit what the runtime computes with."""

    def children(self) -> Mapping[str, Tree]:
        """Trees below this one, by field name (``factors`` numbered: ``factor0`` ...)."""
        return {}

    @abstractmethod
    def spans(self) -> Mapping[str, bytes]:
        """The bytes of this tree's own spans, by field name in cmf.fbs (children's are theirs)."""

    def walk(self) -> Iterator[Tree]:
        """This tree and all below it, parents first."""
        yield self
        for child in self.children().values():
            yield from child.walk()

    def describe(self) -> str:
        """One line: ``sparse(codebook(4 bits))``."""
        inner = ", ".join(child.describe() for child in self.children().values())
        return f"{self.encoding}({inner})" if inner else self.encoding

    @property
    def stored_bytes(self) -> int:
        """Encoded bytes of all spans, before any byte codec."""
        return sum(len(data) for tree in self.walk() for data in tree.spans().values())

# The signatures of the eight encodings (each in a file of its own beside this one; all take `geometry` first):
#
#   Dense(geometry, codes)                            codes f32 | f16 | bf16 (ml_dtypes) [S, O, K]
#   Quantized(geometry, codes, scales, bits=8, zeros=None, group=0, scale_dtype="f32")
#                                                     codes int8 (int16 for 16 bits) [S, O, K]
#                                                     scales f32 [1,1,1] tensor | [S,O,1] channel | [S,O,G] group (group > 0)
#                                                     zeros int8, the shape of scales
#   Codebook(geometry, codes, table, bits=4, scales=None, scale_dtype="f32")
#                                                     codes uint8 [S, O, K]; table f32 | f16 | int8 [T, 2**bits], T = 1 or panels
#   Bitpacked(geometry, codes, scales, levels="ternary", scale_dtype="f32")
#                                                     codes int8 in {-1, 0, 1} ({-1, 1} for binary)
#   Sparse(geometry, mask, values)                    mask bool [S, O, K]; values: a leaf whose codes are full [S, O, K] arrays, those at absent positions ignored
#   LowRank(geometry, factors, form="svd", residual=None)
#   Dct(geometry, coefficients, input_block=1, output_block=1)
#   Winograd(geometry, filters, tile=2)
