"""``cmf verify``: every byte checked."""

from __future__ import annotations

from pathlib import Path

import click

from cmf.cli.console import bytes_text, out


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all is well.")
def verify(file: Path, quiet: bool) -> None:
    """Check FILE wholly: structure, checksums, digest, padding, codes. Exit code 1 and the reason if it fails."""
    from cmf.runtime import File

    opened = File(file, verify="full")
    if not quiet:
        count = len(opened.weights())
        out().print(f"{file}: valid, {bytes_text(opened.file_bytes)}, {count} weight{'' if count == 1 else 's'}")
