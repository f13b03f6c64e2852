"""Most transient bytes of a thread that computes with a weight (FORMAT.md section 4)."""

from __future__ import annotations

from cmf.encodings.base import PANEL, Tree
from cmf.encodings.dct import Dct
from cmf.encodings.lowrank import LowRank
from cmf.encodings.winograd import Winograd

#: inputs of a panel that are decoded at a time
WINDOW = 256


def transient_bytes(tree: Tree) -> int:
    """What the weight's form takes beyond a dense weight: windows, middles between factors, changed bases."""
    if isinstance(tree, Winograd):
        filters = tree.filters.geometry
        block = _clamp(4096 // filters.inputs, 16, 64)
        return (_floats(filters.stack * filters.inputs, block) + _floats(filters.stack * PANEL, block)
                + _window(tree.filters))
    if not isinstance(tree, LowRank):
        return _basis(tree)
    below = max(_basis(child) for child in tree.children().values())
    if tree.form == "tucker2":
        rank_in, rank_out = tree.ranks
        return _floats(rank_in, _area(rank_in, tree.geometry.runs)) + _floats(rank_out, _rows(rank_out)) + below
    (rank,) = tree.ranks
    return _floats(rank, _rows(rank)) + below


def _basis(tree: Tree) -> int:
    if not isinstance(tree, Dct):
        return _window(tree)
    g = tree.geometry
    changed = _floats(g.inputs, _rows(g.inputs))
    if g.runs > 1:
        changed = max(changed, _floats(g.run, _area(g.run, g.runs)))
    return changed + _window(tree.coefficients)


def _window(panel: Tree) -> int:
    return _floats(PANEL, min(panel.geometry.inputs, WINDOW))


def _rows(n: int) -> int:
    return _clamp(32768 // n, 16, 512)


def _area(n: int, taps: int) -> int:
    return max(taps, _clamp(32768 // n, 256, 1024))


def _clamp(x: int, low: int, high: int) -> int:
    return min(max(x, low), high)


def _floats(n: int, rows: int) -> int:
    """Bytes of ``rows`` rows of n floats, in whole lines of 64 bytes."""
    return -(-4 * n * rows // 64) * 64
