"""Weights are never expanded: what opening and running takes is counted for every encoding (FORMAT.md section 4).

Memory is counted, not sampled: model and session live in blocks of exactly the size that was asked for beforehand,
and the allocator that they could turn to counts every call and gives nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import cmf
from cmf.container.weights import encode_constants
from cmf.container.writer import to_bytes
from cmf.encodings import ENCODINGS, Dct, LowRank, Tree, Winograd
from cmf.encodings.transient import transient_bytes
from cmf.ir.graph import Graph, Node, Value
from cmf.runtime import isa_levels
from cmf.runtime.library import check, ffi, isa_mask, lib, zstd

#: recipe -> encodings that it must have put into the wide layer
RECIPES: dict[str, set[str]] = {
    "f32": {"dense"}, "bf16": {"dense"}, "int8": {"quantized"}, "int3(group=32)": {"quantized"},
    "codebook(16)": {"codebook"}, "prune(0.8) + codebook(256)": {"sparse", "codebook"},
    "prune(0.9)": {"sparse", "dense"},
    "ternary": {"bitpacked"}, "binary": {"bitpacked"}, "svd(0.1) + int8": {"lowrank", "quantized"},
    "dct(16, 4) + int8": {"dct", "quantized"}, "winograd(2x2) + int8": {"winograd", "quantized"},
    "winograd(4x4)": {"winograd", "dense"}, "tucker(0.1)": {"lowrank", "dense"}, "int8 + zstd": {"quantized"},
    "int8 + a8(dynamic)": {"quantized"}, "int4 + a8(dynamic)": {"quantized"},
}
CHANNELS, OUTPUTS, SIDE = 128, 512, 6
DENSE_BYTES = 4 * CHANNELS * OUTPUTS * 9


def wide_graph(kind: str) -> Graph:
    """One layer of CHANNELS x OUTPUTS x 9 weights (2.4 MB as floats): a 3 x 3 convolution, a matrix or an embedding."""
    rng = np.random.default_rng(5)
    graph = Graph(name=kind)
    if kind == "conv":
        graph.values["x"] = Value("x", "f32", (1, SIDE, SIDE, CHANNELS))
        weight = rng.standard_normal((OUTPUTS, 3, 3, CHANNELS))
        options = {"pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1], "group": 1}
        node = Node("Conv", ["x", "w"], ["y"], options)
        graph.values["y"] = Value("y", "f32", (1, SIDE, SIDE, OUTPUTS))
    elif kind == "matmul":
        graph.values["x"] = Value("x", "f32", (2, 9 * CHANNELS))
        weight = rng.standard_normal((9 * CHANNELS, OUTPUTS))
        node = Node("MatMul", ["x", "w"], ["y"])
        graph.values["y"] = Value("y", "f32", (2, OUTPUTS))
    else:
        graph.values["x"] = Value("x", "i64", (3,))
        weight = rng.standard_normal((9 * OUTPUTS, CHANNELS))
        node = Node("Gather", ["w", "x"], ["y"], {"axis": 0})
        graph.values["y"] = Value("y", "f32", (3, CHANNELS))
    graph.values["w"] = Value("w", "f32", weight.shape, data=weight.astype(np.float32))
    graph.nodes, graph.inputs, graph.outputs = [node], ["x"], ["y"]
    return graph


@dataclass
class Counted:
    """A model and a session in memory of exactly the sizes asked for."""

    model_bytes: int
    session_bytes: int
    footprint: Any
    calls: list[int]
    transient: list[int]
    output: Any


def run_counted(data: bytes, level: str, given: Any, runs: int = 3) -> Counted:
    calls: list[int] = []

    @ffi.callback("void *(void *, size_t, size_t)")
    def allocate(_user: Any, size: int, _alignment: int) -> Any:
        calls.append(size)
        return ffi.NULL

    @ffi.callback("void(void *, void *, size_t)")
    def release(_user: Any, _pointer: Any, _size: int) -> None:
        raise AssertionError("nothing was allocated")

    allocator = ffi.new("cmf_allocator *", {"allocate": allocate, "release": release})
    file = ffi.new("char[]", data)
    error, needed = ffi.new("cmf_error *"), ffi.new("size_t *")

    opening = ffi.new("cmf_open_options *")
    lib.cmf_open_options_default(opening)
    opening.zstd, opening.allocator = zstd, allocator
    check(lib.cmf_model_memory(file, len(data), opening, needed, error), error)
    model_bytes = int(needed[0])
    model_block = np.empty(model_bytes + 64, np.uint8)
    opening.memory, opening.memory_size = _aligned(model_block), model_bytes
    model = ffi.new("cmf_model **")
    check(lib.cmf_model_open(file, len(data), opening, model, error), error)

    request = ffi.new("cmf_session_options *")
    lib.cmf_session_options_default(request)
    request.isa_mask, request.allocator = isa_mask(level), allocator
    request.allocator = ffi.NULL  # asking plans, which may borrow memory for as long as it takes
    check(lib.cmf_session_memory(model[0], request, needed, error), error)
    request.allocator = allocator
    session_bytes = int(needed[0])
    session_block = np.empty(session_bytes + 64, np.uint8)
    request.memory, request.memory_size = _aligned(session_block), session_bytes
    session, error = ffi.new("cmf_session **"), ffi.new("cmf_error *")
    check(lib.cmf_session_create(model[0], request, session, error), error)
    tensor, footprint = ffi.new("cmf_tensor *"), ffi.new("cmf_session_footprint *")
    given = np.ascontiguousarray(given)
    for _ in range(runs):
        check(lib.cmf_session_set_input(session[0], 0, ffi.from_buffer(given), given.nbytes, error), error)
        check(lib.cmf_session_run(session[0], error), error)
    check(lib.cmf_session_output(session[0], 0, tensor), None)
    output = np.frombuffer(ffi.buffer(tensor.data, tensor.size), np.float32).copy()
    lib.cmf_session_get_footprint(session[0], footprint)
    info = ffi.new("cmf_weight_info *")
    transient = []
    for index in range(lib.cmf_model_weight_count(model[0])):
        check(lib.cmf_model_weight(model[0], index, info), None)
        transient.append(int(info.transient_bytes))
    lib.cmf_session_close(session)
    lib.cmf_model_close(model)
    return Counted(model_bytes, session_bytes, footprint, calls, transient, output)


def _aligned(block: Any) -> Any:
    address = block.ctypes.data
    return ffi.cast("void *", address + -address % 64)


def inputs_of(kind: str) -> Any:
    rng = np.random.default_rng(6)
    if kind == "gather":
        return np.array([0, 17, 9 * OUTPUTS - 1], np.int64)
    shape = (1, SIDE, SIDE, CHANNELS) if kind == "conv" else (2, 9 * CHANNELS)
    return rng.standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def dense_scratch() -> dict[tuple[str, str], int]:
    """Scratch of the same layers with dense weights, less what reading a dense weight may take."""
    found = {}
    for kind in ("conv", "matmul", "gather"):
        file = to_bytes(encode_constants(wide_graph(kind)))
        for level in isa_levels():
            counted = run_counted(file, level, inputs_of(kind), runs=1)
            found[kind, level] = int(counted.footprint.scratch)
    return found


@functools.cache
def compressed(kind: str, recipe: str) -> tuple[Tree, bytes]:
    """The layer's tree by a recipe, and the file."""
    model, report = cmf.compress(cmf.Model(wide_graph(kind)), recipe)
    (tree,) = (value.tree for value in model.graph.values.values() if value.tree is not None)
    assert RECIPES[recipe] <= {part.encoding for part in tree.walk()}, report.layers[0].notes
    return tree, to_bytes(model.graph, codec=model.codec)


