"""``tests/c/test_ops.c`` and ``test_session.c`` under AddressSanitizer, UBSan and ThreadSanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def run(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def need(reason: str) -> None:
    """Skips, or fails where every tool is required."""
    if os.environ.get("CMF_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.tools
@pytest.mark.parametrize(("compiler", "sanitizers", "programs"), [
    ("gcc", "address,undefined", ("test_ops", "test_session")),
    ("clang-19", "thread", ("test_session",)),
])
def test_under_sanitizers(compiler: str, sanitizers: str, programs: tuple[str, ...], tmp_path: Path) -> None:
    if not shutil.which(compiler) or not shutil.which("cmake"):
        need(f"{compiler} and cmake are needed")
    run("cmake", "-S", ROOT / "runtime_c", "-B", tmp_path / "library", f"-DCMAKE_C_COMPILER={compiler}",
        "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O1 -g", f"-DCMF_SANITIZE={sanitizers}", "-DCMF_SHARED=OFF",
        "-DCMF_INSTALL=OFF", "-DCMF_WITH_ZSTD=OFF")
    run("cmake", "--build", tmp_path / "library", "--parallel", os.cpu_count() or 1)
    for name in programs:
        run(compiler, "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O1", "-g", *WARNINGS, f"-fsanitize={sanitizers}",
            "-fno-sanitize-recover=all", f"-I{ROOT / 'runtime_c/include'}", f"-I{ROOT / 'runtime_c/src'}",
            ROOT / "tests/c" / f"{name}.c", tmp_path / "library/libcmf.a", "-lpthread", "-lm", "-o", tmp_path / name)
        # address space randomization disturbs ThreadSanitizer on some kernels
        quiet = ("setarch", "-R") if sanitizers == "thread" and shutil.which("setarch") else ()
        assert run(*quiet, tmp_path / name).splitlines()[-1] == "ok"
