"""``tests/c/check_kernels.c``: instruction sets against the scalar kernels, Conv and MatMul against naive loops."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "runtime_c" / "src"
FLAGS = ("-std=c11", "-D_POSIX_C_SOURCE=200809L", "-DCMF_CHECK_SCRATCH", "-ffp-contract=off", "-g", "-Wall", "-Wextra",
         "-Werror", f"-I{ROOT / 'runtime_c' / 'include'}", f"-I{SOURCE}")
SANITIZERS = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
SEEDS = ("1", "2")


def run(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", check=False,
                          timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def need(*tools: str) -> None:
    """Skips where a tool is missing, or fails where every tool is required."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing and os.environ.get("CMF_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{', '.join(missing)} required, but missing")
    if missing:
        pytest.skip(f"{', '.join(missing)} missing")


def build(compiler: str, flags: tuple[str, ...], program: Path) -> None:
    kernels = SOURCE / "kernels"
    files = [SOURCE / "base" / f"{name}.c" for name in ("status", "math", "cpu")]
    files += sorted((SOURCE / "encodings").glob("*.c"))
    for pattern in ("isa*.c", "linear*.c", "conv.c", "depthwise.c", "winograd_tiles.c", "matmul*.c", "array.c",
                    "workers.c"):
        files += sorted(kernels.glob(pattern))
    run(compiler, *FLAGS, *flags, ROOT / "tests" / "c" / "check_kernels.c", *files, "-lm", "-o", program)


def check(output: str, *levels: str) -> None:
    first, last = output.splitlines()[0], output.splitlines()[-1]
    assert set(levels) <= set(first.split()), first
    assert last.endswith(" 0 failures") and int(last.split()[0]) > 10_000, last


@pytest.mark.tools
@pytest.mark.parametrize("compiler", ["gcc", "clang-19"])
def test_under_sanitizers(compiler: str, tmp_path: Path) -> None:
    need(compiler)
    build(compiler, SANITIZERS, tmp_path / "check")
    for seed in SEEDS:
        check(run(tmp_path / "check", seed), "scalar")


@pytest.mark.tools
def test_optimised(tmp_path: Path) -> None:
    """As it is shipped: other code is generated than under sanitizers."""
    need("gcc")
    build("gcc", ("-O3", "-fno-math-errno", "-fno-trapping-math"), tmp_path / "check")
    for seed in SEEDS:
        check(run(tmp_path / "check", seed), "scalar")


@pytest.mark.tools
def test_aarch64(tmp_path: Path) -> None:
    """With and without the dot product, in an emulator."""
    need("aarch64-linux-gnu-gcc", "qemu-aarch64")
    build("aarch64-linux-gnu-gcc", ("-O2", "-static"), tmp_path / "check")
    check(run("qemu-aarch64", "-cpu", "max", tmp_path / "check", "1"), "scalar", "neon", "neon_dot")
    plain = run("qemu-aarch64", "-cpu", "cortex-a53", tmp_path / "check", "1")
    check(plain, "scalar", "neon")
    assert "neon_dot" not in plain.splitlines()[0]


@pytest.mark.tools
def test_without_vectors(tmp_path: Path) -> None:
    """A build that leaves the vector sets out has the scalar one, and takes no other."""
    need("gcc")
    build("gcc", ("-O1", "-DCMF_NO_VECTORS"), tmp_path / "check")
    output = run(tmp_path / "check", "1")
    check(output)
    assert output.splitlines()[0] == "instruction sets: scalar"
