"""``cmf bench``: where the time of a file goes, node by node."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from cmf.cli.console import bytes_text, out
from cmf.cli.run import random_input
from cmf.errors import CmfError

if TYPE_CHECKING:
    from cmf.runtime import NodeInfo, TensorInfo
    from cmf.runtime.limits import Limits

#: methods that do all the multiply-adds that ``work`` counts; others do fewer, and have no percentage
_PLAIN = ("row", "rows", "taps", "patches", "depthwise", "activations")
_WARM_UP = 3


@dataclass(frozen=True)
class NodeTime:
    """A node and its median time. ``of_limit``: the least time that the machine's limits allow, in percent of it."""

    node: NodeInfo
    ms: float
    share: float
    of_limit: float | None

    @property
    def moved(self) -> int:
        return self.node.weight_bytes + self.node.input_bytes + self.node.output_bytes

    @property
    def gops(self) -> float | None:
        """10^9 operations a second (two a multiply-add) of Conv and MatMul."""
        return 2 * self.node.work / self.ms * 1e-6 if self.node.compute and self.ms else None

    @property
    def gbs(self) -> float | None:
        """10^9 bytes a second, read and written."""
        return self.moved / self.ms * 1e-6 if self.node.runs and self.ms else None

    @property
    def way(self) -> str:
        return ", ".join(t for t in (self.node.compute, self.node.method, self.node.weights) if t)


@dataclass(frozen=True)
class Times:
    """Milliseconds. ``open``, ``plan``, ``first``: once, in this order, the first thing done with the file.

    ``runs``: whole runs, warm. ``by_node``: [runs, nodes], the same network run node by node, in turns with them.
    """

    open: float
    plan: float
    first: float
    runs: np.ndarray[Any, np.dtype[np.float64]]
    by_node: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def cold(self) -> float:
        return self.open + self.plan + self.first

    @property
    def median(self) -> float:
        return float(np.median(self.runs))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--runs", type=click.IntRange(1), default=30, show_default=True, help="Runs to take the median of.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--isa", help="Force an instruction set: scalar, avx2, avx512, neon, neon_dot.")
@click.option("--policy", type=click.Choice(["compact", "fast"]), default="compact", show_default=True,
              help="compact: compute from the file's bytes only; fast: may keep copies.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME=1x3x224x224",
              help="The shape of an input; dimensions that the file leaves open are 1 otherwise.")
@click.option("--limits/--no-limits", default=True, show_default=True,
              help="Measure what the machine reaches (about a second), for the column 'of limit'.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(file: Path, runs: int, threads: int, isa: str | None, policy: str, shapes: tuple[str, ...], limits: bool,
          as_json: bool) -> None:
    """Time FILE on random inputs: each node, a warm run, and the cold start (open, plan, first run).

    'of limit' is for f32 products: the time that numpy's BLAS would need for as many operations, or to read as many
    bytes out of a block as large as this run reads, in percent of the time taken.
    """
    from cmf.runtime import File
    from cmf.runtime import limits as machine

    start = time.perf_counter()
    opened = File(file)
    opening = _since(start)
    chosen = _shapes(opened.inputs, shapes)
    arrays = {info.name: random_input(np.random.default_rng(0), replace(info, shape=chosen[info.name]), {})
              for info in opened.inputs}
    session = opened.session(threads=threads, isa=isa, policy=policy)
    start = time.perf_counter()
    plan = session.plan(**chosen)
    planning = _since(start)
    for name, array in arrays.items():
        plan.input(name)[:] = array
    start = time.perf_counter()
    plan.run()
    first = _since(start)
    nodes = plan.nodes()
    whole, parts = np.zeros(runs), np.zeros((runs, len(nodes)))
    for k in range(-_WARM_UP, runs):
        start = time.perf_counter()
        plan.run()
        took, by_node = _since(start), plan.run_nodes()
        if k >= 0:
            whole[k], parts[k] = took, by_node * 1e-6
    times = Times(opening, planning, first, whole, parts)
    read = sum(n.weight_bytes + n.input_bytes for n in nodes if n.runs)
    ruler = machine.measure(threads, read) if limits else None
    rows = node_times(nodes, times, ruler)
    facts = {"file": str(file), "file_bytes": opened.file_bytes, "isa": plan.isa, "threads": threads, "policy": policy,
             "runs": runs, "shapes": {name: list(shape) for name, shape in chosen.items()}}
    if as_json:
        click.echo(json.dumps(as_dict(facts, rows, times, ruler), indent=2))
        return
    show(facts, rows, times, ruler)