#: every recipe on every layer; these are for convolutions only
CASES = [(kind, recipe) for kind in ("conv", "matmul", "gather") for recipe in RECIPES
         if kind == "conv" or not recipe.startswith(("winograd", "tucker"))]


@pytest.mark.parametrize("level", isa_levels())
@pytest.mark.parametrize(("kind", "recipe"), CASES)
def test_weights_are_never_expanded(kind: str, recipe: str, level: str,
                                    dense_scratch: dict[tuple[str, str], int]) -> None:
    tree, file = compressed(kind, recipe)
    counted = run_counted(file, level, inputs_of(kind))
    footprint = counted.footprint

    assert counted.calls == [], "opening or running turned to the allocator"
    # what the file says of itself, what C says and what Python says are one formula
    assert counted.transient == [transient_bytes(tree)]
    # transient memory: what a dense weight would take as well, and what the weight's form adds
    allowed = counted.transient[0] + pointers(tree, kind) + dynamic_codes(recipe, kind)
    assert footprint.scratch <= dense_scratch[kind, level] + allowed
    assert 0 <= footprint.scratch_used <= footprint.scratch
    assert footprint.total == counted.session_bytes
    # and all of it together is far from the dense weight: tables, decoded zstd buffers, activations, scratch, copies
    inflated = tree.stored_bytes if "zstd" in recipe else 0
    assert counted.model_bytes - inflated < 16_384
    assert footprint.copies <= 65_536
    if kind != "gather":
        expanded = 4 * tree.filters.geometry.elements if isinstance(tree, Winograd) else DENSE_BYTES
        assert footprint.scratch + footprint.copies < expanded / 4


def pointers(tree: Tree, kind: str) -> int:
    """Lists of pointers that products and bases take beyond a dense weight (FORMAT.md section 4)."""
    taps = 9 if kind == "conv" else 1
    return 57_344 + 12_336 * taps if isinstance(tree, (LowRank, Dct, Winograd)) else 0


def dynamic_codes(recipe: str, kind: str) -> int:
    """int8_dynamic keeps the codes of its input, a scale for each row of it, and the sums of a tile's rows."""
    if "a8" not in recipe:
        return 0
    values = SIDE * SIDE * CHANNELS if kind == "conv" else 2 * 9 * CHANNELS
    rows = 1 if kind == "conv" else 2
    sums = 512 * 16 * 4  # i32 sums of a tile's rows
    return values + 64 + 64 * rows + 64 + sums + 8192


def test_every_encoding_is_counted() -> None:
    assert set().union(*RECIPES.values()) == {encoding.encoding for encoding in ENCODINGS}
