"""Converters of elementwise operators, products, norms and reductions."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np

from cmf.frontend.onnx_movers import reshape_to
from cmf.frontend.onnx_node import OnnxNode
from cmf.frontend.onnx_tensors import Array, dtype_name
from cmf.ir.graph import Dim


def unary(node: OnnxNode) -> None:
    node.arity(1, 1)
    node.result(node.op, [node.input(0)])


def binary(node: OnnxNode) -> None:
    node.arity(2, 2)
    node.result(node.op, [node.input(0), node.input(1)])


def mod(node: OnnxNode) -> None:
    fmod = node.flag("fmod", False)
    if fmod and node.dtype(node.input(0)) != "f32":
        raise node.unsupported("fmod = 1 is supported for f32 only")
    binary(node)


def variadic(op: str) -> Callable[[OnnxNode], None]:
    """Max, Min, Sum of any number of inputs, as a chain of two-input nodes."""

    def convert(node: OnnxNode) -> None:
        node.arity(1, None)
        names = [node.input(i) for i in range(len(node.inputs))]
        if len(names) == 1:
            node.alias(0, names[0])
            return
        total = names[0]
        for name in names[1:-1]:
            total = node.emit(op, [total, name])
        node.result(op, [total, names[-1]])

    return convert


def mean(node: OnnxNode) -> None:
    node.arity(1, None)
    names = [node.input(i) for i in range(len(node.inputs))]
    total = names[0]
    for name in names[1:]:
        total = node.emit("Add", [total, name])
    node.result("Mul", [total, node.add_constant(np.float32(1 / len(names)).reshape(()))])


def alias(node: OnnxNode) -> None:
    """Identity, and Dropout at inference."""
    if node.op == "Dropout":
        node.arity(1, 3)
        node.ignore("seed", "ratio")
        if node.has(2) and np.any(node.known(2, "training_mode")):
            raise node.unsupported("training_mode is not supported")
        node.one_output()
    node.alias(0, node.input(0))


def alpha_only(default: float) -> Callable[[OnnxNode], None]:
    def convert(node: OnnxNode) -> None:
        node.result(node.op, [node.input(0)], {"alpha": node.number("alpha", default)})

    return convert


def hard_sigmoid(node: OnnxNode) -> None:
    node.result("HardSigmoid", [node.input(0)], {"alpha": node.number("alpha", 0.2), "beta": node.number("beta", 0.5)})


def gelu(node: OnnxNode) -> None:
    tanh = node.choice("approximate", "none", ("none", "tanh")) == "tanh"
    node.result("Gelu", [node.input(0)], {"tanh": tanh})


def cast(node: OnnxNode) -> None:
    node.ignore("saturate", "round_mode")  # these concern 8-bit floats only
    dtype = dtype_name(node.integer("to"), f"Cast node {node.name!r}: the result")
    if node.dtype(node.input(0)) == dtype:
        node.alias(0, node.input(0))
    else:
        node.result("Cast", [node.input(0)], dtype=dtype)


def clip(node: OnnxNode) -> None:
    node.arity(1, 3)
    node.result("Clip", node.inputs)


def where(node: OnnxNode) -> None:
    node.arity(3, 3)
    node.result("Where", [node.input(i) for i in range(3)])


def softmax(node: OnnxNode) -> None:
    """Before opset 13 all dimensions from ``axis`` on were one."""
    x = node.input(0)
    shape = node.known_shape(x)
    if node.opset >= 13:
        node.result("Softmax", [x], {"axis": node.integer("axis", -1)})
        return
    axis = node.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise node.error(f"axis {axis} is outside a value of {len(shape)} dimensions")
    axis += len(shape) if axis < 0 else 0
    if axis == len(shape) - 1 or all(d == 1 for d in shape[axis + 1 :]):
        node.result("Softmax", [x], {"axis": axis})
        return
    flat = node.emit("Reshape", [x, node.add_constant(np.array([0] * axis + [-1], np.int64))])
    flat = node.emit("Softmax", [flat], {"axis": -1})
    dims: list[Dim | tuple[int]] = [(i,) for i in range(len(shape))]
    reshape_to(node, flat, x, dims)


def layer_normalization(node: OnnxNode) -> None:
    node.arity(2, 3)
    node.must_be("stash_type", 1)
    node.one_output()
    options = {"axis": node.integer("axis", -1), "epsilon": node.number("epsilon", 1e-5)}
    node.result("LayerNormalization", node.inputs, options)


def matmul(node: OnnxNode) -> None:
    node.arity(2, 2)
    node.result("MatMul", [node.input(0), node.input(1)])


def gemm(node: OnnxNode) -> None:
    """alpha A' B' + beta C as MatMul with a bias; transposes and factors go into constants where they can."""
    node.arity(2, 3)
    a, b, c = node.input(0), node.input(1), node.optional(2)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    for name in (a, b):
        if len(node.known_shape(name)) != 2:
            raise node.error(f"{name!r} must have 2 dimensions, it has shape {node.shape(name)}")
    if node.flag("transA", False):
        a = node.emit("Transpose", [a], {"perm": (1, 0)})
    if node.flag("transB", False):
        b = _transposed(node, b)
    if alpha != 1.0:
        data = node.constant(b)
        if data is not None and data.dtype == np.float32:
            b, alpha = node.derived(b, data * np.float32(alpha)), 1.0
    if c is not None and beta != 1.0:
        c = node.emit("Mul", [c, node.add_constant(np.float32(beta).reshape(()))]) if beta else None
    columns = node.known_shape(b)[1]
    bias = _bias_vector(node, c, columns) if c is not None and alpha == 1.0 else None
    if bias is not None:
        node.result("MatMul", [a, b, bias])
        return
    product = node.emit("MatMul", [a, b], output=0 if c is None and alpha == 1.0 else None)
    if alpha != 1.0:
        factor = node.add_constant(np.float32(alpha).reshape(()))
        product = node.emit("Mul", [product, factor], output=0 if c is None else None)
    if c is not None:
        node.result("Add", [product, c])


def _transposed(node: OnnxNode, name: str) -> str:
    data = node.importer.graph.value(name).data
    if data is None:
        return node.emit("Transpose", [name], {"perm": (1, 0)})
    return node.derived(name, np.ascontiguousarray(data.T))


def _bias_vector(node: OnnxNode, name: str, columns: Dim) -> str | None:
    """C as a vector of the product's columns, None where it is anything else."""
    shape = node.shape(name)
    if shape == (columns,):
        return name
    data = node.importer.graph.value(name).data
    if (
        data is not None
        and isinstance(columns, int)
        and data.ndim <= 2
        and data.dtype == np.float32
        and data.size in (1, columns)
    ):
        if data.ndim < 2 or data.shape[0] == 1:
            return node.derived(name, np.broadcast_to(data.reshape(-1), (columns,)).copy())
    return None


