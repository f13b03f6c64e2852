"""``cmf run``: one inference from arrays in files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt
from rich.box import SIMPLE
from rich.table import Table

from cmf.cli.console import out
from cmf.errors import CmfError

if TYPE_CHECKING:
    from cmf.runtime import Session, TensorInfo

Array = npt.NDArray[Any]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-i", "--input", "inputs", multiple=True, metavar="[NAME=]X.npy",
              help="An input from a .npy file (the name may be left out where there is one), or all from a .npz.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the outputs to a .npz (or .npy for one).")
@click.option("--random", "seed", type=int, metavar="SEED", help="Fill missing inputs with random numbers.")
@click.option("--dim", "dims", multiple=True, metavar="NAME=N", help="A symbolic dimension, for --random (default 1).")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--isa", help="Force an instruction set: scalar, avx2, avx512, neon, neon_dot.")
@click.option("--policy", type=click.Choice(["compact", "fast"]), default="compact", show_default=True,
              help="compact: compute from the file's bytes only; fast: may keep copies.")
@click.option("--verify", is_flag=True, help="Check the whole file first (for files from elsewhere).")
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Runs; the fastest is reported.")
def run(file: Path, inputs: tuple[str, ...], output: Path | None, seed: int | None, dims: tuple[str, ...], threads: int,
        isa: str | None, policy: str, verify: bool, repeat: int) -> None:
    """Run FILE once and show (or write) its outputs. No input is invented unless --random says so."""
    from cmf.runtime import load

    session = load(file, verify="full" if verify else "structure", threads=threads, isa=isa, policy=policy)
    arrays = read_inputs(session, inputs)
    missing = [info for info in session.inputs if info.name not in arrays]
    if missing and seed is None:
        listed = "; ".join(map(str, missing))
        raise CmfError(f"no data for: {listed}. Give --input NAME=FILE.npy, or --random SEED for random numbers")
    if seed is not None:
        rng = np.random.default_rng(seed)
        sizes = dict(map(_dim, dims))
        arrays.update({info.name: random_input(rng, info, sizes) for info in missing})
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        results = session.run(arrays)
        seconds.append(time.perf_counter() - start)
    if output is not None:
        write(output, results)
    table = Table("output", "dtype", "shape", "min", "max", "mean", box=SIMPLE, pad_edge=False)
    for name, array in results.items():
        numbers = array.astype(np.float64)
        summary = [f"{f(numbers):.6g}" for f in (np.min, np.max, np.mean)] if array.size else [""] * 3
        table.add_row(name, array.dtype.name, str(list(array.shape)), *summary)
    console = out()
    console.print(table)
    console.print(f"{min(seconds) * 1e3:.2f} ms, the fastest of {repeat} run{'s' if repeat > 1 else ''}")


def read_inputs(session: Session, given: tuple[str, ...]) -> dict[str, Array]:
    """Arrays by input name from ``name=file.npy``, ``file.npy`` or ``file.npz``."""
    arrays: dict[str, Array] = {}
    for item in given:
        name, equals, file = item.partition("=")
        if not equals:
            name, file = "", item
        loaded = read_array(file)
        if isinstance(loaded, dict):
            if name:
                raise CmfError(f"{file} holds several arrays by name; give it as --input {file}")
            arrays.update(loaded)
            continue
        if not name:
            if len(session.inputs) != 1:
                raise CmfError(f"which input is {file}? Give --input NAME={file}; "
                               f"the model expects: {'; '.join(map(str, session.inputs))}")
            name = session.inputs[0].name
        arrays[name] = loaded
    return arrays


def read_array(file: str | Path) -> Array | dict[str, Array]:
    """A .npy as its array, a .npz as a dict. Pickles are refused."""
    try:
        loaded = np.load(file, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except OSError as cause:
        raise CmfError(f"{file}: {cause.strerror or cause}", "E_IO") from None
    except (ValueError, EOFError) as cause:
        raise CmfError(f"{file} is no .npy or .npz file of plain numbers: {cause}", "E_IO") from None


def random_input(rng: np.random.Generator, info: TensorInfo, sizes: dict[str, int]) -> Array:
    """Floats from -1 to 1, booleans, or integers 0 and 1 (safe as ids and masks)."""
    if info.shape is None:
        raise CmfError(f"the shape of input {info.name!r} is not known; give it with --input")
    shape = [sizes.get(d, 1) if isinstance(d, str) else d for d in info.shape]
    if info.dtype.kind in "biu":
        return rng.integers(0, 2, shape).astype(info.dtype)
    return rng.uniform(-1, 1, shape).astype(info.dtype)


def write(path: Path, results: dict[str, Array]) -> None:
    if path.suffix == ".npy":
        if len(results) != 1:
            raise CmfError(f"{len(results)} outputs do not fit into a .npy file; use .npz")
        np.save(path, next(iter(results.values())), allow_pickle=False)
    elif path.suffix == ".npz":
        np.savez(path, **results)  # type: ignore[arg-type, unused-ignore]
    else:
        raise CmfError(f"--output must end in .npz or .npy, not {path.suffix!r}")


def _dim(item: str) -> tuple[str, int]:
    name, _, number = item.rpartition("=")
    if not name or not number.isdecimal():
        raise click.UsageError(f"--dim takes NAME=N, not {item!r}")
    return name, int(number)
