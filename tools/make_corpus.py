#!/usr/bin/env python3
"""Writes ``tests/fuzz/corpus``: small good files from which fuzzing starts - every encoding, every operator.

    python tools/make_corpus.py            # write
    python tools/make_corpus.py --check    # fail if a committed file is stale

Files that fuzzing found are committed beside them under ``tests/fuzz/found`` and are not touched.
"""

from __future__ import annotations

import argparse
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from rawfile import GOOD, Affine, File, Table, floats, ints, longs, uints  # noqa: E402

from cmf.container._generated import enums  # noqa: E402

FOLDER = ROOT / "tests" / "fuzz" / "corpus"


@dataclass(frozen=True)
class Input:
    """An input of an operator: an activation, or a constant where ``data`` is given."""

    shape: tuple[int, ...]
    dtype: str = "f32"
    data: bytes | None = None
    affine: Affine | None = None


X = Input((1, 4, 4, 2))
CODES = Input((1, 4, 4, 2), "i8", affine=Affine(0.5, 3))
FLAGS = Input((1, 4, 4, 2), "boolean")


def numbers(*values: int) -> Input:
    """A constant i64 vector."""
    return Input((len(values),), "i64", struct.pack(f"<{len(values)}q", *values))


def scalar(value: int) -> Input:
    return Input((), "i64", struct.pack("<q", value))


def constant(*shape: int) -> Input:
    count = 1
    for dim in shape:
        count *= dim
    return Input(shape, "f32", floats(count))


def options(table: str, **fields: Any) -> Table:
    return Table(table, **fields)


#: file -> op, inputs, options, type of the output
OPS: dict[str, tuple[str, list[Input], Table | None, str]] = {
    **{op.lower(): (op, [X], None, "f32") for op in (
        "Relu", "Sigmoid", "Tanh", "Erf", "Gelu", "HardSwish", "Sqrt", "Exp", "Log", "Abs", "Neg", "Reciprocal",
        "Floor", "Ceil", "Identity", "GlobalAveragePool")},
    **{op.lower(): (op, [X, constant(4, 1)], None, "f32")
       for op in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mod")},
    **{op.lower(): (op, [X, X], None, "boolean")
       for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")},
    **{op.lower(): (op, [FLAGS, FLAGS], None, "boolean") for op in ("And", "Or")},
    **{op.lower(): (op, [X], options("ReduceOptions", axes=ints(1, 2)), "f32")
       for op in ("ReduceMean", "ReduceSum", "ReduceMax")},
    **{op.lower(): (op, [X], options("PoolOptions", kernel=uints(2, 2), pads=uints(1, 0, 0, 1)), "f32")
       for op in ("MaxPool", "AveragePool")},
    "not": ("Not", [FLAGS], None, "boolean"),
    "isnan": ("IsNaN", [X], None, "boolean"),
    "clip": ("Clip", [X, constant(), constant()], None, "f32"),
    "hardsigmoid": ("HardSigmoid", [X], options("AlphaOptions", alpha=0.2, beta=0.5), "f32"),
    "leakyrelu": ("LeakyRelu", [X], options("AlphaOptions", alpha=0.1), "f32"),
    "softmax": ("Softmax", [X], options("AxisOptions", axis=-1), "f32"),
    "layernorm": ("LayerNormalization", [X, constant(2), constant(2)], options("NormOptions", axis=-1), "f32"),
    "concat": ("Concat", [X, X], options("AxisOptions", axis=3), "f32"),
    "slice": ("Slice", [X, numbers(3), numbers(-9), numbers(1), numbers(-1)], None, "f32"),
    "gather": ("Gather", [X, numbers(3, 0, -1)], options("AxisOptions", axis=1), "f32"),
    "gather-indices": ("Gather", [constant(7, 3), Input((1, 5), "i64")], options("AxisOptions", axis=0), "f32"),
    "gathernd": ("GatherND", [Input((4, 4, 2)), Input((3, 2), "i64")], None, "f32"),
    "reshape": ("Reshape", [X, numbers(0, -1, 2)], None, "f32"),
    "transpose": ("Transpose", [X], options("TransposeOptions", perm=uints(0, 3, 1, 2)), "f32"),
    "expand": ("Expand", [constant(4, 1), numbers(2, 1, 3)], None, "f32"),
    "pad": ("Pad", [X, numbers(0, 1, 2, 0, 0, 0, 1, 0)], options("PadOptions", mode=1), "f32"),
    "resize": ("Resize", [X, numbers(1, 7, 3, 2)], options("ResizeOptions", mode=1, coordinates=2), "f32"),
    "shape": ("Shape", [X], options("ShapeOptions", start=1), "i64"),
    "range": ("Range", [scalar(1), scalar(9), scalar(2)], None, "i64"),
    "cast": ("Cast", [X], None, "i64"),
    "where": ("Where", [FLAGS, X, constant(2)], None, "f32"),
    "quantize": ("QuantizeLinear", [X], None, "i8"),
    "dequantize": ("DequantizeLinear", [CODES], None, "f32"),
    "add-int8": ("Add", [CODES, CODES], None, "i8"),
    "averagepool-int8": ("AveragePool", [CODES], options("PoolOptions", kernel=uints(3, 3), strides=uints(1, 1)), "i8"),
}


def op_file(op: str, inputs: list[Input], table: Table | None, dtype: str) -> bytes:
    f = File()
    for index, given in enumerate(inputs):
        data = f.span(given.data) if given.data is not None else None
        f.values.append(Table("Value", name=b"x%d" % index, shape=longs(*given.shape),
                              dtype=int(enums.DType[given.dtype]), affine=given.affine, data=data))
    result = len(f.values)
    affine = Affine(0.25, -5) if dtype == "i8" else None
    f.values.append(Table("Value", name=b"y", dtype=int(enums.DType[dtype]), affine=affine))
    integer = dtype == "i8" and op not in ("QuantizeLinear", "DequantizeLinear")
    f.nodes = [Table("Node", op=int(enums.Op[op]), inputs=ints(*range(result)), outputs=uints(result), options=table,
                     compute=int(integer))]
    f.inputs = tuple(i for i, given in enumerate(inputs) if given.data is None)
    f.outputs = (result,)
    return f.pack()


def build() -> dict[str, bytes]:
    files = {f"{name}.cmf": make().pack() for name, make in GOOD.items()}
    files.update({f"op-{name}.cmf": op_file(*case) for name, case in OPS.items()})
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
