"""``cmf inspect``: what is in a file, and what each weight costs where."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from cmf.cli.console import bytes_text, out

if TYPE_CHECKING:
    from cmf.container import Container
    from cmf.ir.graph import Graph, Value


@dataclass(frozen=True)
class WeightRow:
    """One weight. Bytes: ``encoded`` of its spans; ``flash``: their share of the file; ``resident``: in memory once the
    file is open, where a buffer was compressed; ``transient``: the most that one thread needs while it computes.

    Spans that weights share count for each of them, so sums may exceed the file's totals.
    """

    name: str
    ops: list[str]
    tree: str
    shape: list[int]
    parameters: int
    encoded: int
    flash: int
    resident: int
    transient: int

    @property
    def bits(self) -> float:
        """Encoded bits for each parameter."""
        return 8 * self.encoded / self.parameters if self.parameters else 0.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(file: Path, as_json: bool) -> None:
    """Show FILE: header, graph, and for each weight its tree of encodings, bits, and bytes in flash and memory."""
    facts = describe(file)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        show(facts)


def describe(file: Path) -> dict[str, Any]:
    """All facts about a file as plain JSON values. Raises CmfError for a file that is not valid."""
    from cmf.container import Container
    from cmf.runtime import File

    opened = File(file)
    container = Container(file, verify=False)
    graph = container.graph()
    rows = [_row(value, graph, container, transient) for value, transient in _weights(graph, opened)]
    constants = [v for v in graph.values.values() if v.data is not None]
    encoded = container.stored_bytes()
    preamble = container.preamble
    return {
        "file": str(file),
        "format": ".".join(map(str, preamble.version)),
        "producer": container.producer,
        "features": container.features,
        "alignment": preamble.alignment,
        "bytes": {
            "file": opened.file_bytes,
            "metadata": preamble.metadata_size,
            "data": sum(buffer.stored_size for buffer in container.buffers),
            "resident": opened.resident_bytes,
        },
        "graph": {
            "name": graph.name,
            "inputs": [_tensor(info) for info in opened.inputs],
            "outputs": [_tensor(info) for info in opened.outputs],
            "nodes": len(graph.nodes),
            "ops": dict(Counter(node.op for node in graph.nodes).most_common()),
            "compute": dict(Counter(node.compute for node in graph.nodes).most_common()),
            "metadata": dict(graph.metadata),
        },
        "constants": {"count": len(constants), "encoded": sum(encoded.get(v.name, 0) for v in constants)},
        "weights": [{**asdict(row), "bits": round(row.bits, 4)} for row in rows],
        "totals": {
            "weights": len(rows),
            "parameters": sum(row.parameters for row in rows),
            "encoded": sum(row.encoded for row in rows),
            "bits": round(8 * sum(r.encoded for r in rows) / max(1, sum(r.parameters for r in rows)), 4),
            "transient": max((row.transient for row in rows), default=0),
        },
    }


def _weights(graph: Graph, opened: Any) -> list[tuple[Value, int]]:
    """The weights in file order with the transient bytes that the C library states."""
    values = [value for value in graph.values.values() if value.tree is not None]
    return [(value, info.transient_bytes) for value, info in zip(values, opened.weights(), strict=True)]


def _row(value: Value, graph: Graph, container: Container, transient: int) -> WeightRow:
    assert value.tree is not None
    spans = [span for span in container.spans() if span.owner == value.name]
    flash, resident = 0.0, 0
    for span in spans:
        buffer = container.buffers[span.buffer]
        flash += span.size * buffer.stored_size / buffer.size if buffer.size else 0
        resident += span.size if buffer.codec != "raw" else 0
    shape = [int(d) for d in value.shape or ()]
    parameters = 1
    for dim in shape:
        parameters *= dim
    ops = sorted({node.op for node in graph.nodes if value.name in node.inputs})
    return WeightRow(value.name, ops, value.tree.describe(), shape, parameters, sum(span.size for span in spans),
                     round(flash), resident, transient)


def _tensor(info: Any) -> dict[str, Any]:
    affine = None if info.affine is None else {"scale": info.affine[0], "zero_point": info.affine[1]}
    shape = None if info.shape is None else list(info.shape)
    return {"name": info.name, "dtype": info.dtype.name, "shape": shape, "affine": affine}


def _table(rows: list[dict[str, Any]], wide: bool) -> Table:
    """A line for each weight; where there is little room, without what can be spared."""
    columns: list[tuple[str, Any]] = [
        ("weight", lambda row: escape(row["name"])),
        ("op", lambda row: ", ".join(row["ops"])),
        ("encoding", lambda row: escape(row["tree"])),
        ("shape", lambda row: "x".join(map(str, row["shape"]))),
        ("bits", lambda row: f"{row['bits']:.2f}"),
        *((key, lambda row, key=key: bytes_text(row[key])) for key in ("encoded", "flash", "resident", "transient")),
    ]
    columns = [column for column in columns if wide or column[0] not in ("op", "shape", "encoded")]
    table = Table(box=SIMPLE, pad_edge=False)
    for heading, _ in columns:
        words = heading in ("weight", "op", "encoding", "shape")
        table.add_column(heading, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in rows:
        table.add_row(*(cell(row) for _, cell in columns))
    return table


def show(facts: dict[str, Any]) -> None:
    """The same for people."""
    console, sizes, graph, totals = out(), facts["bytes"], facts["graph"], facts["totals"]
    features = ", ".join(facts["features"]) or "none"
    console.print(f"[bold]{escape(facts['file'])}[/]  CMF {facts['format']}, written by "
                  f"{escape(facts['producer']) or 'unknown'}, features: {features}, alignment {facts['alignment']}")
    console.print(f"file {bytes_text(sizes['file'])} = metadata {bytes_text(sizes['metadata'])} + data "
                  f"{bytes_text(sizes['data'])}; open: {bytes_text(sizes['resident'])} resident")
    ops = ", ".join(f"{count} {op}" for op, count in graph["ops"].items())
    console.print(f"graph {escape(repr(graph['name']))}: {graph['nodes']} nodes ({ops})")
    for kind in ("inputs", "outputs"):
        for tensor in graph[kind]:
            shape = "[...]" if tensor["shape"] is None else "[" + ", ".join(map(str, tensor["shape"])) + "]"
            console.print(f"  {kind[:-1]} {escape(tensor['name'])}: {tensor['dtype']} {escape(shape)}")
    if facts["weights"]:
        console.print(_table(facts["weights"], console.width >= 110))
    console.print(f"{totals['weights']} weights, {totals['parameters']:,} parameters, {bytes_text(totals['encoded'])} "
                  f"encoded, {totals['bits']:.2f} bits each; {facts['constants']['count']} constants, "
                  f"{bytes_text(facts['constants']['encoded'])}; at most {bytes_text(totals['transient'])} transient "
                  "a thread")
