"""What the README shows runs as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)
    assert found
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder from which the repository's tests are seen where the README sees them."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    return tmp_path


def test_python(folder: Path) -> None:
    code = "\n".join(blocks("python"))
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, check=True, timeout=300)
    assert (folder / "small.cmf").stat().st_size < (folder / "lenet5.cmf").stat().st_size / 8


def test_commands(folder: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("cmf ")]
    assert {line.split()[1] for line in commands} == {"compress", "inspect", "run", "bench", "verify"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=folder, check=True, timeout=300, capture_output=True,
                       env={**os.environ, "PATH": path})


def test_c(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "the package was built with a C compiler"
    (body,) = blocks("c")
    source = tmp_path / "readme.c"
    source.write_text(f'#include "cmf.h"\nvoid readme(const float pixels[static 784]);\n'
                      f"void readme(const float pixels[static 784]) {{\n"
                      f"{body.replace('sizeof pixels', '784 * sizeof(float)')}\n}}\n")
    warnings = ["-Wall", "-Wextra", "-Wno-unused-but-set-variable", "-Werror"]
    include = f"-I{ROOT / 'runtime_c' / 'include'}"
    subprocess.run([compiler, "-std=c11", *warnings, "-fsyntax-only", include, source], check=True)


def test_files_that_are_named_exist() -> None:
    linked = re.findall(r"\]\(([\w./-]+)\)", README)
    named = re.findall(r"\b(?:tools|tests|schema|runtime_c)/[\w./-]*\w", README)
    assert len(linked) >= 3
    for name in (*linked, *named):
        assert (ROOT / name).exists(), name
