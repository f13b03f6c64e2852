"""Runs a graph node by node in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cmf.errors import CmfError, GraphError, ShapeError, UnsupportedError
from cmf.ir.graph import NUMPY_DTYPES, Graph, Node, Value
from cmf.reference.call import Array, Call
from cmf.reference.integers import affine_of, apply_activation, dequantize, quantize
from cmf.reference.registry import operator

#: int8_static nodes that only move codes where all affines agree
MOVES = {"MaxPool", "Reshape", "Transpose", "Slice", "Gather", "Concat", "Identity", "Expand"}


def evaluate(graph: Graph, inputs: Mapping[str, Array], *, keep: bool = False) -> dict[str, Array]:
    """Runs a graph.

    ``inputs`` holds an array for each graph input, of its dtype and shape; they bind the symbolic dimensions.
    Returns the graph's outputs by name; with ``keep`` all activations, inputs included.
    Raises ShapeError and GraphError.
    """
    return Evaluator(graph).run(inputs, keep=keep)


def evaluate_node(
    node: Node, inputs: Mapping[str, Array], graph: Graph, decoded: dict[str, Array] | None = None
) -> dict[str, Array]:
    """Runs one node: ``inputs`` by value name (constants of the graph need not be given); returns outputs by name.

    ``decoded`` keeps decoded weights for further calls.
    """
    if len(node.outputs) != 1:
        raise UnsupportedError(f"{node.op} node {node.name!r} has {len(node.outputs)} outputs; only one is supported")
    values = tuple(graph.value(name) if name else None for name in node.inputs)
    arrays = tuple(None if v is None else _array(v, inputs) for v in values)
    call = Call(node, arrays, values, graph.value(node.outputs[0]), graph.layout,
                {} if decoded is None else decoded)
    with np.errstate(all="ignore"):
        try:
            return {node.outputs[0]: _run(call)}
        except CmfError as error:
            if call.where in str(error):
                raise
            raise type(error)(f"{call.where}: {error}") from error
        except (ValueError, IndexError, TypeError) as error:
            raise ShapeError(f"{call.where}: {error}") from error


class Evaluator:
    """A graph made ready for many runs: weights are decoded once. The graph must not change."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._decoded: dict[str, Array] = {}
        self._last: dict[str, int] = {}
        for index, node in enumerate(graph.nodes):
            self._last.update((name, index) for name in node.inputs)

    def run(self, inputs: Mapping[str, Array], *, keep: bool = False) -> dict[str, Array]:
        """See :func:`evaluate`."""
        graph = self.graph
        sizes: dict[str, int] = {}
        live: dict[str, Array] = {}
        for name in graph.inputs:
            if name not in inputs:
                raise GraphError(f"input {name!r} is missing; given: {', '.join(map(repr, inputs)) or 'none'}")
            live[name] = np.asarray(inputs[name])
            check(graph.value(name), live[name], sizes, f"input {name!r}")
        if unknown := [name for name in inputs if name not in graph.inputs]:
            raise GraphError(f"{unknown[0]!r} is not an input of the graph; inputs: {', '.join(graph.inputs)}")
        for index, node in enumerate(graph.nodes):
            for name, array in evaluate_node(node, live, graph, self._decoded).items():
                check(graph.value(name), array, sizes, f"output {name!r} of {node.op} node {node.name!r}")
                live[name] = array
            if not keep:
                for name in node.inputs:
                    if self._last[name] == index and name not in graph.outputs:
                        live.pop(name, None)
        if keep:
            return live
        return {name: _known(graph.value(name), live) for name in graph.outputs}


def check(value: Value, array: Array, sizes: dict[str, int], what: str) -> None:
    """Compares an array with its declaration and binds symbols; raises ShapeError."""
    if array.dtype.name != NUMPY_DTYPES[value.dtype]:
        raise ShapeError(f"{what} has dtype {array.dtype.name}, declared is {NUMPY_DTYPES[value.dtype]}")
    if value.shape is None:
        return
    if len(value.shape) != array.ndim:
        raise ShapeError(f"{what} has shape {array.shape}, declared is {value.shape}")
    for dim, size in zip(value.shape, array.shape, strict=True):
        expected = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
        if expected != size:
            bound = f" with {dim} = {expected}" if isinstance(dim, str) else ""
            raise ShapeError(f"{what} has shape {array.shape}, declared is {value.shape}{bound}")


def _array(value: Value, given: Mapping[str, Array]) -> Array | None:
    return None if value.tree is not None else _known(value, given)


def _known(value: Value, given: Mapping[str, Array]) -> Array:
    if value.name in given:
        return np.asarray(given[value.name])
    if value.data is not None:
        return value.data
    raise GraphError(f"value {value.name!r} has not been computed")


def _run(call: Call) -> Array:
    node, op = call.node, operator(call.node.op)
    if node.compute == "f32":
        return _finish(call, apply_activation(np.asarray(op.run(call)), node.activation))
    if node.requantize != "f32_rne":
        raise UnsupportedError(f"{call.where}: requantization {node.requantize!r} is not supported; supported: f32_rne")
    if node.compute == "int8_dynamic":
        if not hasattr(op, "run_dynamic"):
            raise UnsupportedError(f"{call.where}: int8_dynamic is for Conv and MatMul")
        return _finish(call, apply_activation(op.run_dynamic(call), node.activation))
    if node.compute != "int8_static":
        raise GraphError(f"{call.where}: unknown compute {node.compute!r}; known: f32, int8_static, int8_dynamic")
    if hasattr(op, "run_int8"):
        return np.asarray(op.run_int8(call))
    affine = affine_of(call.output)
    codes = [v is not None and v.dtype == "i8" and v.affine is not None for v in call.values]
    affines = [v.affine for v, is_code in zip(call.values, codes, strict=True) if is_code and v is not None]
    if node.op in MOVES and node.activation is None and all(a == affine for a in affines):
        return np.asarray(op.run(call))
    real = tuple(dequantize(a, v.affine) if is_code and a is not None and v is not None and v.affine is not None else a
                 for a, v, is_code in zip(call.arrays, call.values, codes, strict=True))
    result = op.run(replace(call, arrays=real))
    return quantize(apply_activation(result, node.activation), affine)


def _finish(call: Call, array: Array) -> Array:
    """Results of float operators may come in double precision: round them to what the output declares."""
    if array.dtype == np.float64 and call.output.dtype != "f64":
        return array.astype(NUMPY_DTYPES[call.output.dtype])
    return np.asarray(array)
