"""From a weight and the steps of a recipe to a tree. What cannot be done to a weight is left out, and said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cmf.encodings import Bitpacked, Codebook, Dct, Dense, Leaf, LowRank, Quantized, Sparse, Tree, Winograd
from cmf.encodings.base import F32, Geometry
from cmf.passes import steps as s
from cmf.passes.balance import keep_sums
from cmf.passes.binarize import binarize, ternarize
from cmf.passes.cluster import cluster
from cmf.passes.factorize import svd, svd_rank, tucker2, tucker_ranks, whitened
from cmf.passes.feedback import Free, descend
from cmf.passes.fit import fit_codebook, fit_integers, fit_signs
from cmf.passes.hessian import Hessian
from cmf.passes.layers import Layer
from cmf.passes.obs import obs_mask, refit
from cmf.passes.prune import magnitude_mask
from cmf.passes.quantize import halve, quantize
from cmf.passes.transform import cosine, winograd

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: part of a weight that must be 0 before binary levels keep its zeros (which costs a bit for each weight)
BINARY_ZEROS = 0.1


@dataclass(frozen=True, eq=False)
class _Aim:
    """What a calibrated tree is to come near, and in what measure."""

    weight: F32
    hessian: Hessian

    @property
    def importance(self) -> F64:
        """Of each input's errors, once other inputs make up for what they can: [S, O, K] or [S, 1, K]."""
        shape = (self.weight.shape[0], -1, self.weight.shape[2])
        return np.asarray(1 / self.hessian.inverse_diagonal.reshape(shape))


def _loss(tree: Tree, weight: F32, hessian: Hessian) -> float:
    return float(hessian.errors(hessian.split(weight - tree.decode())).sum())


@dataclass
class Chosen:
    """A tree for a weight, a note for each step that was left out, and the names of calibrated algorithms."""

    tree: Tree
    notes: list[str] = field(default_factory=list)
    algorithms: tuple[str, ...] = ()


def choose(weight: F32, layer: Layer, steps: tuple[s.Step, ...], hessian: Hessian | None = None,
           target: F32 | None = None) -> Chosen:
    """Encodes ``weight`` [S, O, K] as the steps say, as far as they are legal for the layer.

    ``hessian``: of the layer's inputs, for the calibrated forms of steps. ``target``: the weight wanted then; of
    ``weight`` only the zeros are kept.
    """
    chooser = _Chooser(layer, {step.role: step for step in steps}, hessian)
    return chooser.run(np.ascontiguousarray(weight, np.float32), target)


def calibrated(steps: tuple[s.Step, ...]) -> bool:
    """Do the steps take calibrated forms, where there are inputs?"""
    return not any(getattr(step, "rounding", "") == "nearest" or getattr(step, "score", "") == "magnitude"
                   or isinstance(step, s.WinogradBasis) for step in steps)


