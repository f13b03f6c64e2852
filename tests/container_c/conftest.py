"""Builds the library and the programs that attack it with the sanitizers, once a run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SANITIZE = "address,undefined"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")

#: runs test_open with these arguments and returns what it prints; fails the test where a sanitizer or a check speaks up
OpenTool = Callable[..., str]


def need(reason: str) -> None:
    """Skips, or fails where every tool is required."""
    if os.environ.get("CMF_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = result.stdout[-2000:] + result.stderr[-6000:]
    assert result.returncode == 0, f"{' '.join(command[:4])} ... gives {result.returncode}:\n{said}"
    return result.stdout


def compiles(compiler: str, folder: Path, program: str, *flags: str) -> bool:
    source = folder / "probe.c"
    source.write_text(program)
    command = [compiler, str(source), *flags, "-o", str(folder / "probe")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build_library(folder: Path, compiler: str, zstd: bool, sanitize: str, flags: str) -> Path:
    """The static library of ``runtime_c`` in ``folder``."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(["cmake", "-S", str(ROOT / "runtime_c"), "-B", str(folder), *generator, f"-DCMAKE_C_COMPILER={compiler}",
         f"-DCMF_SANITIZE={sanitize}", "-DCMF_SHARED=OFF", "-DCMF_INSTALL=OFF",
         f"-DCMF_WITH_ZSTD={'ON' if zstd else 'OFF'}", "-DCMAKE_BUILD_TYPE=Debug", f"-DCMAKE_C_FLAGS_DEBUG={flags}"])
    run(["cmake", "--build", str(folder), "--target", "cmf_static", "--parallel", str(os.cpu_count() or 1)])
    return folder / "libcmf.a"


@dataclass(frozen=True)
class Build:
    """The library and how to link programs of ``tests`` with it."""

    compiler: str
    folder: Path
    library: Path
    zstd: bool

    def program(self, name: str, *sources: str) -> str:
        program = self.folder / name
        run([self.compiler, "-std=gnu11", "-O1", "-g", *WARNINGS, f"-fsanitize={SANITIZE}",
             "-fno-sanitize-recover=all", f"-DCMF_TEST_ZSTD={int(self.zstd)}", f"-I{ROOT / 'runtime_c/include'}",
             f"-I{ROOT / 'runtime_c/src'}", f"-I{ROOT / 'tests/c'}", *(str(ROOT / "tests" / s) for s in sources),
             str(self.library), *(["-lzstd"] if self.zstd else []), "-lpthread", "-o", str(program)])
        return str(program)


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("sanitized")
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc") or ""
    if not compiler or not shutil.which("cmake"):
        need("no C compiler or no cmake")
    if not compiles(compiler, folder, "int main(void) { return 0; }", f"-fsanitize={SANITIZE}"):
        need(f"{compiler} has no sanitizers")
    zstd = compiles(compiler, folder, "#include <zstd.h>\nint main(void) { return ZSTD_isError(0); }", "-lzstd")
    return Build(compiler, folder, build_library(folder / "library", compiler, zstd, SANITIZE, "-O1 -g"), zstd)


@pytest.fixture(scope="session")
def open_tool(sanitized: Build) -> OpenTool:
    program = sanitized.program("test_open", "c/test_open.c")
    return lambda *arguments: run([program, *map(str, arguments)])


@pytest.fixture(scope="session")
def replay(sanitized: Build) -> OpenTool:
    program = sanitized.program("replay", "fuzz/fuzz_open.c", "fuzz/replay.c")
    return lambda *arguments: run([program, *map(str, arguments)])


@pytest.fixture
def flatc() -> str:
    found = os.environ.get("FLATC") or shutil.which("flatc")
    if not found:
        need("no flatc")
    assert found
    return found
