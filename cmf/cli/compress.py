"""``cmf compress``: a network in, one .cmf file out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cmf.cli.calibration import Pictures, read_calibration
from cmf.cli.console import bytes_text, err, out

if TYPE_CHECKING:
    from cmf.report import Report


class Numbers(click.ParamType[Any]):
    """One number, or three separated by commas (red, green, blue)."""

    name = "N or R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 3):
            self.fail(f"{value!r} is neither one number nor three separated by commas", param, ctx)
        return numbers


@click.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .cmf file to write.")
@click.option("-r", "--recipe", default="int8", show_default=True,
              help='What to do with the weights, e.g. "prune(0.8) + codebook(16)"; f32 keeps them as they are.')
@click.option("-c", "--calibration", type=click.Path(path_type=Path), metavar="DIR_OR_NPZ",
              help="Inputs to calibrate and measure with: a .npz by input name, or a folder of pictures or arrays.")
@click.option("--limit", type=click.IntRange(1), default=64, show_default=True, help="Files of the folder to use.")
@click.option("--resize", type=click.IntRange(1), help="Pictures: the shorter side, before the middle is cut out.")
@click.option("--mean", type=Numbers(), default=(0.0,), show_default="0", help="Pictures: subtracted from 0..255.")
@click.option("--std", type=Numbers(), default=(1.0,), show_default="1", help="Pictures: divided by, after the mean.")
@click.option("--bgr", is_flag=True, help="Pictures: blue first.")
@click.option("-q", "--quiet", is_flag=True, help="No report.")
def compress(source: Path, output: Path, recipe: str, calibration: Path | None, limit: int, resize: int | None,
             mean: tuple[float, ...], std: tuple[float, ...], bgr: bool, quiet: bool) -> None:
    """Compress the network IN (an ONNX file) by a recipe and write it."""
    if any(number == 0 for number in std):
        raise click.UsageError("--std must not be 0")
    import cmf
    from cmf.frontend import load
    from cmf.recipe import Recipe

    parsed = Recipe.parse(recipe)  # a wrong recipe is said before anything takes time
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err(), transient=True, disable=quiet or not sys.stderr.isatty()) as progress:
        graph = load(source)
        samples = None
        if calibration is not None:
            inputs = {name: graph.value(name).shape for name in graph.inputs}
            pictures = Pictures(mean, std, bgr, resize)
            samples = read_calibration(calibration, inputs, pictures, limit,
                                       lambda files: progress.track(files, description="calibration"))
        task = progress.add_task("compressing", total=None)

        def step(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=what)

        model, report = cmf.compress(graph, parsed, samples, progress=step)
    cmf.save(model, output)
    if not quiet:
        show(report, output, source)


def show(report: Report, output: Path, source: Path) -> None:
    """The report as a table."""
    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("layer", "encoding"):
        table.add_column(heading, overflow="fold")
    for heading in ("bits", "bytes", "weight SQNR", "output SQNR"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in report.layers:
        table.add_row(escape(layer.name), escape(layer.tree), f"{layer.bits:.2f}", bytes_text(layer.bytes),
                      _decibels(layer.weight_sqnr), _decibels(layer.output_sqnr))
    console = out()
    console.print(table)
    before, after = source.stat().st_size, output.stat().st_size
    console.print(f"{escape(str(output))}: {bytes_text(after)}, {before / after:.2f} times smaller than "
                  f"{escape(source.name)} ({bytes_text(before)})")


def _decibels(value: float | None) -> str:
    if value is None:
        return ""
    return "exact" if value == float("inf") else f"{value:.1f} dB"
