"""8-bit activations: which nodes compute on integers, with what scales, and the i32 biases that go with them.

FORMAT.md 5.2 says what the nodes then compute. Inputs and outputs of the graph stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from cmf.encodings import Quantized, Sparse, Tree
from cmf.encodings.base import F32
from cmf.ir.graph import Affine, Graph, Node, Value
from cmf.reference import Evaluator
from cmf.reference.weights import has_i8, i8_codes

Array = npt.NDArray[np.generic]
Range = tuple[float, float]

#: operators on integers besides Conv and MatMul, once all their data inputs are integers: those that move codes ...
MOVES = frozenset({"MaxPool", "Reshape", "Transpose", "Slice"})
#: ... those with one data input ...
UNARY = frozenset({"AveragePool", "GlobalAveragePool", "Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid",
                   "Sigmoid"})
#: ... and those of which all inputs are data
NARY = frozenset({"Add", "Sub", "Mul", "Concat"})

#: values looked at in one tensor of one calibration input, for percentiles
SAMPLE = 1 << 14
#: a bias has this much room in i32, and a unit this much finer than the output's where a channel has no weights
BIAS_LIMIT = 2.0**30
DEAD_UNIT = 2.0**-10


def observe(
    graph: Graph, inputs: Iterable[Mapping[str, Array]], percentile: float = 100.0,
    done: Callable[[int], None] = lambda count: None,
) -> dict[str, Range]:
    """The range of every f32 activation over some inputs: all of it, or the middle ``percentile`` percent."""
    evaluator = Evaluator(graph)
    low: dict[str, list[float]] = {}
    high: dict[str, list[float]] = {}
    samples: dict[str, list[Array]] = {}
    for count, given in enumerate(inputs, 1):
        for name, array in evaluator.run(given, keep=True).items():
            if array.dtype != np.float32 or not array.size:
                continue
            low.setdefault(name, []).append(float(array.min()))
            high.setdefault(name, []).append(float(array.max()))
            if percentile < 100:
                flat = array.reshape(-1)
                samples.setdefault(name, []).append(flat[:: max(1, flat.size // SAMPLE)])
        done(count)
    ranges = {name: (min(low[name]), max(high[name])) for name in low}
    for name, parts in samples.items():
        tail = (100 - percentile) / 2
        middle = np.percentile(np.concatenate(parts).astype(np.float64), [tail, 100 - tail])
        ranges[name] = (float(middle[0]), float(middle[1]))
    return ranges


def affine_for(low: float, high: float) -> Affine:
    """The i8 scale and zero point that cover a range and 0, which is exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255))
    if not np.isfinite(scale) or scale < np.finfo(np.float32).tiny:  # subnormal scales have too few digits
        return Affine(1.0, 0)
    return Affine(scale, int(np.clip(np.rint(-128 - low / scale), -128, 127)))


@dataclass
class Outcome:
    """What became of a graph: the i8 value of each activation that has one, and why weights stayed with floats."""

    codes: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def make_dynamic(graph: Graph, weights: set[str]) -> Outcome:
    """``int8_dynamic`` for the Conv and MatMul nodes with these weights, in place."""
    outcome = Outcome()
    for node in graph.nodes:
        if node.op in ("Conv", "MatMul") and node.compute == "f32" and node.inputs[1] in weights:
            tree = graph.value(node.inputs[1]).tree
            if tree is not None and has_i8(tree):
                node.compute = "int8_dynamic"
            else:
                outcome.notes[node.inputs[1]] = _no_codes(tree)
    return outcome


def make_static(graph: Graph, weights: set[str], ranges: Mapping[str, Range], others: bool = True) -> Outcome:
    """``int8_static`` for the Conv and MatMul nodes with these weights, in place, with scales from ``ranges``.

    ``others``: Add, pools and so on between them become integers too. QuantizeLinear and DequantizeLinear nodes stand
    where floats meet integers.
    """
    return _Static(graph, weights, ranges, others).run()


def _no_codes(tree: Tree | None) -> str:
    what = "a weight that is not encoded" if tree is None else tree.describe()
    return f"a8: left out, {what} has no 8-bit codes with a scale for the tensor or each channel"