def reduce(node: OnnxNode) -> None:
    """Axes are an attribute, from opset 18 (ReduceSum: 13) an input; none means all, or nothing where so asked."""
    node.arity(1, 2)
    x = node.input(0)
    rank = len(node.known_shape(x))
    axes = node.integers("axes")
    if node.has(1):
        axes = node.known_ints(1, "axes")
    if not axes:
        if node.flag("noop_with_empty_axes", False):
            node.alias(0, x)
            return
        axes = list(range(rank))
    node.ignore("noop_with_empty_axes")
    if any(not -rank <= a < rank for a in axes):
        raise node.error(f"axes {axes} are outside a value of {rank} dimensions")
    options = {"axes": tuple(sorted({a % rank for a in axes})) if rank else (), "keepdims": node.flag("keepdims", True)}
    node.result(node.op, [x], options)


def global_max_pool(node: OnnxNode) -> None:
    x = node.input(0)
    if len(node.known_shape(x)) < 3:
        raise node.error(f"the input must have at least 3 dimensions, it has shape {node.shape(x)}")
    node.result("ReduceMax", [x], {"axes": tuple(range(2, len(node.known_shape(x)))), "keepdims": True})


def batch_normalization(node: OnnxNode) -> None:
    """At inference: a multiplication and an addition by channel (folded into convolutions later)."""
    node.arity(5, 5)
    node.ignore("momentum")
    node.must_be("training_mode", 0)
    node.one_output()
    epsilon = node.number("epsilon", 1e-5)
    scale, bias, average, variance = (
        node.known(i, what).astype(np.float64) for i, what in ((1, "scale"), (2, "B"), (3, "mean"), (4, "var"))
    )
    shape = node.known_shape(node.input(0))
    channels = scale.shape
    if any(p.shape != channels for p in (bias, average, variance)) or len(channels) != 1 or len(shape) < 2:
        raise node.error("scale, B, mean and var must be vectors of one length")
    if isinstance(shape[1], int) and shape[1] != channels[0]:
        raise node.error(f"the input has {shape[1]} channels, the parameters have {channels[0]}")
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + epsilon)
        offset = bias - average * factor
    if not (np.all(np.isfinite(factor)) and np.all(np.isfinite(offset))):
        raise node.error("the parameters give infinite factors")
    wide = (math.prod(channels),) + (1,) * (len(shape) - 2)

    def constant(array: Array, stem: str) -> str:
        return node.add_constant(array.astype(np.float32).reshape(wide), f"{node.name}/{stem}")

    scaled = node.emit("Mul", [node.input(0), constant(factor, "factor")])
    node.result("Add", [scaled, constant(offset, "offset")])


CONVERTERS = {
    **{
        op: unary
        for op in (
            "Relu",
            "Sigmoid",
            "Tanh",
            "Erf",
            "HardSwish",
            "Sqrt",
            "Exp",
            "Log",
            "Abs",
            "Neg",
            "Reciprocal",
            "Floor",
            "Ceil",
            "Not",
            "IsNaN",
        )
    },
    **{
        op: binary
        for op in (
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Pow",
            "And",
            "Or",
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
        )
    },
    **{op: reduce for op in ("ReduceMean", "ReduceSum", "ReduceMax")},
    "Max": variadic("Max"),
    "Min": variadic("Min"),
    "Sum": variadic("Add"),
    "Mean": mean,
    "Mod": mod,
    "Identity": alias,
    "Dropout": alias,
    "LeakyRelu": alpha_only(0.01),
    "HardSigmoid": hard_sigmoid,
    "Gelu": gelu,
    "Cast": cast,
    "Clip": clip,
    "Where": where,
    "Softmax": softmax,
    "LayerNormalization": layer_normalization,
    "MatMul": matmul,
    "Gemm": gemm,
    "GlobalMaxPool": global_max_pool,
    "BatchNormalization": batch_normalization,
}
