"""What every command shares: the two consoles, and errors as one line.

Results go to stdout, everything else (progress, errors) to stderr, so that ``--json`` and pipes stay clean.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click
from rich.console import Console

from cmf.errors import CmfError


def out() -> Console:
    width = None if sys.stdout.isatty() else 200  # a file or a pipe has no width of its own
    return Console(file=sys.stdout, highlight=False, width=width)


def err() -> Console:
    return Console(file=sys.stderr, highlight=False)


class Failure(click.ClickException):
    """One line on stderr, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"cmf: {' '.join(self.message.split())}", err=True)


class Group(click.Group):
    """Turns errors into one line; ``CMF_DEBUG=1`` lets them through with their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        return guarded(super().invoke, ctx)


class Command(click.Command):
    """The same for a command that stands alone."""

    def invoke(self, ctx: click.Context) -> Any:
        return guarded(super().invoke, ctx)


def guarded(invoke: Any, ctx: click.Context) -> Any:
    if os.environ.get("CMF_DEBUG"):
        return invoke(ctx)
    try:
        return invoke(ctx)
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except CmfError as cause:
        raise Failure(str(cause)) from None
    except OSError as cause:
        where = "" if cause.filename is None else f"{os.fspath(cause.filename)}: "
        raise Failure(f"{where}{cause.strerror or cause}") from None
    except MemoryError:
        raise Failure("out of memory") from None
    except Exception as cause:
        raise Failure(f"a fault in this program, please report it: {type(cause).__name__}: {cause} "
                      "(CMF_DEBUG=1 shows where)") from None


def bytes_text(size: float) -> str:
    """1234567 -> "1.23 MB" (10^6 bytes)."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= step:
            return f"{size / step:.2f} {unit}"
    return f"{size:.0f} B"
