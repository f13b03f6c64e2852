#!/usr/bin/env python3
"""Writes ``tests/golden/reject``: files that a reader must refuse, each with the status and a word of the message.

    python tools/make_reject.py            # write
    python tools/make_reject.py --check    # fail if a committed file is stale

A case is a small good file with one thing wrong. ``manifest.json`` says for each file at what level it is refused, with
which status, and what the message has to name. Files are made without the package's writer, which refuses
to write them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from rawfile import (  # noqa: E402
    Affine,
    Buffer,
    File,
    Span,
    Table,
    codebook,
    conv,
    conv_dense,
    dct,
    dense,
    ints,
    longs,
    lowrank,
    matmul,
    quantized,
    rows,
    sparse,
    ternary,
    tree,
    uints,
    unary,
    winograd,
)

from cmf.container._generated import enums  # noqa: E402

FOLDER = ROOT / "tests" / "golden" / "reject"


# ---------------------------------------------------------------- cases


@dataclass(frozen=True)
class Case:
    """``level``: the lowest one at which a reader refuses; ``names``: what its message says."""

    status: str
    what: str
    names: str
    make: Callable[[], bytes]
    level: str = "structure"

    @property
    def file(self) -> str:
        return f"{self.status}__{self.what}.cmf"


CASES: list[Case] = []


def case(status: str, names: str, level: str = "structure") -> Callable[[Callable[[], File | bytes]], None]:
    """Adds a case; the function's name is what is wrong."""

    def add(make: Callable[[], File | bytes]) -> None:
        def build() -> bytes:
            made = make()
            return made.pack() if isinstance(made, File) else made
        CASES.append(Case(status, make.__name__.replace("_", "-"), names, build, level))
    return add


def changed(f: File, **parts: Any) -> File:
    for name, value in parts.items():
        setattr(f, name, value)
    return f


def value(f: File, index: int, **fields: Any) -> File:
    f.values[index] = f.values[index].but(**fields)
    return f


def node(f: File, **fields: Any) -> File:
    f.nodes[0] = f.nodes[0].but(**fields)
    return f


# the frame

@case("E_TRUNCATED", "64")
def preamble_cut() -> bytes:
    return matmul().pack()[:40]


@case("E_TRUNCATED", "cut short")
def last_byte_missing() -> bytes:
    return matmul().pack()[:-1]


@case("E_METADATA", "more than its preamble says")
def byte_after_the_end() -> bytes:
    return matmul().pack() + b"\0"


@case("E_MAGIC", "not a CMF file")
def magic() -> File:
    return changed(matmul(), preamble={"magic": b"\x89CMF\n\n\x1a\n"})


@case("E_CHECKSUM", "preamble")
def preamble_checksum() -> File:
    return changed(matmul(), damage=lambda data: data.__setitem__(50, data[50] ^ 1))


@case("E_VERSION", "2.0")
def newer_major_version() -> File:
    return changed(matmul(), preamble={"major": 2})


@case("E_METADATA", "reserved")
def reserved_bytes() -> File:
    return changed(matmul(), preamble={"reserved": b"\0\0\0\0\0\0\0\1"})


@case("E_FEATURE", "feature 63")
def unknown_feature() -> File:
    return changed(matmul(), features=1 << 63)


@case("E_FEATURE", "rans")
def feature_rans() -> File:
    return changed(matmul(), features=2)


@case("E_METADATA", "alignment 24")
def alignment_24() -> File:
    return changed(matmul(), preamble={"alignment": 24})


@case("E_LIMIT", "2^30")
def metadata_too_large() -> File:
    return changed(matmul(), preamble={"metadata_size": (1 << 30) + 1})


@case("E_METADATA", "data section")
def data_offset_moved() -> File:
    f = matmul()
    return changed(f, preamble={"data_offset": 4096})


@case("E_TRUNCATED", "beyond the end")
def metadata_leaves_file() -> File:
    return changed(matmul(), preamble={"metadata_size": 65536 - 64, "data_offset": 65536})


