"""What every encoding shares: its place in a weight, and the contract of a tree.

An encoding decides the *bytes* of a weight ``W[stack, outputs, inputs]``. It knows no graph and no operator.
Trees hold their content in logical form - arrays indexed ``[stack, outputs, inputs]`` - and turn it into panels
(FORMAT.md section 2) only when they are written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from cmf.errors import CmfError

F32 = npt.NDArray[np.float32]
Array = npt.NDArray[Any]
LayoutName = Literal["lines", "rows"]

#: outputs of a panel
PANEL = 16
#: FORMAT.md section 1.3
MAX_DIMENSION = 2**31 - 1
MAX_ELEMENTS = 2**40


class EncodingError(CmfError):
    """A weight's tree of encodings breaks a rule of FORMAT.md section 2 or 3."""

    code = "E_ENCODING"


@dataclass(frozen=True)
class Wire:
    """How an encoding lies in its table of cmf.fbs.

    ``fields`` are scalars; ``spans``; ``children`` (``factors`` is a vector); those in ``optional`` may be absent.
    """

    table: str
    fields: tuple[str, ...]
    spans: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class Geometry:
    """Size of a weight and how its panels run through it (FORMAT.md, section 2).

    ``run`` inputs lie together (the input channels of a convolution's tap); ``inputs`` is a multiple of it.
    ``layout`` speaks of panel encodings only; product and basis encodings ignore it.
    """

    stack: int
    outputs: int
    inputs: int
    run: int
    layout: LayoutName = "lines"

    def __post_init__(self) -> None:
        for name in ("stack", "outputs", "inputs", "run"):
            size = getattr(self, name)
            if not 1 <= size <= MAX_DIMENSION:
                raise EncodingError(f"{name} of a weight is {size}; it must be 1 to {MAX_DIMENSION}")
        if self.elements > MAX_ELEMENTS:
            raise EncodingError(f"a weight of {list(self.shape)} has more than 2^40 elements")
        if self.inputs % self.run:
            raise EncodingError(f"{self.inputs} inputs are not a multiple of the run, {self.run}")
        if self.layout not in ("lines", "rows"):
            raise EncodingError(f"unknown layout {self.layout!r}; there are 'lines' and 'rows'")
        if self.layout == "rows" and self.run != self.inputs:
            raise EncodingError(f"layout rows needs one run, not runs of {self.run} in {self.inputs} inputs")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.stack, self.outputs, self.inputs)

    @property
    def elements(self) -> int:
        return self.stack * self.outputs * self.inputs

    @property
    def runs(self) -> int:
        return self.inputs // self.run

    @property
    def panels(self) -> int:
        """Panels of one stack entry."""
        return -(-self.outputs // PANEL)

    @property
    def last_lanes(self) -> int:
        """Lanes of the last panel of a stack entry: 4, 8, 12 or 16."""
        return -(-(self.outputs - PANEL * (self.panels - 1)) // 4) * 4

    @property
    def padded_outputs(self) -> int:
        """Lanes of one stack entry."""
        return PANEL * (self.panels - 1) + self.last_lanes


@dataclass(frozen=True, eq=False)
class Tree(ABC):
    """A weight in some encoding. Immutable; arrays must not be written to after construction.

    Subclasses check themselves in ``__post_init__`` and raise :class:`EncodingError`.
    """

    geometry: Geometry
    #: the name in cmf.fbs, lower case
    encoding: ClassVar[str]
    wire: ClassVar[Wire]

    @abstractmethod
    def decode(self) -> F32:
        """The weight as float32 ``[stack, outputs, inputs]``.

        Panel encodings: bit for bit what the runtime computes with. ``lowrank`` and ``dct``: the exact product rounded
        once, which a runtime's own order of additions meets to rounding only.
        """

    def children(self) -> Mapping[str, Tree]:
        """Trees below this one, by field name (``factors`` numbered: ``factor0`` ...)."""
        return {}

    @abstractmethod
    def fields(self) -> Mapping[str, int | str]:
        """Scalar fields of this tree's table in cmf.fbs, by field name; enums by the name of their value."""

    @abstractmethod
    def spans(self) -> Mapping[str, bytes]:
        """The bytes of this tree's own spans, by field name in cmf.fbs (children's are theirs)."""

    @classmethod
    @abstractmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree]
    ) -> Tree:
        """The inverse of :meth:`fields`, :meth:`spans`, :meth:`children`. Raises CmfError for bytes that do not fit."""

    @property
    def detail(self) -> str:
        """What distinguishes this encoding from others of its kind, in a word: ``4 bits``."""
        return ""

    def walk(self) -> Iterator[Tree]:
        """This tree and all below it, parents first."""
        yield self
        for child in self.children().values():
            yield from child.walk()

    def describe(self) -> str:
        """One line: ``sparse(codebook(4 bits))``."""
        inner = [self.detail] if self.detail else []
        inner += [child.describe() for child in self.children().values()]
        return f"{self.encoding}({', '.join(inner)})" if inner else self.encoding

    @property
    def own_bytes(self) -> int:
        """Bytes of this tree's own spans."""
        return sum(len(data) for data in self.spans().values())

    @property
    def stored_bytes(self) -> int:
        """Encoded bytes of all spans, before any byte codec. Cheap: nothing is packed."""
        return sum(tree.own_bytes for tree in self.walk())
