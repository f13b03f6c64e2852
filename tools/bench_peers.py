#!/usr/bin/env python3
"""Times CMF beside other runtimes on the same networks.

    tools/bench_peers.py [NET.onnx ...] [--nets a,b] [--int8] [--json OUT]

Each peer lives in a virtual environment of its own, which this makes. Each measurement is a fresh process
(bench_peer.py); peers take turns, round by round, so that a machine that drifts drifts for all; a figure is the median
over the rounds of the processes' medians. One thread, and two beside it. The first output is compared with
onnxruntime's: what differs by more than 1 % of its largest number (25 % where the network is quantized) is shown with
a "!" and is nobody's best.

What cannot be installed, converted or run is listed with its reason. A .tflite beside an .onnx of the same name is used
for litert, which reads nothing else: converting takes TensorFlow, and is left to the user.

Needs this package with its extra `test` (onnx; onnxruntime for --int8).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from bench_networks import NETWORKS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"onnxruntime": ["onnxruntime"], "openvino": ["openvino"], "mnn": ["MNN"], "ncnn": ["ncnn"],
            "litert": ["ai-edge-litert"]}
#: pnnx converts for ncnn; what it would pull in is for PyTorch only
ALONE = {"ncnn": ["pnnx"]}
OURS = ("cmf", "cmf_fast")
DTYPES = {1: np.float32, 7: np.int64, 6: np.int32, 9: np.bool_}
LIMIT = 900  # seconds for anything


class Missing(Exception):
    """Why there is no figure."""


def call(command: list[Any], **more: Any) -> str:
    try:
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=LIMIT, **more)
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise Missing(str(cause)) from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if line.strip()]
        raise Missing(lines[-1].strip()[-160:] if lines else f"ended with {done.returncode}")
    return str(done.stdout)


class Bench:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.envs, self.work = Path(options.envs).resolve(), Path(options.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.absent: dict[str, str] = {}  # peer, or "peer net" -> why
        self.versions: dict[str, str] = {}

    # ------------------------------------------------------------ peers

    def python(self, peer: str) -> Path:
        return Path(sys.executable) if peer in OURS else self.envs / peer / "bin" / "python"

    def install(self, peer: str) -> None:
        if peer in OURS:
            return
        python = self.python(peer)
        if not (self.envs / peer / "ready").exists():
            print(f"installing {peer} in {self.envs / peer}", file=sys.stderr)
            venv.create(self.envs / peer, with_pip=True, clear=True)
            pip = [python, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
            call([*pip, "numpy", *PACKAGES[peer]])
            if peer in ALONE:
                call([*pip, "--no-deps", *ALONE[peer]])
            (self.envs / peer / "ready").touch()
        ask = f"import importlib.metadata as m; print(m.version({PACKAGES[peer][0]!r}))"
        self.versions[peer] = call([python, "-c", ask]).strip()

    # ------------------------------------------------------------ networks

    def inputs(self, path: Path, model: onnx.ModelProto) -> Path:
        """Random inputs (open dimensions are 1; integers are 0 or 1) in a .npz, in the network's order."""
        rng, weights = np.random.default_rng(0), {w.name for w in model.graph.initializer}
        arrays: dict[str, Any] = {}
        for info in model.graph.input:
            if info.name in weights:
                continue
            kind = info.type.tensor_type
            shape = [d.dim_value or 1 for d in kind.shape.dim]
            if kind.elem_type not in DTYPES:
                raise Missing(f"input {info.name} has ONNX type {kind.elem_type}")
            dtype = DTYPES[kind.elem_type]
            numbers = rng.standard_normal(shape) if dtype is np.float32 else rng.integers(0, 2, shape)
            arrays[info.name] = numbers.astype(dtype)
        target = self.work / f"{path.stem}.npz"
        np.savez(target, **arrays)
        return target

    def quantize(self, path: Path) -> Path:
        """A copy quantized by onnxruntime: QDQ, per channel, activations from random inputs (u8: its own fastest)."""
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        with np.load(self.inputs(path, onnx.load(path))) as file:
            first = {name: file[name] for name in file.files}

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            left = 4

            def get_next(self) -> dict[str, Any] | None:
                Reader.left -= 1
                if Reader.left < 0:
                    return None
                rng = np.random.default_rng(Reader.left)
                return {n: rng.standard_normal(x.shape).astype(x.dtype) for n, x in first.items()}

        target = self.work / f"{path.stem}_int8.onnx"
        quantize_static(path, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8)
        return target

    def convert(self, peer: str, path: Path, inputs: Path) -> Path:
        """The network as the peer reads it."""
        if peer in ("onnxruntime", "openvino"):
            return path
        base = self.work / path.stem
        if peer in OURS:
            target = base.with_suffix(".cmf")
            call([sys.executable, "-c", "import cmf, sys; cmf.save(*sys.argv[1:])", path, target])
        elif peer == "mnn":
            target = base.with_suffix(".mnn")
            call([self.envs / peer / "bin" / "mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", target,
                  "--bizCode", "bench"])
        elif peer == "ncnn":
            return self._pnnx(path, inputs)
        else:
            target = path.with_suffix(".tflite")
            if not target.exists():
                raise Missing("no .tflite beside it; converting from ONNX needs TensorFlow (onnx2tf)")
        if not target.exists():
            raise Missing("its converter writes nothing")
        return target

    def _pnnx(self, path: Path, inputs: Path) -> Path:
        folder = self.work / f"{path.stem}_ncnn"
        folder.mkdir(exist_ok=True)
        copy = folder / "net.onnx"
        shutil.copy(path, copy)
        with np.load(inputs) as file:
            arrays = [file[name] for name in file.files]
        kinds = {"f": "f32", "i": "i64", "b": "bool"}
        shapes = ["[" + ",".join(map(str, a.shape)) + "]" + kinds[a.dtype.kind] for a in arrays]
        programs = list((self.envs / "ncnn").glob("lib/python3*/site-packages/pnnx/pnnx"))
        if not programs:
            raise Missing("the package pnnx holds no program for this machine")
        call([programs[0], copy, f"inputshape={','.join(shapes)}", "fp16=0"], cwd=folder)
        target = folder / "net.ncnn.param"
        if not target.exists():
            raise Missing("pnnx writes nothing")
        if any(line.startswith(("aten::", "pnnx.", "onnx", "nn.", "F.", "torch."))
               for line in target.read_text(encoding="utf-8", errors="replace").splitlines()):
            raise Missing("pnnx leaves operators that ncnn does not have")
        return target

    # ------------------------------------------------------------ measuring

    def measure(self, peer: str, model: Path, inputs: Path, threads: int) -> dict[str, Any]:
        output = self.work / f"{inputs.stem}_{peer}.npy"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        printed = call([self.python(peer), ROOT / "tools" / "bench_peer.py", peer, model, inputs, output, threads,
                        self.options.seconds], env=environment)
        return dict(json.loads(printed.splitlines()[-1]))

    def error(self, peer: str, inputs: Path) -> float | None:
        """Largest difference from onnxruntime's output, as a part of its largest number."""
        files = [self.work / f"{inputs.stem}_{p}.npy" for p in (peer, "onnxruntime")]
        if not all(f.exists() for f in files):
            return None
        got, expected = (np.load(f).astype(np.float64).ravel() for f in files)
        if got.size != expected.size:
            return math.inf
        found = float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-30))
        return math.inf if math.isnan(found) else found

    def run(self) -> dict[str, Any]:
        options = self.options
        peers = []
        for peer in options.peers.split(","):
            try:
                self.install(peer)
                peers.append(peer)
            except Missing as cause:
                self.absent[peer] = f"cannot be installed: {cause}"
        nets: dict[str, tuple[bool, Path, dict[str, Path]]] = {}
        for path in self.paths():
            model = onnx.load(path)
            quantized = any(n.op_type == "QuantizeLinear" for n in model.graph.node)
            inputs, ways = self.inputs(path, model), {}
            for old in self.work.glob(f"{inputs.stem}_*.npy"):
                old.unlink()
            for peer in peers:
                try:
                    ways[peer] = self.convert(peer, path, inputs)
                except Missing as cause:
                    self.absent[f"{peer} {path.stem}"] = f"cannot be converted: {cause}"
            nets[path.stem] = (quantized, inputs, ways)
        found: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for turn in range(options.rounds):
            for net, (_, inputs, ways) in nets.items():
                print(f"round {turn + 1} of {options.rounds}: {net}", file=sys.stderr)
                for threads in options.threads:
                    for peer, converted in list(ways.items()):
                        try:
                            measured = self.measure(peer, converted, inputs, threads)
                            found.setdefault((net, peer, threads), []).append(measured)
                        except Missing as cause:
                            self.absent[f"{peer} {net}"] = f"cannot run: {cause}"
                            del ways[peer]
        rows = []
        for (net, peer, threads), figures in found.items():
            quantized, inputs, _ = nets[net]
            error = self.error(peer, inputs)
            rows.append({"net": net, "quantized": quantized, "peer": peer, "threads": threads, "error": error,
                         "valid": error is None or error <= (0.25 if quantized else 0.01),
                         **{f"{k}_ms": statistics.median(f[k] for f in figures) for k in ("median", "min", "cold")},
                         "rounds_ms": [f["median"] for f in figures]})
        load = os.getloadavg() if hasattr(os, "getloadavg") else None
        return {"versions": self.versions, "rounds": options.rounds, "load_at_end": load, "figures": rows,
                "absent": self.absent}

    def paths(self) -> list[Path]:
        paths = []
        nets = self.options.nets
        names = list(NETWORKS) if nets == "all" else [n for n in nets.split(",") if n]
        for name in names:
            if name not in NETWORKS:
                sys.exit(f"no network is called {name!r}; there are: {', '.join(NETWORKS)}")
            path = self.work / f"{name}.onnx"
            if not path.exists():
                onnx.save(NETWORKS[name]().model(), path)
            paths.append(path)
        paths += [Path(p).resolve() for p in self.options.files]
        if self.options.int8:
            paths += [self.quantize(p) for p in paths[:len(names)]]
        return paths