@case("E_BUFFER", "padding between metadata and data")
def padding_after_metadata() -> bytes:
    data = bytearray(changed(matmul(), alignment=4096).pack())
    data[4095] = 1
    data[-32:] = hashlib.sha256(data[:-32]).digest()
    return bytes(data)


# checksums, level full

@case("E_CHECKSUM", "metadata", "full")
def metadata_checksum() -> File:
    return changed(matmul(), preamble={"crc": 1})


@case("E_CHECKSUM", "buffer 0", "full")
def buffer_checksum() -> File:
    return changed(matmul(), buffers=lambda b: [b[0]._replace(crc32c=1)])


@case("E_CHECKSUM", "SHA-256", "full")
def digest() -> File:
    return changed(matmul(), damage=lambda data: data.__setitem__(-1, data[-1] ^ 0x80))


# the FlatBuffer

def patched(f: File, change: Callable[[bytearray, int], None]) -> File:
    """``change`` gets the metadata and the position of its root table."""
    return changed(f, metadata=lambda data: change(data, struct.unpack_from("<I", data, 0)[0]))


def put(data: bytearray, form: str, at: int, number: int) -> None:
    struct.pack_into("<" + form, data, at, number)


def vtable(data: bytearray, table: int) -> int:
    return table - int(struct.unpack_from("<i", data, table)[0])


def slot(data: bytearray, table: int, field_id: int) -> int:
    return table + int(struct.unpack_from("<H", data, vtable(data, table) + 4 + 2 * field_id)[0])


