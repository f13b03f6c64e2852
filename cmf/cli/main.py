"""The commands, gathered."""

from __future__ import annotations

import click

from cmf.cli.bench import bench
from cmf.cli.compress import compress
from cmf.cli.console import Command, Group
from cmf.cli.demo import demo
from cmf.cli.inspect import inspect
from cmf.cli.run import run
from cmf.cli.verify import verify


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="cmf-format", prog_name="cmf")
def cmf() -> None:
    """Compress a network into one .cmf file, look inside, and run it."""


for command in (compress, inspect, run, bench, verify, demo):
    cmf.add_command(command)


def main() -> None:
    """Entry point of ``cmf``."""
    cmf(prog_name="cmf")


def inspect_main() -> None:
    """Entry point of ``cmf-inspect``."""
    alone = Command("cmf-inspect", params=inspect.params, callback=inspect.callback, help=inspect.help,
                    context_settings={"help_option_names": ["-h", "--help"]})
    alone(prog_name="cmf-inspect")