class _Static:
    def __init__(self, graph: Graph, weights: set[str], ranges: Mapping[str, Range], others: bool) -> None:
        self.graph = graph
        self.weights = weights
        self.ranges = ranges
        self.others = others
        self.outcome = Outcome()
        self.nodes: list[Node] = []
        #: activations that exist as floats
        self.floats = set(graph.inputs)

    def run(self) -> Outcome:
        for node in self.graph.nodes:
            if not (self.product(node) or self.other(node)):
                node.inputs = [self.real(name) for name in node.inputs]
                self.floats.update(node.outputs)
                self.nodes.append(node)
        for name in self.graph.outputs:
            self.real(name)
        self.graph.nodes = self.nodes
        for name in set(self.outcome.codes) - self.floats:
            del self.graph.values[name]
        return self.outcome

    # ---------------------------------------------------------------- nodes

    def product(self, node: Node) -> bool:
        """Makes a Conv or MatMul compute on integers, where it can."""
        if node.op not in ("Conv", "MatMul") or node.compute != "f32" or node.inputs[1] not in self.weights:
            return False
        weight = self.graph.value(node.inputs[1])
        bias = self.graph.value(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else None
        why = self.obstacle(node, weight, bias)
        if why:
            self.outcome.notes[weight.name] = why
            return False
        assert weight.tree is not None
        affine = self.affine_of_input(node.inputs[0])
        result = affine_for(*self.ranges[node.outputs[0]])
        real = np.zeros(1) if bias is None or bias.data is None else bias.data.astype(np.float64).reshape(-1)
        tree = _with_room(weight.tree, real, affine.scale, result.scale)
        summed = _integer_bias(tree, real, affine)
        if summed is None:
            self.outcome.notes[weight.name] = "a8: left out, its sums do not fit 32 bits"
            return False
        if tree is not weight.tree:
            name = weight.name
            if sum(name in other.inputs for other in self.graph.nodes) > 1:
                name = self.graph.fresh(f"{name}_a8")
            self.graph.values[name] = replace(weight, name=name, tree=tree)
            weight = self.graph.values[name]
        stem = bias.name if bias is not None else f"{node.outputs[0]}_bias"
        summed_name = self.graph.constant(f"{stem}_i32", summed, "i32")
        self.emit(node, [self.code(node.inputs[0]), weight.name, summed_name], result)
        return True

    def obstacle(self, node: Node, weight: Value, bias: Value | None) -> str:
        """Why a Conv or MatMul cannot compute on integers; empty if it can."""
        if weight.tree is None or not has_i8(weight.tree):
            return _no_codes(weight.tree)
        if not self.can_code(node.inputs[0]) or node.outputs[0] not in self.ranges:
            return "a8: left out, no range is known for its input or output"
        if bias is not None and bias.data is None:
            return "a8: left out, its bias is not a constant"
        if node.op == "MatMul" and weight.tree.geometry.stack > 1:
            return "a8: left out, a stack of matrices has no common bias"
        return ""

    def other(self, node: Node) -> bool:
        """Makes a node between integers compute on them."""
        if not self.others or node.compute != "f32" or node.op not in MOVES | UNARY | NARY:
            return False
        data = node.inputs if node.op in NARY else node.inputs[:1]
        if not all(name in self.outcome.codes for name in data) or node.outputs[0] not in self.ranges:
            return False
        sources = [self.code(name) for name in data]
        moves = node.op in MOVES and node.activation is None
        affine = self.affine(sources[0]) if moves else affine_for(*self.ranges[node.outputs[0]])
        self.emit(node, sources + node.inputs[len(data) :], affine)
        return True

    def emit(self, node: Node, inputs: list[str], affine: Affine) -> None:
        output = node.outputs[0]
        self.outcome.codes[output] = self.new_codes(output, affine)
        self.nodes.append(replace(node, inputs=inputs, outputs=[self.outcome.codes[output]], compute="int8_static"))

    # ---------------------------------------------------------------- values

    def affine_of_input(self, name: str) -> Affine:
        """The affine that the i8 value of an activation has or will have."""
        return self.affine(self.outcome.codes[name]) if name in self.outcome.codes else affine_for(*self.ranges[name])

    def affine(self, name: str) -> Affine:
        affine = self.graph.value(name).affine
        assert affine is not None
        return affine

    def new_codes(self, name: str, affine: Affine) -> str:
        codes = self.graph.fresh(f"{name}_i8")
        self.graph.values[codes] = Value(codes, "i8", self.graph.value(name).shape, affine)
        return codes

    def can_code(self, name: str) -> bool:
        value = self.graph.value(name)
        return name in self.outcome.codes or (name in self.ranges and value.dtype == "f32" and not value.is_constant)

    def code(self, name: str) -> str:
        """The i8 value of an activation, made by a QuantizeLinear where there is none yet."""
        if name not in self.outcome.codes:
            self.outcome.codes[name] = self.new_codes(name, affine_for(*self.ranges[name]))
            codes = self.outcome.codes[name]
            self.nodes.append(Node("QuantizeLinear", [name], [codes], name=f"{name}_quantize"))
        return self.outcome.codes[name]

    def real(self, name: str) -> str:
        """The f32 value of an activation, made by a DequantizeLinear where there is none yet."""
        if name in self.outcome.codes and name not in self.floats:
            self.nodes.append(Node("DequantizeLinear", [self.outcome.codes[name]], [name], name=f"{name}_dequantize"))
            self.floats.add(name)
        return name


def _with_room(tree: Tree, bias: npt.NDArray[np.float64], input_scale: float, output_scale: float) -> Tree:
    """The tree with scales so large that every bias fits its i32 in units of input scale x weight scale.

    A channel without weights gets a scale that makes its unit a small part of the output's.
    """
    if not isinstance(tree.values if isinstance(tree, Sparse) else tree, Quantized):
        return tree
    codes, scales = i8_codes(tree)
    least = np.broadcast_to(np.abs(bias) / (input_scale * BIAS_LIMIT), scales.size).reshape(scales.shape)
    dead = ~codes.any(axis=2)
    wanted = np.where(dead, DEAD_UNIT * output_scale / input_scale, np.abs(scales))
    wanted = np.maximum(wanted, least).astype(np.float32)
    change = dead | (wanted > np.abs(scales))
    if _leaf(tree).scale_dtype == "f16":
        wanted = _next_half(wanted)
    return _rescaled(tree, np.where(change, wanted, scales).astype(np.float32)) if change.any() else tree


def _leaf(tree: Tree) -> Quantized:
    leaf = tree.values if isinstance(tree, Sparse) else tree
    assert isinstance(leaf, Quantized)
    return leaf


def _next_half(scales: F32) -> F32:
    """The least f16 numbers that are not smaller; f32 numbers where there are none."""
    with np.errstate(over="ignore"):
        half = scales.astype(np.float16)
        half = np.where(half.astype(np.float32) < scales, np.nextafter(half, np.float16(np.inf)), half)
    return np.where(np.isfinite(half), half.astype(np.float32), scales).astype(np.float32)


def _rescaled(tree: Tree, scales: F32) -> Tree:
    """The same numbers, as well as they can be said with other scales [S, O]."""
    if isinstance(tree, Sparse):
        values = _rescaled(tree.values, scales)
        assert isinstance(values, Quantized)
        return replace(tree, values=values)
    if not isinstance(tree, Quantized):
        return tree
    bound = 1 << (tree.bits - 1)
    wide = scales[:, :, None]
    codes = np.clip(np.rint(tree.decode() / wide), -bound, bound - 1).astype(np.int8)
    same = np.broadcast_to(tree.scales, wide.shape) == wide
    with np.errstate(over="ignore"):
        half = tree.scale_dtype == "f16" and bool((wide.astype(np.float16).astype(np.float32) == wide).all())
    return replace(tree, codes=np.where(same, tree.codes, codes), scales=wide, scale_dtype="f16" if half else "f32",
                   granularity="channel")


def _integer_bias(tree: Tree, bias: npt.NDArray[np.float64], affine: Affine) -> npt.NDArray[np.int32] | None:
    """``bias / (sx sw[o]) - zx sum_k w[o, k]`` as i32; None where a sum of the node could leave 32 bits."""
    codes, scales = i8_codes(tree)
    units = np.float64(np.float32(affine.scale)) * scales.reshape(-1).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = np.rint(bias / units)
    whole = np.where(units == 0, 0, whole)
    rows = codes.reshape(-1, tree.geometry.inputs).astype(np.int64)
    whole = whole - affine.zero_point * rows.sum(axis=1)
    if (np.abs(whole) + 128 * np.abs(rows).sum(axis=1) >= 2.0**31).any():
        return None
    return np.asarray(whole.astype(np.int32))
