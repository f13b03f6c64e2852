"""The order of passes from a front end's graph to one that can be written. The graph is verified after every pass."""

from __future__ import annotations

from types import ModuleType

from cmf.errors import CmfError, UnsupportedError
from cmf.ir.graph import Graph
from cmf.ir.ops import describe
from cmf.ir.shapes import annotate
from cmf.ir.verify import verify
from cmf.passes import (
    channels_last,
    dead_code,
    fold_batch_norm,
    fold_constants,
    fold_pads,
    fuse_activations,
    fuse_bias,
    fuse_gelu,
    integers,
    merge_reshapes,
    merge_transposes,
    names,
    quantized_weights,
    remove_identities,
    remove_transposes,
    static_shapes,
)
from cmf.passes.rewrite import drop_unused_values, sort

PASSES: tuple[ModuleType, ...] = (
    dead_code,
    fold_constants,
    static_shapes,
    remove_identities,
    merge_transposes,
    fold_pads,
    fold_batch_norm,
    fuse_gelu,
    fuse_bias,
    channels_last,
    quantized_weights,
    fold_constants,
    remove_transposes,
    dead_code,
    merge_reshapes,
    remove_identities,
    fuse_bias,
    fuse_activations,
    fold_constants,
    integers,
    dead_code,
)


def lower(graph: Graph) -> Graph:
    """Turns a graph into an equivalent channels-last one for the container's writer, in place; returns it.

    Raises :class:`CmfError`, naming the pass where one breaks a rule.
    """
    annotate(graph)
    verify(graph)
    for module in PASSES:
        apply(graph, module)
    fold_constants.run(graph, keep_weights=False)
    apply(graph, dead_code)
    names.run(graph)
    _check_runnable(graph)
    return graph


def _check_runnable(graph: Graph) -> None:
    """Refuses what a front end may write but a file may not hold, where no pass could resolve it."""
    for node in graph.nodes:
        if node.op in ("QuantizeLinear", "DequantizeLinear"):
            value = graph.value(node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0])
            if len(node.inputs) > 1 or value.dtype != "i8":
                raise UnsupportedError(
                    f"{describe(node)}: is supported with a constant scale and zero point for the whole tensor, "
                    f"of 8 bits; not of {value.dtype} with {len(node.inputs)} inputs"
                )
        if node.op == "Conv" and not graph.value(node.inputs[1]).is_constant:
            raise UnsupportedError(f"{describe(node)}: the weight {node.inputs[1]!r} must be a constant")


def apply(graph: Graph, module: ModuleType) -> None:
    """Runs one pass and proves that the graph is still right."""
    try:
        module.run(graph)
        sort(graph)
        drop_unused_values(graph)
        annotate(graph)
        verify(graph)
    except CmfError as error:
        raise type(error)(f"{error} (after pass {module.__name__.rpartition('.')[2]})", error.code) from error
