"""Folders are layers: a lower one never imports or includes a higher one. The tables are those of CONTRIBUTING.md."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON, C = ROOT / "cmf", ROOT / "runtime_c" / "src"

#: folder or module of ``cmf`` -> what it may import of ``cmf``; modules that are not here may import everything
PYTHON_EDGES = {
    "errors": set(),
    "_generated_status": set(),
    "encodings": {"errors"},
    "ir": {"errors", "encodings"},
    "reference": {"errors", "encodings", "ir"},
    "passes": {"errors", "encodings", "ir", "reference"},
    "frontend": {"errors", "encodings", "ir", "passes"},
    "container": {"errors", "encodings", "ir"},
    "runtime": {"errors", "_cmf"},
}
#: modules that use everything; nothing but themselves imports them
PYTHON_TOP = {"__init__", "calibration", "cli", "compression", "demo", "model", "recipe", "report", "saving"}
#: what modules outside the standard library each layer may use
PYTHON_PACKAGES = {
    "errors": set(),
    "_generated_status": set(),
    "encodings": {"ml_dtypes", "numpy"},
    "ir": {"ml_dtypes", "numpy"},
    "reference": {"ml_dtypes", "numpy"},
    "passes": {"ml_dtypes", "numpy"},
    "frontend": {"ml_dtypes", "numpy", "onnx"},
    "container": {"flatbuffers", "ml_dtypes", "numpy", "zstandard"},
    "runtime": {"cffi", "ml_dtypes", "numpy", "zstandard"},
}

C_EDGES = {
    "base": {"base"},
    "container": {"base", "container"},
    "encodings": {"base", "encodings"},
    "kernels": {"base", "encodings", "kernels"},
    "plan": {"base", "encodings", "kernels", "plan"},
    "api": {"base", "container", "encodings", "kernels", "plan", "api"},
}
#: headers that a freestanding compiler has, and string.h for memcpy, memset and memcmp
C_HEADERS = {"float.h", "stdarg.h", "stddef.h", "stdint.h", "string.h"}
#: files that are built for hosts only, or that ask the compiler for an instruction set -> further headers they use
C_HOSTED = {
    "api/allocator.c": {"malloc.h", "stdlib.h"},
    "api/cmf_file.c": {"errno.h", "fcntl.h", "stdio.h", "sys/mman.h", "sys/stat.h", "unistd.h"},
    "base/cpu.c": {"cpuid.h", "sys/auxv.h"},
    "base/math.h": {"xmmintrin.h"},
    "base/threads.c": {"pthread.h", "sched.h", "stdatomic.h"},
    "container/zstd_frame.c": {"zstd.h"},
}
#: ... and the kernels of instruction sets
C_INTRINSICS = {"arm_neon.h", "immintrin.h"}


def python_part(path: Path) -> str:
    return path.relative_to(PYTHON).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Absolute names of everything that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides the layer"
            module = node.module or ""
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "cmf" else {module}
    return found


MODULES = sorted(path for path in PYTHON.rglob("*.py") if "_generated" not in path.parts)
SOURCES = sorted([*C.rglob("*.c"), *C.rglob("*.h")])


def test_there_is_something_to_look_at():
    assert len(MODULES) > 40 and len(SOURCES) > 40
    assert {python_part(path) for path in MODULES} <= PYTHON_EDGES.keys() | PYTHON_TOP
    assert {path.relative_to(C).parts[0] for path in SOURCES} == C_EDGES.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_imports(path):
    part = python_part(path)
    if part not in PYTHON_EDGES:
        return
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "cmf":
            target = rest.split(".")[0]
            assert target == part or target in PYTHON_EDGES[part], f"{part} must not import {name}"
        else:
            assert top in sys.stdlib_module_names or top in PYTHON_PACKAGES[part], f"{part} must not import {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(C)))
def test_c_includes(path):
    name = str(path.relative_to(C))
    layer = path.relative_to(C).parts[0]
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
        if target == "cmf.h":
            continue
        assert (C / target).is_file(), f"{name} includes {target}, which is not named from runtime_c/src"
        assert target.split("/")[0] in C_EDGES[layer], f"{layer} must not include {target}"
    for target in re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.M):
        allowed = C_HEADERS | C_HOSTED.get(name, set())
        if re.fullmatch(r"kernels/(isa_\w+\.c|simd\.h)", name):
            allowed |= C_INTRINSICS
        assert target in allowed, f"{name} must not include <{target}>"


def test_c_file_names_are_unique():
    """The amalgamation puts all files into one folder."""
    names = [path.name for path in SOURCES]
    assert len(set(names)) == len(names)


def test_only_api_and_threads_allocate():
    for path in SOURCES:
        if path.relative_to(C).parts[0] != "api":
            calls = re.findall(r"\b(?:malloc|calloc|realloc|free)\s*\(", _without_comments(path.read_text()))
            assert not calls, f"{path.relative_to(C)} allocates"


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"", " ", text, flags=re.S)
