"""``cmf compress``: a network in, one .cmf file out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cmf.cli.console import bytes_text, err, out
from cmf.errors import ShapeError

if TYPE_CHECKING:
    from cmf.calibration import Images
    from cmf.ir.graph import Graph


class Numbers(click.ParamType[Any]):
    """One number, or three separated by commas (one for each channel)."""

    name = "N or N,N,N"

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
              help="Example inputs, to find ranges and measure errors with: a .npz (by input name), a .npy, "
                   "or a folder of pictures.")
@click.option("--mean", type=Numbers(), help="Pictures: input = (pixel - MEAN) / STD, pixels 0 to 255.")
@click.option("--std", type=Numbers(), help="Pictures: see --mean.")
@click.option("--bgr", is_flag=True, help="Pictures: blue first.")
@click.option("--resize", type=click.IntRange(1), help="Pictures: the shorter side, before the middle is cut out.")
@click.option("--limit", type=click.IntRange(1), default=64, show_default=True, help="Pictures: how many.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print no report.")
def compress(source: Path, output: Path, recipe: str, calibration: Path | None, mean: tuple[float, ...] | None,
             std: tuple[float, ...] | None, bgr: bool, resize: int | None, limit: int, as_json: bool,
             quiet: bool) -> None:
    """Compress the network IN (an ONNX or a CMF file) by a recipe.

    A folder of pictures needs --mean and --std, or a preprocessing.json with the arguments of cmf.calibration.Images.
    """
    if std is not None and 0 in std:
        raise click.UsageError("--std must not be 0")
    if (mean is None) != (std is None):
        raise click.UsageError("--mean and --std go together")
    import cmf
    from cmf.model import Model
    from cmf.recipe import Recipe

    parsed = Recipe.parse(recipe)  # a wrong recipe is said before anything takes time
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True, disable=not sys.stderr.isatty()) as progress:
        model = Model.of(source)
        samples: Any = calibration
        if calibration is not None and calibration.is_dir() and mean is not None and std is not None:
            samples = pictures(calibration, model.graph, mean, std, bgr, resize, limit)
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        smaller, report = cmf.compress(model, parsed, samples, progress=tell)
    cmf.save(smaller, output)
    if as_json:
        click.echo(report.to_json())
    elif not quiet:
        table = report.table()
        table.box, table.title, table.caption = SIMPLE, None, None
        console = out()
        console.print(table)
        console.print(escape(report.summary()))
        before, after = source.stat().st_size, output.stat().st_size
        console.print(f"{escape(str(output))}: {bytes_text(after)}; {escape(source.name)}: {bytes_text(before)}")


def pictures(folder: Path, graph: Graph, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool, resize: int | None,
             limit: int) -> Images:
    """Size, layout and channels from the network's one input, the rest as told."""
    from cmf.calibration import Images

    shape = graph.value(graph.inputs[0]).shape if len(graph.inputs) == 1 else None
    axis = None if shape is None or len(shape) != 4 else next((a for a in (1, 3) if shape[a] in (1, 3)), None)
    if shape is None or axis is None:
        raise ShapeError("pictures fit networks of one input [N, C, H, W] or [N, H, W, C] with 1 or 3 channels; "
                         "give this one arrays (--calibration FILE.npz)")
    height, width = (shape[2], shape[3]) if axis == 1 else (shape[1], shape[2])
    if not isinstance(height, int) or not isinstance(width, int):
        raise ShapeError(f"the input's size is not fixed ({height} x {width}); give arrays (--calibration FILE.npz)")
    channels = "gray" if shape[axis] == 1 else "bgr" if bgr else "rgb"
    return Images(folder, (height, width), mean if len(mean) > 1 else mean[0],
                  tuple(1 / s for s in std) if len(std) > 1 else 1 / std[0], channels,
                  "nchw" if axis == 1 else "nhwc", resize=resize, limit=limit)