def follow(data: bytearray, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


VALUES, NODES = 3, 4  # field ids of Model


@case("E_METADATA", "identifier")
def identifier() -> File:
    return patched(matmul(), lambda data, root: put(data, "I", 4, 0))


@case("E_METADATA", "8 bytes cannot be")
def metadata_of_8_bytes() -> File:
    return changed(matmul(), metadata=lambda data: data.__delitem__(slice(8, None)))


@case("E_METADATA", "root")
def root_outside() -> File:
    return patched(matmul(), lambda data, root: put(data, "I", 0, 0x7FFFFFFC))


@case("E_METADATA", "root")
def root_misaligned() -> File:
    return patched(matmul(), lambda data, root: put(data, "I", 0, root + 1))


@case("E_METADATA", "vtable")
def vtable_outside() -> File:
    return patched(matmul(), lambda data, root: put(data, "i", root, -(1 << 30)))


@case("E_METADATA", "leaves the block")
def table_size_outside() -> File:
    return patched(matmul(), lambda data, root: put(data, "H", vtable(data, root) + 2, 0xFFFF))


@case("E_METADATA", "Model.values")
def field_outside_its_table() -> File:
    return patched(matmul(), lambda data, root: put(data, "H", vtable(data, root) + 4 + 2 * VALUES, 0x1000))


@case("E_METADATA", "nodes")
def required_field_missing() -> File:
    return changed(matmul(), model={"nodes": None})


@case("E_METADATA", "Model.values")
def offset_zero() -> File:
    return patched(matmul(), lambda data, root: put(data, "I", slot(data, root, VALUES), 0))


@case("E_METADATA", "Model.values")
def vector_too_long() -> File:
    return patched(matmul(), lambda data, root: put(data, "I", follow(data, slot(data, root, VALUES)), 0x3FFFFFFF))


def name_of_value_0(data: bytearray, root: int) -> int:
    return follow(data, slot(data, follow(data, follow(data, slot(data, root, VALUES)) + 4), 0))


@case("E_METADATA", "Value.name")
def string_without_end() -> File:
    return patched(matmul(), lambda data, root: put(data, "I", name_of_value_0(data, root), 3000))


@case("E_METADATA", "Value.name")
def string_without_nul() -> File:
    return patched(matmul(), lambda data, root: put(data, "B", name_of_value_0(data, root) + 5, 1))


@case("E_LIMIT", "65535")
def string_too_long() -> File:
    return patched(matmul(), lambda data, root: put(data, "I", name_of_value_0(data, root), 70000))


@case("E_METADATA", "Node.options")
def union_without_value() -> File:
    return node(matmul(), options_type=1)


@case("E_METADATA", "encoding")
def union_without_type() -> File:
    f = matmul()
    return value(f, 1, tree=f.values[1].fields["tree"].but(encoding_type=0))


@case("E_VERSION", "Tree.encoding_type has id 99")
def unknown_encoding() -> File:
    f = matmul()
    return value(f, 1, tree=f.values[1].fields["tree"].but(encoding_type=99))


@case("E_VERSION", "Tree.layout has id 9")
def unknown_layout() -> File:
    f = matmul()
    return value(f, 1, tree=f.values[1].fields["tree"].but(layout=9))


@case("E_VERSION", "Node.op has id 900")
def unknown_op() -> File:
    return node(matmul(), op=900)


@case("E_VERSION", "ReduceOptions.keepdims has id 2")
def boolean_2() -> File:
    def patch(data: bytearray, root: int) -> None:
        options = follow(data, slot(data, follow(data, follow(data, slot(data, root, NODES)) + 4), 5))
        put(data, "B", slot(data, options, 1), 2)
    return patched(unary("ReduceMax", Table("ReduceOptions", keepdims=False)), patch)


def nested(f: File, levels: int) -> Table:
    inner = dense(f)
    for _ in range(levels):
        inner = dct(f, inner)
    return inner


@case("E_LIMIT", "nested deeper than 32")
def tables_too_deep() -> File:
    return matmul(lambda f: nested(f, 20))


@case("E_METADATA", "already in use")
def shared_tables() -> File:
    """A tree of 3^6 leaves out of 13 tables."""
    f = matmul()
    inner = f.values[1].fields["tree"]
    for _ in range(6):
        inner = tree(Table("LowRank", factors=[inner] * 3), 4, 8, layout="none")
    return value(f, 1, tree=inner)


# buffers

@case("E_BUFFER", "buffer 0 begins at 16")
def buffer_begins_late() -> File:
    return changed(matmul(), buffers=lambda b: [b[0]._replace(offset=16)])


@case("E_BUFFER", "buffer 1 begins at 0")
def buffers_overlap() -> File:
    return changed(matmul(), buffers=lambda b: [b[0], b[0]])


@case("E_BUFFER", "buffer 0")
def buffer_leaves_section() -> File:
    return changed(matmul(), buffers=lambda b: [b[0]._replace(stored_size=1 << 20, size=1 << 20)])


@case("E_BUFFER", "buffer 0")
def buffer_size_wraps() -> File:
    return changed(matmul(), buffers=lambda b: [b[0]._replace(stored_size=2**64 - 16, size=2**64 - 16)])


@case("E_BUFFER", "belong to no buffer")
def bytes_of_no_buffer() -> File:
    return changed(matmul(), tail=bytes(16))


@case("E_BUFFER", "padding before buffer 1")
def padding_between_buffers() -> File:
    f = matmul()
    f.pool += bytes(-len(f.pool) % 16)

    def split(b: list[Buffer]) -> list[Buffer]:
        return [b[0]._replace(offset=0, stored_size=b[0].size - 1, size=b[0].size - 1), Buffer(b[0].size, 16, 16, 0, 0)]
    f.pool[-1] = 1
    return changed(f, buffers=split, tail=bytes(16))


@case("E_BUFFER", "raw buffer 0 states two sizes")
def raw_buffer_of_two_sizes() -> File:
    return changed(matmul(), buffers=lambda b: [b[0]._replace(size=b[0].size + 1)])


@case("E_VERSION", "codec 9")
def unknown_codec() -> File:
    return changed(matmul(), buffers=lambda b: [b[0]._replace(codec=9)])


@case("E_FEATURE", "zstd")
def zstd_without_feature() -> File:
    return changed(matmul(), buffers=lambda b: [b[0]._replace(codec=1)])


@case("E_CODEC", "buffer 0")
def not_a_zstd_frame() -> File:
    return changed(matmul(), features=1, buffers=lambda b: [b[0]._replace(codec=1)])


@case("E_CODEC", "checksum")
def zstd_without_checksum() -> File:
    """A frame of one raw block (RFC 8878): single segment, content size in 4 bytes, no checksum."""
    f = matmul()
    size = len(f.pool)
    f.pool[:] = struct.pack("<IBI", 0xFD2FB528, 0xA0, size) + (size << 3 | 1).to_bytes(3, "little") + f.pool
    return changed(f, features=1, buffers=lambda b: [b[0]._replace(codec=1, size=size)])


@case("E_LIMIT", "max_resident")
def zstd_too_large() -> File:
    return changed(matmul(), features=1, buffers=lambda b: [b[0]._replace(codec=1, size=(1 << 30) + 1)])


# spans

def with_span(change: Callable[[Span], Span]) -> File:
    """The constant b's span changed."""
    f = matmul()
    return value(f, 2, data=change(f.values[2].fields["data"]))


@case("E_BUFFER", "no buffer 7")
def span_of_no_buffer() -> File:
    return with_span(lambda s: s._replace(buffer=7))


@case("E_BUFFER", "value 2 'b': data")
def span_outside() -> File:
    return with_span(lambda s: s._replace(offset=s.offset + 4))


@case("E_BUFFER", "outside buffer 0")
def span_size_wraps() -> File:
    return with_span(lambda s: s._replace(size=2**64 - s.offset))


@case("E_BUFFER", "not a multiple of 4")
def span_misaligned() -> File:
    f = with_span(lambda s: s._replace(offset=s.offset + 2))
    f.pool += bytes(8)
    return f


@case("E_BUFFER", "20 bytes for 4 elements")
def span_of_another_size() -> File:
    f = with_span(lambda s: s._replace(size=20))
    f.pool += bytes(8)
    return f


@case("E_LIMIT", "spans of all values")
def spans_shared_too_often() -> File:
    """600 constants, each the whole 32 KB: 19 MB of work for a file of 60 KB."""
    f = matmul()
    f.pool += bytes((1 << 15) - len(f.pool))
    constant = Table("Value", name=b"c", shape=longs(1 << 15), dtype=int(enums.DType.u8), data=Span(1 << 15, 0, 0))
    f.values += [constant.but() for _ in range(600)]
    return f


# values

@case("E_GRAPH", "value 0 'x': it has no dtype")
def value_without_dtype() -> File:
    return value(matmul(), 0, dtype=0)


@case("E_LIMIT", "rank 9")
def rank_9() -> File:
    return value(matmul(), 0, shape=longs(*[1] * 9))


@case("E_LIMIT", "dimension 1")
def dimension_too_large() -> File:
    return value(matmul(), 0, shape=longs(1, 1 << 31))


@case("E_GRAPH", "symbol 1 of 1")
def symbol_missing() -> File:
    return value(matmul(), 0, shape=longs(-2, 8))


@case("E_GRAPH", "data and a tree")
def constant_and_weight() -> File:
    f = matmul()
    return value(f, 1, data=f.values[2].fields["data"])


@case("E_GRAPH", "needs a shape")
def constant_without_shape() -> File:
    return value(matmul(), 2, shape=None)


@case("E_GRAPH", "symbolic")
def symbolic_constant() -> File:
    return value(matmul(), 2, shape=longs(-1))


@case("E_LIMIT", "2^40")
def constant_too_large() -> File:
    return value(matmul(), 2, shape=longs(1 << 30, 1 << 30, 1 << 30))


@case("E_LIMIT", "2^40")
def constant_whose_elements_wrap() -> File:
    """2^64 elements of no bytes."""
    return value(matmul(), 2, shape=longs(1 << 30, 1 << 10, 1 << 24), data=Span(0, 0, 0))


@case("E_GRAPH", "dtype f32")
def weight_of_another_dtype() -> File:
    return value(matmul(), 1, dtype=int(enums.DType.f16))


@case("E_GRAPH", "scale")
def scale_negative() -> File:
    return value(matmul(), 0, dtype=int(enums.DType.i8), affine=Affine(-1.0, 0))


@case("E_GRAPH", "scale")
def scale_not_a_number() -> File:
    return value(matmul(), 0, dtype=int(enums.DType.i8), affine=Affine(float("nan"), 0))


@case("E_GRAPH", "zero point 128")
def zero_point_out_of_range() -> File:
    return value(matmul(), 0, dtype=int(enums.DType.i8), affine=Affine(1.0, 128))


@case("E_GRAPH", "cannot have a scale")
def affine_of_floats() -> File:
    return value(matmul(), 0, affine=Affine(1.0, 0))


# trees

def tree_with(make: Callable[[File], Table] = dense, **fields: Any) -> File:
    return matmul(lambda f: make(f).but(**fields))


def encoding_with(make: Callable[[File], Table], **fields: Any) -> File:
    def made(f: File) -> Table:
        t = make(f)
        return t.but(encoding=t.fields["encoding"].but(**fields))
    return matmul(made)


@case("E_ENCODING", "none may be 0")
def tree_without_outputs() -> File:
    return tree_with(outputs=0)


@case("E_ENCODING", "run 3")
def run_does_not_divide() -> File:
    return tree_with(run=3)


@case("E_LIMIT", "beyond the limits")
def tree_too_large() -> File:
    return tree_with(stack=1 << 30, outputs=1 << 30, inputs=1 << 30, run=1 << 30)


@case("E_ENCODING", "shape of 32 elements")
def tree_of_another_size() -> File:
    return tree_with(outputs=8)


@case("E_ENCODING", "does not fit the weight's shape")
def tree_transposed() -> File:
    return matmul(lambda f: dense(f, 8, 4))


@case("E_ENCODING", "deeper than 4")
def tree_too_deep() -> File:
    return matmul(lambda f: nested(f, 4))


@case("E_ENCODING", "below it")
def dct_below_dct() -> File:
    return matmul(lambda f: nested(f, 2))


@case("E_ENCODING", "4 factors")
def four_factors() -> File:
    return matmul(lambda f: lowrank(f, *[dense(f, 4, 8)] * 4))


@case("E_ENCODING", "lowrank")
def one_factor() -> File:
    return matmul(lambda f: lowrank(f, dense(f, 4, 8)))


@case("E_ENCODING", "lowrank")
def factors_do_not_meet() -> File:
    return matmul(lambda f: lowrank(f, dense(f, 4, 8), dense(f, 4, 8)))


@case("E_ENCODING", "codes")
def codes_missing() -> File:
    return encoding_with(dense, codes=None)


@case("E_ENCODING", "dense")
def dense_of_integers() -> File:
    return encoding_with(dense, dtype=int(enums.DType.i8))


@case("E_ENCODING", "codes")
def codes_too_short() -> File:
    return encoding_with(dense, codes=Span(124, 0, 0))


@case("E_ENCODING", "layout")
def panel_without_layout() -> File:
    return tree_with(layout=0)


@case("E_ENCODING", "quantized")
def width_of_7_bits() -> File:
    return encoding_with(quantized, bits=7)


@case("E_ENCODING", "scales")
def too_few_scales() -> File:
    return encoding_with(quantized, granularity=0)


@case("E_ENCODING", "quantized")
def group_of_5_inputs() -> File:
    return encoding_with(quantized, granularity=2, group=5)


@case("E_ENCODING", "scale")
def weight_scale_infinite() -> File:
    return matmul(lambda f: tree(Table("Quantized", codes=f.span(bytes(32)),
                                       scales=f.span(struct.pack("<4f", 1, 1, float("inf"), 1))), 4, 8))


@case("E_ENCODING", "zero points")
def zeros_of_another_size() -> File:
    return encoding_with(quantized, zeros=Span(3, 0, 0))


@case("E_ENCODING", "table")
def table_too_short() -> File:
    return encoding_with(codebook, table=Span(60, 0, 0))


@case("E_ENCODING", "table")
def three_tables() -> File:
    return encoding_with(codebook, tables=3)


@case("E_ENCODING", "ternary", "full")
def ternary_code_minus_2() -> File:
    return matmul(lambda f: ternary(f, b"\2" + bytes(15)))


@case("E_ENCODING", "mask")
def mask_too_short() -> File:
    return matmul(lambda f: sparse(f, mask=bytes(8)))


@case("E_ENCODING", "mask")
def mask_beyond_the_outputs() -> File:
    return matmul(lambda f: sparse(f, mask=b"\0\0\1\0\0\0\0\0" * 2))


@case("E_ENCODING", "offset")
def offsets_begin_late() -> File:
    return matmul(lambda f: sparse(f, offsets=(1, 2)))


@case("E_ENCODING", "offsets")
def offsets_and_mask_disagree() -> File:
    return matmul(lambda f: sparse(f, mask=b"\xff\0\0\0\0\0\0\0" * 2))


@case("E_ENCODING", "values")
def values_without_tail() -> File:
    return matmul(lambda f: sparse(f, values=b"\1\1\0\0" + bytes(60)))


@case("E_ENCODING", "padding", "full")
def padding_after_values() -> File:
    return matmul(lambda f: sparse(f, values=b"\1\1\1\1" + bytes(64)))


@case("E_ENCODING", "dct")
def dct_block_3() -> File:
    return matmul(lambda f: dct(f, dense(f), input_block=3))


@case("E_ENCODING", "winograd")
def winograd_tile_3() -> File:
    return conv(lambda f: tree(Table("Winograd", tile=3, filters=dense(f, 4, 4, stack=25)), 4, 36, 4, layout="none"))


# nodes and the graph

@case("E_GRAPH", "input 1 is value 9 of 4")
def input_of_no_value() -> File:
    return node(matmul(), inputs=ints(0, 9, 2))


@case("E_GRAPH", "input 0 is value -2")
def input_negative() -> File:
    return node(matmul(), inputs=ints(-2, 1, 2))


@case("E_GRAPH", "not computed before it")
def input_from_later() -> File:
    return node(matmul(), inputs=ints(3, 1, 2))


@case("E_GRAPH", "output 0")
def output_is_a_constant() -> File:
    return node(matmul(), outputs=uints(2))


@case("E_GRAPH", "output 1")
def output_twice() -> File:
    return node(matmul(), outputs=uints(3, 3))


@case("E_GRAPH", "node 0 'fc': it has no op")
def no_op() -> File:
    return node(matmul(), op=0)


@case("E_GRAPH", "never written")
def value_never_written() -> File:
    f = matmul()
    f.values.append(Table("Value", name=b"orphan"))
    return f


@case("E_GRAPH", "model input 0")
def model_input_is_a_constant() -> File:
    return changed(matmul(), inputs=(2,))


@case("E_GRAPH", "model input 1")
def model_input_twice() -> File:
    return changed(matmul(), inputs=(0, 0))


@case("E_GRAPH", "model output 0")
def model_output_is_a_weight() -> File:
    return changed(matmul(), outputs=(1,))


@case("E_GRAPH", "model output 0 is value 4294967295 of 4")
def model_output_of_no_value() -> File:
    return changed(matmul(), outputs=(2**32 - 1,))


@case("E_LIMIT", "1025 inputs")
def node_of_1025_inputs() -> File:
    return node(matmul(), inputs=ints(*[0] * 1025))


@case("E_GRAPH", "options of type")
def options_of_another_op() -> File:
    return node(matmul(), options=Table("AxisOptions", axis=1))


@case("E_GRAPH", "strides")
def strides_of_length_3() -> File:
    return conv(conv_dense, strides=uints(1, 1, 1))


@case("E_LIMIT", "strides[1] is 0")
def stride_0() -> File:
    return conv(conv_dense, strides=uints(1, 0))


@case("E_LIMIT", "dilations[0]")
def dilation_too_large() -> File:
    return conv(conv_dense, dilations=uints(2**32 - 1, 1))


@case("E_GRAPH", "group is 0")
def group_0() -> File:
    return conv(conv_dense, group=0)


@case("E_GRAPH", "kernel size")
def pool_without_kernel() -> File:
    return unary("MaxPool", Table("PoolOptions", strides=uints(2, 2)))


@case("E_GRAPH", "perm")
def perm_names_an_axis_twice() -> File:
    return unary("Transpose", Table("TransposeOptions", perm=uints(0, 1, 1, 2)))


@case("E_GRAPH", "axis -9")
def axis_out_of_range() -> File:
    return unary("Softmax", Table("AxisOptions", axis=-9))


@case("E_LIMIT", "9 axes")
def nine_axes() -> File:
    return unary("ReduceSum", Table("ReduceOptions", axes=ints(*range(9))))


@case("E_GRAPH", "epsilon")
def epsilon_infinite() -> File:
    return unary("LayerNormalization", Table("NormOptions", epsilon=float("inf")))


@case("E_GRAPH", "clip")
def clip_upside_down() -> File:
    return unary("Relu", activation=2, activation_min=6.0, activation_max=0.0)


@case("E_GRAPH", "clip")
def clip_not_a_number() -> File:
    return unary("Relu", activation=2, activation_min=float("nan"), activation_max=0.0)


@case("E_GRAPH", "cannot take a weight")
def weight_as_a_bias() -> File:
    return node(matmul(), inputs=ints(0, 1, 1))


@case("E_GRAPH", "cannot take a weight")
def weight_of_relu() -> File:
    return node(matmul(), op=int(enums.Op.Add), inputs=ints(0, 1))


@case("E_SHAPE", "4 dimensions")
def conv_weight_of_rank_2() -> File:
    return conv(conv_dense, (4, 36))


@case("E_SHAPE", "3 groups")
def groups_do_not_divide() -> File:
    return conv(conv_dense, group=3)


@case("E_ENCODING", "group 2")
def tree_without_its_groups() -> File:
    return conv(conv_dense, group=2)


@case("E_ENCODING", "run 12")
def conv_run_of_a_row() -> File:
    return conv(lambda f: dense(f, 4, 36, 12))


@case("E_ENCODING", "layout rows is for depthwise")
def depthwise_in_lines() -> File:
    return conv(lambda f: quantized(f, 4, 9), (4, 3, 3, 1), group=4)


@case("E_ENCODING", "layout rows is for depthwise")
def matmul_in_rows() -> File:
    return matmul(lambda f: rows(f, 4, 8))


@case("E_ENCODING", "winograd needs")
def winograd_with_strides() -> File:
    return conv(winograd, strides=uints(2, 2))


@case("E_UNSUPPORTED", "axis 0")
def gather_from_columns() -> File:
    return node(matmul(), op=int(enums.Op.Gather), inputs=ints(1, 0), options=Table("AxisOptions", axis=1),
                activation=0)


# ---------------------------------------------------------------- files


def build() -> dict[str, bytes]:
    """Every file of the folder, by name."""
    files = {c.file: c.make() for c in CASES}
    if len(files) != len(CASES):
        raise SystemExit("two cases have one name")
    cases = sorted(CASES, key=lambda c: c.file)
    manifest = {c.file: {"level": c.level, "names": c.names, "status": c.status} for c in cases}
    files["manifest.json"] = (json.dumps(manifest, indent=1) + "\n").encode()
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed file is stale")
    check = parser.parse_args().check
    files = build()
    old = {p.name: p.read_bytes() for p in FOLDER.glob("*") if p.is_file()} if FOLDER.is_dir() else {}
    stale = sorted({name for name in files.keys() | old.keys() if files.get(name) != old.get(name)})
    for name in stale:
        print(f"{'stale' if check else 'wrote' if name in files else 'removed'}: {FOLDER.relative_to(ROOT) / name}")
        if check:
            continue
        FOLDER.mkdir(parents=True, exist_ok=True)
        if name in files:
            (FOLDER / name).write_bytes(files[name])
        else:
            (FOLDER / name).unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