def node_times(nodes: tuple[NodeInfo, ...], times: Times, ruler: Limits | None) -> list[NodeTime]:
    medians = np.median(times.by_node, axis=0)
    total = float(medians.sum())
    return [NodeTime(node, ms, ms / total if total else 0.0, _of_limit(node, ms, ruler))
            for node, ms in zip(nodes, map(float, medians))]


def _of_limit(node: NodeInfo, ms: float, ruler: Limits | None) -> float | None:
    if ruler is None or node.compute != "f32" or node.method not in _PLAIN or not ms:
        return None
    least = max(2 * node.work / ruler.f32_ops, (node.weight_bytes + node.input_bytes) / ruler.read_bytes)
    return 1e5 * least / ms


def as_dict(facts: dict[str, Any], rows: list[NodeTime], times: Times, ruler: Limits | None) -> dict[str, Any]:
    return {
        **facts,
        "cold_ms": {"open": times.open, "plan": times.plan, "first_run": times.first, "total": times.cold},
        "warm_ms": {"median": times.median, "min": float(times.runs.min())},
        "by_node_ms": float(np.median(times.by_node.sum(axis=1))),
        "limits": ruler and asdict(ruler),
        "nodes": [{**asdict(r.node), "ms": r.ms, "share": r.share, "gops": r.gops, "gbs": r.gbs,
                   "percent_of_limit": r.of_limit} for r in rows],
    }


def show(facts: dict[str, Any], rows: list[NodeTime], times: Times, ruler: Limits | None) -> None:
    table = Table(box=SIMPLE, pad_edge=False)
    limited = any(row.of_limit is not None for row in rows)
    columns = ["node", "op", "way", "ms", "share", "GFLOP/s", "GB/s", *(["of limit"] if limited else []), "read"]
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index > 2 else "left", overflow="fold")
    silent = 0
    for index, row in enumerate(rows):
        if not row.node.runs:
            silent += 1
            continue
        limit = [_number(row.of_limit, "{:.0f} %")] if limited else []
        table.add_row(escape(row.node.name) or f"#{index}", row.node.op, row.way, f"{row.ms:.4f}", f"{row.share:.1%}",
                      _number(row.gops), _number(row.gbs), *limit,
                      bytes_text(row.node.weight_bytes + row.node.input_bytes))
    console = out()
    console.print(table)
    if silent:
        console.print(f"nodes that do not run: {silent} (known beforehand, or their inputs under another shape)")
    console.print(f"warm run    {times.median:.4f} ms median, {times.runs.min():.4f} ms min of {len(times.runs)}; "
                  f"node by node {np.median(times.by_node.sum(axis=1)):.4f} ms")
    console.print(f"cold start  {times.cold:.3f} ms = open {times.open:.3f} + plan {times.plan:.3f} + first run "
                  f"{times.first:.3f}: {times.cold / times.median:.2f} warm runs")
    console.print(f"{bytes_text(facts['file_bytes'])} file, {facts['isa']}, {facts['threads']} thread"
                  f"{'s' if facts['threads'] > 1 else ''}, policy {facts['policy']}")
    if limited and ruler is not None:
        console.print(f"limits      {ruler.f32_ops * 1e-9:.0f} GFLOP/s (numpy's f32 matrix product), "
                      f"{ruler.read_bytes * 1e-9:.0f} GB/s (its reads out of {bytes_text(ruler.block_bytes)})")


def _shapes(inputs: tuple[TensorInfo, ...], given: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    told: dict[str, tuple[int, ...]] = {}
    for item in given:
        name, _, shape = item.rpartition("=")
        sizes = shape.split("x") if shape else []
        if not name or not all(size.isdecimal() for size in sizes):
            raise click.UsageError(f"--shape takes NAME=1x3x224x224, not {item!r}")
        told[name] = tuple(map(int, sizes))
    unknown = set(told) - {info.name for info in inputs}
    if unknown:
        expected = "; ".join(map(str, inputs)) or "no inputs"
        raise CmfError(f"no input is called {min(unknown)!r}; the model expects: {expected}")
    for info in inputs:
        if info.name not in told:
            if info.shape is None:
                raise CmfError(f"the shape of input {info.name!r} is not known; give it with --shape {info.name}=...")
            told[info.name] = tuple(1 if isinstance(d, str) else d for d in info.shape)
    return told


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


def _number(value: float | None, form: str = "{:.1f}") -> str:
    return "" if value is None else form.format(value)