def show(result: dict[str, Any]) -> None:
    rows = result["figures"]
    for key, title in (("median_ms", "one warm run"), ("cold_ms", "load and first run")):
        for quantized in (False, True):
            for threads in sorted({r["threads"] for r in rows}):
                part = [r for r in rows if r["threads"] == threads and r["quantized"] == quantized]
                if part:
                    kind = "int8" if quantized else "f32"
                    _table(f"{title}, ms, {threads} thread{'s' * (threads > 1)}, {kind}", part, key)
    for what, why in result["absent"].items():
        print(f"absent: {what}: {why}")
    print("versions: " + ", ".join(f"{p} {v}" for p, v in result["versions"].items()))


def _table(title: str, rows: list[dict[str, Any]], key: str) -> None:
    peers = list(dict.fromkeys(r["peer"] for r in rows))
    nets = list(dict.fromkeys(r["net"] for r in rows))
    cell = {(r["net"], r["peer"]): r for r in rows}
    wide = max(14, *map(len, nets)) + 1
    print(f"\n{title}\n{'':{wide}}" + "".join(f"{p:>13}" for p in peers) + f"{'ours/best':>11}")
    logs: list[float] = []
    for net in nets:
        line = f"{net:{wide}}"
        for peer in peers:
            r = cell.get((net, peer))
            line += f"{'-':>13}" if r is None else f"{r[key]:>12.4g}{' ' if r['valid'] else '!'}"
        ours, theirs = ([r[key] for p in peers if (r := cell.get((net, p))) and r["valid"] and (p in OURS) == mine]
                        for mine in (True, False))
        if ours and theirs:
            logs.append(math.log(min(ours) / min(theirs)))
            line += f"{math.exp(logs[-1]):>11.2f}"
        print(line)
    if logs:
        title = "geometric mean of ours / best peer"
        print(f"{title:{wide + 13 * len(peers)}}{math.exp(statistics.fmean(logs)):>11.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="NET.onnx")
    parser.add_argument("--nets", help=f"built networks, or 'all' (the default without files): {', '.join(NETWORKS)}")
    parser.add_argument("--int8", action="store_true", help="also the built networks quantized by onnxruntime")
    parser.add_argument("--peers", default=",".join(["cmf", *PACKAGES]), help=f"of {', '.join([*OURS, *PACKAGES])}")
    parser.add_argument("--threads", type=lambda t: [int(n) for n in t.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of timed runs in a process")
    parser.add_argument("--envs", default=ROOT / "build" / "peers", help="where the environments are")
    parser.add_argument("--work", default=ROOT / "build" / "bench", help="where networks and inputs go")
    parser.add_argument("--json", metavar="OUT", help="write all figures")
    options = parser.parse_args()
    if options.nets is None:
        options.nets = "" if options.files else "all"
    unknown = set(options.peers.split(",")) - {*OURS, *PACKAGES}
    if unknown:
        parser.error(f"no peer is called {min(unknown)!r}; there are: {', '.join([*OURS, *PACKAGES])}")
    result = Bench(options).run()
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1), encoding="utf-8")
    show(result)


if __name__ == "__main__":
    main()
