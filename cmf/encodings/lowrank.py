"""lowrank: a product of factors, each a weight of its own, and an optional residual (FORMAT.md 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from cmf.encodings.base import F32, EncodingError, Geometry, Tree, Wire

_FORMS = {"svd": 2, "tucker2": 3}


@dataclass(frozen=True, eq=False)
class LowRank(Tree):
    """``factors`` in the order in which they are applied to the input.

    ``svd``: B ``[S, r, K]`` (run of W), A ``[S, O, r]`` (run r); W = A B. ``tucker2`` (convolutions, S = 1, run = input
    channels): ``[1, r_in, run]``, core ``[1, r_out, taps * r_in]`` (run r_in), ``[1, O, r_out]``.
    ``residual``: a panel tree of W's own size, added to the product.
    """

    factors: tuple[Tree, ...]
    form: str = "svd"
    residual: Tree | None = None
    encoding: ClassVar[str] = "lowrank"
    wire: ClassVar[Wire] = Wire("LowRank", ("form",), (), ("factors", "residual"), optional=("residual",))

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        object.__setattr__(self, "geometry", replace(self.geometry, layout="lines"))
        if self.form not in _FORMS:
            raise EncodingError(f"lowrank: unknown form {self.form!r}; there are {', '.join(_FORMS)}")
        if len(self.factors) != _FORMS[self.form]:
            raise EncodingError(f"lowrank: {len(self.factors)} factors; form {self.form} has {_FORMS[self.form]}")
        if self.form == "tucker2" and self.geometry.stack != 1:
            raise EncodingError("lowrank: form tucker2 needs a stack of 1 (a convolution without groups)")
        for index, (factor, wanted) in enumerate(zip(self.factors, self._sizes(), strict=True)):
            size = (*factor.geometry.shape, factor.geometry.run)
            if size != wanted:
                raise EncodingError(f"lowrank: factor {index} is [stack, outputs, inputs], run = {list(size[:3])}, "
                                    f"{size[3]}; form {self.form} needs {list(wanted[:3])}, {wanted[3]}")
        if self.residual is not None:
            mine = replace(self.geometry, layout=self.residual.geometry.layout)
            if self.residual.geometry != mine:
                raise EncodingError(f"lowrank: the residual is {self.residual.geometry}, the weight is {mine}")

    def _sizes(self) -> list[tuple[int, int, int, int]]:
        """Stack, outputs, inputs and run that each factor must have."""
        g = self.geometry
        rank = self.factors[0].geometry.outputs
        if self.form == "svd":
            return [(g.stack, rank, g.inputs, g.run), (g.stack, g.outputs, rank, rank)]
        rank_out = self.factors[1].geometry.outputs
        return [(1, rank, g.run, g.run), (1, rank_out, g.runs * rank, rank), (1, g.outputs, rank_out, rank_out)]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The inner dimensions of the product: (r,), or (r_in, r_out)."""
        return tuple(factor.geometry.outputs for factor in self.factors[:-1])

    @property
    def detail(self) -> str:
        return f"{self.form} {'x'.join(map(str, self.ranks))}"

    def decode(self) -> F32:
        factors = [factor.decode().astype(np.float64) for factor in self.factors]
        if self.form == "tucker2":
            first, core, last = (factor[0] for factor in factors)
            taps = core.reshape(core.shape[0], self.geometry.runs, -1) @ first
            product = (last @ taps.reshape(core.shape[0], -1))[None]
        else:
            product = factors[1] @ factors[0]
        if self.residual is not None:
            product = product + self.residual.decode()
        return np.asarray(product, np.float32)

    def children(self) -> Mapping[str, Tree]:
        children = {f"factor{index}": factor for index, factor in enumerate(self.factors)}
        if self.residual is not None:
            children["residual"] = self.residual
        return children

    def fields(self) -> Mapping[str, int | str]:
        return {"form": self.form}

    def spans(self) -> Mapping[str, bytes]:
        return {}

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree]
    ) -> LowRank:
        factors: Sequence[Tree] = [child for name, child in children.items() if name.startswith("factor")]
        return cls(geometry, tuple(factors), fields["form"], children.get("residual"))
