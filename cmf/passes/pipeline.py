"""The order of passes from a front end's graph to one that can be written. The graph is verified after every pass."""

from __future__ import annotations

from types import ModuleType

from cmf.errors import CmfError
from cmf.ir.graph import Graph
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
    return graph


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
