"""The library as other CMake projects use it: installed, and as a part of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_files import linear_graph

from cmf.container import write

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "runtime_c" / "examples"

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is missing")


def run(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build(source: Path, folder: Path, *options: str) -> None:
    run("cmake", "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Debug", *options)
    run("cmake", "--build", folder, "--parallel", 2)


def check(program: Path, tmp_path: Path) -> None:
    graph, _, bias = linear_graph()
    said = run(program, write(graph, tmp_path / "linear.cmf"))
    assert said.startswith("y [1, 5] ")
    np.testing.assert_allclose([float(v) for v in said.split("]")[1].split()], bias[:4], rtol=1e-4)


def test_installed_library_is_found(tmp_path: Path) -> None:
    build(ROOT / "runtime_c", tmp_path / "library")
    run("cmake", "--install", tmp_path / "library", "--prefix", tmp_path / "prefix")
    for shared in ("ON", "OFF"):
        folder = tmp_path / f"example-{shared}"
        build(EXAMPLES / "find_package", folder, f"-DCMAKE_PREFIX_PATH={tmp_path / 'prefix'}",
              f"-DCMF_USE_SHARED={shared}")
        check(folder / "run", tmp_path)


def test_library_as_a_part(tmp_path: Path) -> None:
    build(EXAMPLES / "add_subdirectory", tmp_path / "example")
    check(tmp_path / "example" / "run", tmp_path)
