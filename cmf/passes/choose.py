"""From a weight and the steps of a recipe to a tree. What cannot be done to a weight is left out, and said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cmf.encodings import Bitpacked, Dct, Dense, Leaf, LowRank, Sparse, Tree, Winograd
from cmf.encodings.base import F32, Geometry
from cmf.passes import steps as s
from cmf.passes.balance import keep_sums
from cmf.passes.binarize import binarize, ternarize
from cmf.passes.cluster import cluster
from cmf.passes.factorize import svd, svd_rank, tucker2, tucker_ranks
from cmf.passes.layers import Layer
from cmf.passes.prune import magnitude_mask
from cmf.passes.quantize import halve, quantize
from cmf.passes.transform import cosine, winograd

Mask = npt.NDArray[np.bool_]

#: part of a weight that must be 0 before binary levels keep its zeros (which costs a bit for each weight)
BINARY_ZEROS = 0.1


@dataclass
class Chosen:
    """A tree for a weight, and a note for each step that was left out."""

    tree: Tree
    notes: list[str] = field(default_factory=list)


def choose(weight: F32, layer: Layer, steps: tuple[s.Step, ...]) -> Chosen:
    """Encodes ``weight`` [S, O, K] as the steps say, as far as they are legal for the layer."""
    return _Chooser(layer, {step.role: step for step in steps}).run(np.ascontiguousarray(weight, np.float32))


class _Chooser:
    def __init__(self, layer: Layer, steps: dict[str, s.Step]) -> None:
        self.layer = layer
        self.steps = steps
        self.notes: list[str] = []
        self.levels = steps.get("levels")
        #: sums over inputs mean something where inputs are activations, not frequencies or Winograd positions
        self.balanced = "basis" not in steps
        if "activations" in steps and self.levels is None and "product" not in steps and "basis" not in steps:
            self.levels = s.Integers(8)

    def run(self, weight: F32) -> Chosen:
        if not np.isfinite(weight).all():
            self.notes.append("kept as it is: it holds numbers that are not finite")
            return Chosen(Dense(self.layer.geometry, weight), self.notes)
        product, basis = self.steps.get("product"), self.steps.get("basis")
        tree: Tree | None = None
        if isinstance(product, s.Svd):
            tree = self.svd(weight, product)
        elif isinstance(product, s.Tucker):
            tree = self.tucker(weight, product)
        elif isinstance(basis, s.WinogradBasis):
            tree = self.winograd(weight, basis)
        if tree is None:
            tree = self.factor(weight, self.layer.geometry)
        return Chosen(tree, list(dict.fromkeys(self.notes)))

    # ---------------------------------------------------------------- products

    def svd(self, weight: F32, step: s.Svd) -> Tree | None:
        geometry = self.layer.geometry
        rank = svd_rank(geometry, step.fraction)
        if "depthwise" in self.layer.kinds:
            self.skip(step, "a depthwise filter is no product of matrices")
            return None
        if rank * (geometry.outputs + geometry.inputs) >= geometry.outputs * geometry.inputs:
            self.skip(step, f"even rank 1 has as many parameters as [{geometry.outputs}, {geometry.inputs}]")
            return None
        inner, outer = svd(weight, rank)
        narrow = Geometry(geometry.stack, rank, geometry.inputs, geometry.run)
        wide = Geometry(geometry.stack, geometry.outputs, rank, rank)
        return LowRank(geometry, (self.factor(inner, narrow), self.factor(outer, wide)))

    def tucker(self, weight: F32, step: s.Tucker) -> Tree | None:
        geometry = self.layer.spatial
        if geometry is None or self.layer.taps == 1:
            self.skip(step, "it is for convolutions without groups and with kernels larger than 1 x 1")
            return None
        rank_in, rank_out = tucker_ranks(geometry, step.fraction)
        size = (rank_in * geometry.run + rank_in * rank_out * self.layer.taps + rank_out * geometry.outputs)
        if size >= geometry.outputs * geometry.inputs:
            self.skip(step, f"even ranks {rank_in}, {rank_out} have as many parameters as the weight")
            return None
        first, core, last = tucker2(weight, self.layer.taps, rank_in, rank_out)
        factors = (self.factor(first, Geometry(1, rank_in, geometry.run, geometry.run)),
                   self.factor(core, Geometry(1, rank_out, self.layer.taps * rank_in, rank_in)),
                   self.factor(last, Geometry(1, geometry.outputs, rank_out, rank_out)))
        return LowRank(geometry, factors, "tucker2")

    # ---------------------------------------------------------------- bases

    def winograd(self, weight: F32, step: s.WinogradBasis) -> Tree | None:
        geometry = self.layer.spatial
        if geometry is None or not self.layer.winograd:
            self.skip(step, "it is for 3 x 3 convolutions with strides and dilations 1 and without groups")
            return None
        filters, inner = winograd(weight, geometry, step.tile)
        return Winograd(geometry, self.panel(filters, inner), step.tile)

    def factor(self, weight: F32, geometry: Geometry) -> Tree:
        step = self.steps.get("basis")
        if not isinstance(step, s.Cosine):
            return self.panel(weight, geometry)
        why = ""
        if step.input_block == step.output_block == 1:
            why = "blocks of 1 change nothing"
        elif "depthwise" in self.layer.kinds:
            why = "depthwise filters are computed tap by tap, in no other basis"
        if why:
            self.skip(step, why)
            return self.panel(weight, geometry)
        coefficients = cosine(weight, geometry, step.input_block, step.output_block)
        return Dct(geometry, self.panel(coefficients, geometry), step.input_block, step.output_block)

    # ---------------------------------------------------------------- panels

    def panel(self, weight: F32, geometry: Geometry) -> Tree:
        """Zeros and levels. Sparse where there are zeros and it takes fewer bytes."""
        prune = self.steps.get("pattern")
        if isinstance(prune, s.Prune):
            kept = np.where(magnitude_mask(weight, prune.fraction), weight, np.float32(0))
            weight = keep_sums(weight, kept) if self.balanced else kept
        present = weight != 0
        if present.all():
            return self.leaf(weight, geometry, None)
        if isinstance(self.levels, s.Signs) and self.levels.levels == "binary":
            return self.binary(weight, geometry, present)
        if isinstance(self.levels, s.Cluster):
            # the table depends on what is present, so the choice comes first: a mask costs a bit for each position
            if np.count_nonzero(~present) * self.levels.bits > weight.size:
                return Sparse(geometry, present, self.leaf(weight, geometry, present))
            return self.leaf(weight, geometry, None)
        full = self.leaf(weight, geometry, None)
        sparse = self.sparse(geometry, full)
        return sparse if sparse.stored_bytes < full.stored_bytes else full

    def leaf(self, weight: F32, geometry: Geometry, present: Mask | None) -> Leaf:
        """All levels of a weight; with a mask, those of the present positions matter only."""
        levels = self.levels
        if isinstance(levels, s.Integers):
            granularity, group = self.scales(levels, geometry)
            return quantize(weight, geometry, levels.bits, granularity=granularity, group=group,
                            balanced=self.balanced)
        if isinstance(levels, s.Half):
            dense = halve(weight, geometry, levels.dtype)
            if np.isfinite(dense.decode()).all():
                return dense
            self.notes.append(f"{levels}: left out, a weight is beyond its range")
        if isinstance(levels, s.Cluster):
            channel_scales = levels.scales == "channel" or (
                levels.scales == "auto" and "depthwise" in self.layer.kinds and len(np.unique(weight)) > levels.entries)
            return cluster(weight, geometry, levels.entries, levels.bits, present=present,
                           channel_scales=channel_scales, integer_table="activations" in self.steps,
                           balanced=self.balanced)
        if isinstance(levels, s.Signs):
            return ternarize(weight, geometry) if levels.levels == "ternary" else binarize(weight, geometry)
        return Dense(geometry, weight)

    def scales(self, levels: s.Integers, geometry: Geometry) -> tuple[str, int]:
        if not levels.group or levels.group >= geometry.inputs:
            return levels.scales, 0  # one group is the channel
        if geometry.layout == "rows":
            self.notes.append(f"{levels}: depthwise filters have scales for channels, not for groups")
            return "channel", 0
        return "group", levels.group

    def sparse(self, geometry: Geometry, full: Leaf) -> Sparse:
        """The same numbers, with those that are 0 (now) absent. Without zeros two levels are left of ternary."""
        present = full.decode() != 0
        if isinstance(full, Bitpacked) and full.levels == "ternary":
            signs = np.where(full.codes < 0, np.int8(-1), np.int8(1))
            full = replace(full, codes=signs, levels="binary")
        return Sparse(geometry, present, full)

    def binary(self, weight: F32, geometry: Geometry, present: Mask) -> Tree:
        """Two levels have no zero: zeros are kept by a mask where they were asked for or are many."""
        leaf = self.leaf(weight, geometry, present)
        zeros = 1 - float(present.mean())
        if "pattern" in self.steps or zeros >= BINARY_ZEROS:
            return Sparse(geometry, present, leaf)
        self.notes.append(f"binary: {np.count_nonzero(~present)} zeros become positive")
        return leaf

    def skip(self, step: s.Step, why: str) -> None:
        """Notes that a step is left out."""
        self.notes.append(f"{step}: left out, {why}")