class _Chooser:
    def __init__(self, layer: Layer, steps: dict[str, s.Step], hessian: Hessian | None) -> None:
        self.layer = layer
        self.steps = steps
        self.hessian = hessian if calibrated(tuple(steps.values())) else None
        self.notes: list[str] = []
        self.algorithms: list[str] = []
        self.levels = steps.get("levels")
        #: sums over inputs mean something where inputs are activations, not frequencies or Winograd positions
        self.balanced = "basis" not in steps
        if "activations" in steps and self.levels is None and "product" not in steps and "basis" not in steps:
            self.levels = s.Integers(8)

    def run(self, weight: F32, target: F32 | None) -> Chosen:
        if not np.isfinite(weight).all():
            self.notes.append("kept as it is: it holds numbers that are not finite")
            return Chosen(Dense(self.layer.geometry, weight), self.notes)
        zeros = None
        if self.hessian is not None and target is not None:
            zeros, weight = weight == 0, target
        product, basis = self.steps.get("product"), self.steps.get("basis")
        tree: Tree | None = None
        if isinstance(product, s.Svd):
            tree = self.svd(weight, product)
        elif isinstance(product, s.Tucker):
            tree = self.tucker(weight, product)
        elif isinstance(basis, s.WinogradBasis):
            tree = self.winograd(weight, basis)
        if tree is None:
            tree = self.factor(weight, self.layer.geometry, self.hessian, zeros)
        return Chosen(tree, list(dict.fromkeys(self.notes)), tuple(dict.fromkeys(self.algorithms)))

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
        hessian = self.hessian
        inner, outer = svd(weight, rank) if hessian is None else whitened(weight, hessian.matrix, rank)
        narrow = Geometry(geometry.stack, rank, geometry.inputs, geometry.run)
        wide = Geometry(geometry.stack, geometry.outputs, rank, rank)
        if hessian is None:
            return LowRank(geometry, (self.factor(inner, narrow), self.factor(outer, wide)))
        self.algorithms.append("whitened svd")
        first = self.factor(inner, narrow, hessian)
        # the second factor makes up for what the first lost: A = W H B^T (B H B^T)^-1
        rows = first.decode()
        reduced = hessian.changed(rows)
        outer = np.linalg.solve(reduced.matrix.astype(np.float64),
                                rows.astype(np.float64) @ hessian.matrix @ np.swapaxes(weight, 1, 2))
        outer = np.ascontiguousarray(np.swapaxes(outer, 1, 2), np.float32)
        return LowRank(geometry, (first, self.factor(outer, wide, reduced)))

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

    def factor(
        self, weight: F32, geometry: Geometry, hessian: Hessian | None = None, zeros: Mask | None = None
    ) -> Tree:
        step = self.steps.get("basis")
        if not isinstance(step, s.Cosine):
            return self.panel(weight, geometry, hessian, zeros)
        why = ""
        if step.input_block == step.output_block == 1:
            why = "blocks of 1 change nothing"
        elif "depthwise" in self.layer.kinds:
            why = "depthwise filters are computed tap by tap, in no other basis"
        if why:
            self.skip(step, why)
            return self.panel(weight, geometry, hessian, zeros)
        coefficients = cosine(weight, geometry, step.input_block, step.output_block)
        if hessian is not None:
            unit = replace(geometry, stack=1, outputs=geometry.inputs)
            hessian = hessian.changed(cosine(np.eye(geometry.inputs, dtype=np.float32)[None], unit, step.input_block,
                                             1)[0].T)
        return Dct(geometry, self.panel(coefficients, geometry, hessian), step.input_block, step.output_block)

    # ---------------------------------------------------------------- panels

    def panel(
        self, weight: F32, geometry: Geometry, hessian: Hessian | None = None, zeros: Mask | None = None
    ) -> Tree:
        """Zeros and levels. With a Hessian, the calibrated form, unless the plain one happens to lose less."""
        if hessian is None:
            return self.levelled(self.pruned(weight), geometry)
        present = weight != 0 if zeros is None else ~zeros
        start = self.pruned_by_output(weight, hessian, present)
        tree = self.levelled(start, geometry, _Aim(weight, hessian))
        if "pattern" in self.steps and present.all():
            names = self.algorithms[:]
            plain = self.levelled(self.pruned(weight), geometry)
            self.algorithms = names
            if _loss(plain, weight, hessian) < _loss(tree, weight, hessian):
                return plain
        return tree

    def pruned(self, weight: F32) -> F32:
        prune = self.steps.get("pattern")
        if not isinstance(prune, s.Prune):
            return weight
        kept = np.where(magnitude_mask(weight, prune.fraction), weight, np.float32(0))
        return keep_sums(weight, kept) if self.balanced else kept

    def pruned_by_output(self, weight: F32, hessian: Hessian, present: Mask) -> F32:
        """The weight with the zeros that lose least, of those tried, and the others refitted to them."""
        prune, rows = self.steps.get("pattern"), hessian.split(weight)
        best = weight
        if not present.all():
            best = refit(rows, hessian, hessian.split_mask(present)).reshape(weight.shape)
        if not isinstance(prune, s.Prune) or not prune.fraction:
            return best
        mask = obs_mask(rows, hessian, hessian.split_mask(present), prune.fraction)
        best = refit(rows, hessian, mask)
        by_size = magnitude_mask(np.where(present, weight, np.float32(0)), prune.fraction)
        mask = hessian.split_mask(by_size & present)
        kept = self.pruned(np.where(present, weight, np.float32(0)))
        other = descend(rows, hessian.split(kept), hessian, Free(), mask)
        if hessian.errors(rows - other).sum() < hessian.errors(rows - best).sum():
            best = other
        self.algorithms.append("obs")
        return best.reshape(weight.shape)

    def levelled(self, weight: F32, geometry: Geometry, aim: _Aim | None = None) -> Tree:
        """Levels of a weight. Sparse where there are zeros and it takes fewer bytes."""
        present = weight != 0
        if present.all():
            return self.leaf(weight, geometry, None, aim)
        if isinstance(self.levels, s.Signs) and self.levels.levels == "binary":
            return self.binary(weight, geometry, present, aim)
        if isinstance(self.levels, s.Cluster):
            # the table depends on what is present, so the choice comes first: a mask costs a bit for each position
            if np.count_nonzero(~present) * self.levels.bits > weight.size:
                return Sparse(geometry, present, self.leaf(weight, geometry, present, aim))
            return self.leaf(weight, geometry, None, aim)
        full = self.leaf(weight, geometry, None, aim)
        sparse = self.sparse(geometry, full)
        return sparse if sparse.stored_bytes < full.stored_bytes else full

    def leaf(self, weight: F32, geometry: Geometry, present: Mask | None, aim: _Aim | None) -> Leaf:
        """All levels of a weight; with a mask, those of the present positions matter only."""
        plain = self.plain_leaf(weight, geometry, present)
        if aim is None or isinstance(plain, Dense):
            return plain
        zeros = present if present is not None or (weight != 0).all() else weight != 0
        if isinstance(plain, Quantized) and plain.bits < 16:
            self.algorithms.append("gptq")
            return fit_integers(plain, aim.weight, aim.hessian, zeros)
        if isinstance(plain, Bitpacked):
            self.algorithms.append("gptq")
            return fit_signs(plain, aim.weight, aim.hessian, present if plain.levels == "binary" else zeros)
        if isinstance(plain, Codebook):
            self.algorithms.append("gptq")
            importance = np.broadcast_to(aim.importance, geometry.shape)
            weighted = self.plain_leaf(weight, geometry, present, importance)
            assert isinstance(weighted, Codebook)
            return fit_codebook((plain, weighted), aim.weight, aim.hessian, zeros)
        return plain

    def plain_leaf(
        self, weight: F32, geometry: Geometry, present: Mask | None, importance: F64 | None = None
    ) -> Leaf:
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
                           balanced=self.balanced, importance=importance)
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

    def binary(self, weight: F32, geometry: Geometry, present: Mask, aim: _Aim | None) -> Tree:
        """Two levels have no zero: zeros are kept by a mask where they were asked for or are many."""
        zeros = 1 - float(present.mean())
        if "pattern" in self.steps or zeros >= BINARY_ZEROS:
            return Sparse(geometry, present, self.leaf(weight, geometry, present, aim))
        leaf = self.leaf(weight, geometry, None, aim)
        self.notes.append(f"binary: {np.count_nonzero(~present)} zeros become positive")
        return leaf

    def skip(self, step: s.Step, why: str) -> None:
        """Notes that a step is left out."""
        self.notes.append(f"{step}: left out, {why}")
