"""winograd: the filters of a 3 x 3 convolution in the basis of F(tile x tile, 3 x 3) (FORMAT.md 3.8).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import F32, EncodingError, Geometry, Tree, Wire

F64 = npt.NDArray[np.float64]

#: tile -> G [tile+2, 3]: filters to the basis, U = G g G^T
G: dict[int, F64] = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
}
#: tile -> B^T [tile+2, tile+2]: input tiles to the basis, V = B^T d B
B_T: dict[int, F64] = {
    2: np.array([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    4: np.array([[4.0, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
                 [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]),
}
#: tile -> A^T [tile, tile+2]: products back to pixels, Y = A^T M A
A_T: dict[int, F64] = {
    2: np.array([[1.0, 1, 1, 0], [0, 1, -1, -1]]),
    4: np.array([[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
}


def winograd_filters(weight: npt.NDArray[Any], tile: int) -> F64:
    """``[O, 3, 3, C]`` spatial filters -> U ``[(tile+2)^2, O, C]``, in float64."""
    u: F64 = np.einsum("ik,okmc,jm->ijoc", G[tile], np.asarray(weight, np.float64), G[tile])
    return u.reshape((tile + 2) ** 2, weight.shape[0], weight.shape[3])


def winograd_geometry(geometry: Geometry, tile: int) -> Geometry:
    """The size of the filters tree of a convolution weight ``[1, O, 9*C]`` with run C."""
    return Geometry((tile + 2) ** 2, geometry.outputs, geometry.run, geometry.run)


@dataclass(frozen=True, eq=False)
class Winograd(Tree):
    """``filters``: a panel tree ``[(tile+2)^2, O, C]`` holding U; the weight itself is ``[1, O, 9*C]`` with run C."""

    filters: Tree
    tile: int = 2
    encoding: ClassVar[str] = "winograd"
    wire: ClassVar[Wire] = Wire("Winograd", ("tile",), (), ("filters",))

    def __post_init__(self) -> None:
        object.__setattr__(self, "geometry", replace(self.geometry, layout="lines"))
        if self.tile not in G:
            raise EncodingError(f"winograd: tile is {self.tile}; allowed are 2 and 4")
        if self.geometry.stack != 1 or self.geometry.runs != 9:
            raise EncodingError(f"winograd: needs a 3 x 3 convolution without groups, [1, O, 9*C] with run C, not "
                                f"{list(self.geometry.shape)} with run {self.geometry.run}")
        wanted = winograd_geometry(self.geometry, self.tile)
        if self.filters.geometry != wanted:
            raise EncodingError(f"winograd: the filters are {self.filters.geometry}; tile {self.tile} needs {wanted}")

    @property
    def detail(self) -> str:
        return f"{self.tile}x{self.tile}"

    def decode(self) -> F32:
        """U as f32 ``[(tile+2)^2, outputs, channels]``: a Winograd weight has no exact form in pixels."""
        return self.filters.decode()

    def children(self) -> Mapping[str, Tree]:
        return {"filters": self.filters}

    def fields(self) -> Mapping[str, int | str]:
        return {"tile": self.tile}

    def spans(self) -> Mapping[str, bytes]:
        return {}

    @classmethod
    def from_spans(
        cls, geometry: Geometry, fields: Mapping[str, Any], spans: Mapping[str, bytes], children: Mapping[str, Tree]
    ) -> Winograd:
        return cls(geometry, children["filters"], fields["tile"])
