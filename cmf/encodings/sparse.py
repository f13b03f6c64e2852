"""sparse: a mask of present positions over a leaf; absent ones are the real number 0 (FORMAT.md 3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmf.encodings import panels
from cmf.encodings.base import F32, EncodingError, Geometry, Tree, Wire
from cmf.encodings.leaf import Leaf


@dataclass(frozen=True, eq=False)
class Sparse(Tree):
    """``mask``: bool ``[S, O, K]``, True where a code is stored; ``values``: a leaf with codes ``[S, O, K]``.

    Codes at absent positions are ignored (and blank in ``values`` afterwards).
    """

    mask: npt.NDArray[np.bool_]
    values: Leaf
    encoding: ClassVar[str] = "sparse"
    wire: ClassVar[Wire] = Wire("Sparse", ("pattern",), ("mask", "offsets"), ("values",))

    def __post_init__(self) -> None:
        if not isinstance(self.values, Leaf):
            raise EncodingError(f"sparse: its child is {self.values.encoding}; it must be a leaf (dense, quantized, "
                                "codebook, bitpacked)")
        if self.mask.dtype != np.bool_ or self.mask.shape != self.geometry.shape:
            raise EncodingError(f"sparse: mask is {self.mask.dtype} {list(self.mask.shape)}, it must be bool "
                                f"{list(self.geometry.shape)}")
        if self.values.geometry != self.geometry:
            raise EncodingError(f"sparse: its child is {self.values.geometry}, the weight is {self.geometry}")
        object.__setattr__(self, "values", self.values.at(self.mask))

    @property
    def density(self) -> float:
        """Present positions as a fraction of all."""
        return float(np.count_nonzero(self.mask)) / self.geometry.elements

    @property
    def detail(self) -> str:
        return f"{100 * self.density:.1f} %"

    def decode(self) -> F32:
        return np.where(self.mask, self.values.decode(), np.float32(0))

    def children(self) -> Mapping[str, Tree]:
        return {"values": self.values}

    def fields(self) -> Mapping[str, int | str]:
        return {"pattern": "mask"}

    def spans(self) -> Mapping[str, bytes]:
        bits = self.values.width
        return {"mask": panels.pack_mask(self.mask, self.geometry, bits),
                "offsets": panels.value_offsets(self.mask, self.geometry, bits).tobytes()}

    @property
    def own_bytes(self) -> int:
        return panels.mask_size(self.geometry, self.values.width) + 4 * (self.geometry.stack * self.geometry.panels + 1)

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree]
    ) -> Sparse:
        """``children["values"]`` is a leaf made with ``present`` (see :func:`cmf.encodings.tree.put_together`)."""
        if fields["pattern"] != "mask":
            raise EncodingError(f"sparse: unknown pattern {fields['pattern']!r}; there is mask")
        values = children["values"]
        if not isinstance(values, Leaf) or values.mask is None:
            raise EncodingError("sparse: its child must be a leaf (dense, quantized, codebook, bitpacked)")
        if spans["offsets"] != panels.value_offsets(values.mask, geometry, values.width).tobytes():
            raise EncodingError("sparse: offsets do not agree with the mask")
        return cls(geometry, values.mask, values)
