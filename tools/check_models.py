#!/usr/bin/env python3
"""Imports real networks and compares the reference evaluator with ONNX Runtime. For development.

    python tools/check_models.py FOLDER [NAME ...]

Needs onnx and onnxruntime. Checks every .onnx file of a folder (or those whose names contain NAME): lowers it,
evaluates it on random inputs (symbolic dimensions become 2, 3, ...), and prints the largest difference relative to the
output's scale, which may be 1e-4 for float networks. Networks that run as integers may differ by roundings, as ONNX
Runtime's own optimization levels do: their outputs may be four steps apart. Ends with 1 if a network is not within its
limit; unsupported ones are listed, and are failures if they were named.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cmf.errors import UnsupportedError  # noqa: E402
from cmf.frontend import load  # noqa: E402
from cmf.ir.graph import NUMPY_DTYPES, Graph  # noqa: E402
from cmf.passes.pipeline import lower  # noqa: E402
from cmf.reference import evaluate  # noqa: E402

FLOAT_LIMIT, STEP_LIMIT = 1e-4, 4


def random_inputs(graph: Graph, seed: int = 0) -> dict[str, Any]:
    """Normal floats, small non-negative integers (a mask of ones and zeros where the name says so)."""
    rng = np.random.default_rng(seed)
    sizes = {symbol: i + 2 for i, symbol in enumerate(graph.symbols())}
    inputs = {}
    for name in graph.inputs:
        value = graph.value(name)
        shape = [d if isinstance(d, int) else sizes[d] for d in value.shape or ()]
        if value.dtype == "f32":
            inputs[name] = rng.standard_normal(shape).astype(np.float32)
        else:
            inputs[name] = rng.integers(0, 2 if "mask" in name or "type" in name else 1000, shape).astype(
                NUMPY_DTYPES[value.dtype]
            )
        if "mask" in name and inputs[name].ndim == 2:
            inputs[name][:, 0] = 1
    return inputs


def output_step(graph: Graph, name: str) -> float | None:
    """The scale of the integers from which an output comes, None where it does not."""
    node = graph.producer(name)
    affine = graph.value(node.inputs[0]).affine if node is not None and node.op == "DequantizeLinear" else None
    return None if affine is None else affine.scale


def check(path: Path) -> bool:
    import onnxruntime as ort

    start = time.perf_counter()
    graph = lower(load(path))
    seconds = time.perf_counter() - start
    kinds = Counter(n.op if n.compute == "f32" else f"{n.op} ({n.compute})" for n in graph.nodes)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    print(f"{path.name}: {len(graph.nodes)} nodes in {seconds:.2f} s: {listed}")
    inputs = random_inputs(graph)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, inputs)
    found = evaluate(graph, inputs)
    fine = True
    for name, want in zip(graph.outputs, expected):
        difference, step = float(np.abs(found[name] - want).max()), output_step(graph, name)
        if step is not None:
            fits, text = difference <= (STEP_LIMIT + 0.5) * step, f"{difference / step:.1f} steps"
        else:
            scale = float(np.abs(want).max())
            fits, text = difference <= FLOAT_LIMIT * scale, f"{difference / scale:.1e} of the scale {scale:.3g}"
        print(f"    {name} {list(want.shape)}: differs by {text}{'' if fits else '  <-- TOO MUCH'}")
        fine &= fits
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares imported networks with ONNX Runtime.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="parts of file names; all files where none is given")
    given = parser.parse_args()
    paths = [p for p in sorted(given.folder.glob("*.onnx")) if not given.names or any(n in p.name for n in given.names)]
    if not paths:
        print(f"no .onnx file in {given.folder} has such a name")
        return 1
    fine = True
    for path in paths:
        try:
            fine &= check(path)
        except UnsupportedError as error:
            print(f"{path.name}: {error}")
            fine &= not given.names
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
