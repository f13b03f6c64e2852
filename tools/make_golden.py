#!/usr/bin/env python3
"""Writes ``tests/golden/encodings`` and the worked examples in section 3 of ``schema/FORMAT.md``.

    python tools/make_golden.py [NAME ...]            # write, all encodings or some
    python tools/make_golden.py --check [NAME ...]    # fail if anything committed differs

``<name>/NN.cmf`` holds one weight (a convolution's), ``<name>/NN.npy`` what it decodes to, ``index.json`` says what is
in which file. Nothing else writes these files: readers of all later versions must read them. The package must be
installed, or PYTHONPATH be the source folder.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from contract import weight_graph  # noqa: E402
from trees import cases  # noqa: E402

from cmf.container import to_bytes  # noqa: E402
from cmf.encodings import (  # noqa: E402
    ENCODINGS,
    Bitpacked,
    Codebook,
    Dct,
    Dense,
    Geometry,
    LowRank,
    Quantized,
    Sparse,
    Tree,
    Winograd,
    dct_transform,
    winograd_filters,
)
from cmf.encodings.tree import Parts, take_apart  # noqa: E402

FOLDER = ROOT / "tests" / "golden" / "encodings"
FORMAT = ROOT / "schema" / "FORMAT.md"

#: cases of tests/trees.py that are kept as files: every width, granularity, layout and child at least once
GOLDEN: dict[str, list[str]] = {
    "dense": ["f32-2x17x33r33", "f16-1x17x27r3", "bf16-3x20x80r40", "f32-1x1x1r1", "f16-1x17x9r9-rows"],
    "sparse": ["f32-1x10x27r27", "f16-2x17x33r33", "int8-1x17x27r3", "int3-2x17x33r33", "int16-1x40x24r8",
               "4bits-3x20x80r40", "binary-1x10x27r27", "int5-1x17x9r9-rows", "int4-group32-3x20x80r40",
               "int3-density0", "int3-density1"],
    "quantized": [*(f"int{b}-2x17x33r33" for b in (1, 2, 3, 4, 5, 6, 8, 16)), "int4-group32-3x20x80r40",
                  "int8-tensor-1x10x27r27", "int6-1x24x25r25-rows", "int4-channel-zeros-1x17x27r3", "int8-1x1x1r1"],
    "codebook": [*(f"{b}bits-1x17x27r3" for b in (1, 2, 3, 4, 5, 6)), "8bits-1x10x27r27", "4bits-i8-channel-2x17x33r33",
                 "5bits-f16-panels-1x40x24r8", "2bits-i8-panels-tensor-2x17x33r33", "3bits-1x44x1r1-rows"],
    "lowrank": ["svd-f32-2x17x33r33", "svd-int8-1x17x27r3", "svd-sparse-1x10x27r27", "tucker2-codebook",
                "svd-dct-sparse"],
    "dct": ["f32-1x17x27r3", "int8-2x17x33r33", "sparse-1x40x24r8", "codebook-1x17x9r9-rows", "blocks32x1",
            "blocks4x8"],
    "bitpacked": ["binary-2x17x33r33", "ternary-2x17x33r33", "binary-tensor-1x17x27r3", "ternary-tensor-1x10x27r27",
                  "ternary-1x24x25r25-rows"],
    "winograd": ["f32-2x2-10x3", "int8-4x4-10x3", "sparse-2x2-17x33", "codebook-4x4-1x1"],
}

#: relative to the largest magnitude: sums and cosines may be rounded otherwise on another machine
PRODUCT_TOLERANCE = 1e-6


# ---------------------------------------------------------------- worked examples


def example(name: str) -> Tree:
    """A tree small enough to print whole."""
    w = np.array([[[1, 2, 3], [-1, 0.5, 0]]], np.float32)
    g = Geometry(1, 2, 3, 3)
    half = np.full((1, 1, 1), 0.5, np.float32)
    if name == "dense":
        return Dense(g, w.astype(np.float16))
    if name == "quantized":
        return Quantized(g, (2 * w).astype(np.int8), np.array([0.5, 0.5], np.float32).reshape(1, 2, 1), 4)
    if name == "codebook":
        table = np.array([[-1, 0, 0.5, 1, 2, 3, 0, 0]], np.float32)
        return Codebook(g, np.array([[[3, 4, 5], [0, 2, 1]]], np.uint8), table, 3)
    if name == "bitpacked":
        return Bitpacked(g, np.array([[[1, 0, -1], [-1, 0, 1]]], np.int8), half, "ternary")
    if name == "sparse":
        return Sparse(g, w != 0, Quantized(g, (2 * w).astype(np.int8), half, 8))
    if name == "lowrank":
        b = Dense(Geometry(1, 1, 3, 3), np.array([[[1, 2, 3]]], np.float16))
        return LowRank(g, (b, Dense(Geometry(1, 2, 1, 1), np.array([[[1], [-2]]], np.float16))))
    if name == "dct":
        flat = np.array([[[1, 1, 1, 1], [1, 1, -1, -1]]], np.float32)
        g = Geometry(1, 2, 4, 4)
        coefficients = np.rint(1024 * dct_transform(flat, 4, 4, 1)) / 1024 + 0.0  # no last bits of a libm, no -0
        return Dct(g, Dense(g, coefficients.astype(np.float16)), 4, 1)
    spatial = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32).reshape(1, 3, 3, 1)
    u = winograd_filters(spatial, 2)
    filters = Quantized(Geometry(16, 1, 1, 1), (4 * u).astype(np.int8), np.full((1, 1, 1), 0.25, np.float32), 8)
    return Winograd(Geometry(1, 1, 9, 1), filters, 2)


def example_text(name: str) -> str:
    """The example as it stands in FORMAT.md."""
    tree = example(name)
    title = "U" if name == "winograd" else "W"
    lines = [f"Example: {tree.describe()}", "", "```", f"{title} = {_numbers(tree.decode())}"]
    lines += _tree_lines(take_apart(tree), "")
    return "\n".join([*lines, "```"])


def _numbers(array: np.ndarray) -> str:
    squeezed = array[0] if len(array) == 1 else array.reshape(4, 4)
    rows = [", ".join(f"{v:.6g}" for v in row) for row in squeezed]
    return "[" + ", ".join(f"[{row}]" for row in rows) + "]"


def _tree_lines(parts: Parts, path: str) -> Iterator[str]:
    g = parts.geometry
    fields = "".join(f", {key} {value}" for key, value in parts.fields.items() if value not in (0, "", None))
    yield (f"{path or 'root'}: {parts.encoding}, layout {parts.layout}, stack {g.stack}, outputs {g.outputs}, "
           f"inputs {g.inputs}, run {g.run}{fields}")
    for name, data in parts.spans.items():
        yield from _hex_lines(name, data)
    for name, child in parts.children.items():
        yield from _tree_lines(child, f"{path}.{name}" if path else name)


def _hex_lines(name: str, data: bytes) -> Iterator[str]:
    """16 bytes a row, in words; rows of zeros at the end are counted."""
    used = len(data.rstrip(b"\0"))
    shown = min(len(data), -(-used // 16) * 16)
    if len(data) - shown < 32:
        shown = len(data)
    for start in range(0, shown, 16):
        words = [data[at : at + 4].hex(" ") for at in range(start, min(start + 16, shown), 4)]
        yield f"  {name if start == 0 else '':8}{start:04x}  " + "  ".join(words)
    if shown < len(data):
        yield f"  {'' if shown else name:8}{shown:04x}  {len(data) - shown} zero bytes"


def with_examples(text: str, names: list[str]) -> str:
    """FORMAT.md with the examples of these encodings between their markers."""
    for name in names:
        begin, end = f"<!-- example {name} -->\n", f"<!-- end of example {name} -->"
        if begin not in text or end not in text:
            heading = next((h for h in text.split("\n") if h.startswith("### 3.") and h.endswith(f" {name}")), None)
            if heading is None:
                raise SystemExit(f"{FORMAT}: no section 3 heading for {name}")
            before, after = text.split(heading + "\n", 1)
            stops = [at for at in (after.find("\n### "), after.find("\n## ")) if at >= 0]
            stop = min(stops)
            text = f"{before}{heading}\n{after[:stop].rstrip()}\n\n{begin}{end}\n{after[stop:]}"
        head, rest = text.split(begin, 1)
        tail = rest.split(end, 1)[1]
        text = f"{head}{begin}{example_text(name)}\n{end}{tail}"
    return text


# ---------------------------------------------------------------- files


def golden_files(name: str) -> dict[str, bytes]:
    """The content of one encoding's folder by file name."""
    files: dict[str, bytes] = {}
    index: dict[str, str] = {}
    available = cases(name)
    for number, case in enumerate(GOLDEN[name]):
        tree = available[case]()
        files[f"{number:02}.cmf"] = to_bytes(weight_graph(tree), alignment=16, producer="make_golden")
        buffer = io.BytesIO()
        np.save(buffer, tree.decode())
        files[f"{number:02}.npy"] = buffer.getvalue()
        index[f"{number:02}"] = f"{case}: {tree.describe()}"
    files["index.json"] = (json.dumps(index, indent=1) + "\n").encode()
    return files


