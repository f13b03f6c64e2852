"""The C tests of encodings and elementary functions, compiled with sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["-std=c11", "-ffp-contract=off", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow",
         "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SOURCES = {"test_encodings": "encodings/*.c", "test_math": ""}


@pytest.mark.parametrize("compiler", ["gcc", "clang-19"])
@pytest.mark.parametrize("name", SOURCES)
def test_c_program(name: str, compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        if os.environ.get("CMF_REQUIRE_TOOLS") == "1":
            pytest.fail(f"{compiler} is required, but missing")
        pytest.skip(f"{compiler} is missing")
    source = ROOT / "runtime_c" / "src"
    files = [source / "base" / "status.c", source / "base" / "math.c"]
    if SOURCES[name]:
        files += sorted(source.glob(SOURCES[name]))
    program = tmp_path / name
    subprocess.run([compiler, *FLAGS, f"-I{ROOT / 'runtime_c' / 'include'}", f"-I{source}",
                    str(ROOT / "tests" / "c" / f"{name}.c"), *map(str, files), "-lm", "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok" in done.stdout.splitlines()[-1]