def same_content(name: str, one: bytes, other: bytes) -> bool:
    """Equal bytes; arrays of products and bases to rounding."""
    if one == other:
        return True
    if not name.endswith(".npy"):
        return False
    a, b = (np.load(io.BytesIO(data), allow_pickle=False) for data in (one, other))
    return bool(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=PRODUCT_TOLERANCE * np.abs(a).max()))


def check(names: list[str]) -> list[str]:
    """What committed files differ in."""
    wrong = []
    for name in names:
        wanted, folder = golden_files(name), FOLDER / name
        found = {path.name: path.read_bytes() for path in sorted(folder.glob("*"))} if folder.is_dir() else {}
        for file in sorted(wanted.keys() | found.keys()):
            if file not in found:
                wrong.append(f"{folder / file} is missing")
            elif file not in wanted:
                wrong.append(f"{folder / file} is nobody's")
            elif not same_content(file, found[file], wanted[file]):
                wrong.append(f"{folder / file} differs")
    text = FORMAT.read_text(encoding="utf-8")
    if with_examples(text, names) != text:
        wrong.append(f"{FORMAT}: the worked examples differ")
    return wrong


def write(names: list[str]) -> None:
    for name in names:
        folder = FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        wanted = golden_files(name)
        for path in folder.glob("*"):
            if path.name not in wanted:
                path.unlink()
        for file, content in wanted.items():
            path = folder / file
            if not path.exists() or not same_content(file, path.read_bytes(), content):
                path.write_bytes(content)
    text = FORMAT.read_text(encoding="utf-8")
    changed = with_examples(text, names)
    if changed != text:
        FORMAT.write_text(changed, encoding="utf-8")


def main() -> int:
    known = [cls.encoding for cls in ENCODINGS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; default all")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    arguments = parser.parse_args()
    names = arguments.names or known
    if unknown := [name for name in names if name not in known]:
        parser.error(f"unknown encoding {', '.join(unknown)}; there are {', '.join(known)}")
    if not arguments.check:
        write(names)
        return 0
    wrong = check(names)
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        print("run: python tools/make_golden.py", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
