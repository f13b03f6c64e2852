"""cffi's declarations are made of the public header: nothing of it is lost, nothing unknown goes unnoticed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from cmf.runtime.library import DTYPES, ffi, lib

ROOT = Path(__file__).parents[2]
HEADER = (ROOT / "runtime_c" / "include" / "cmf.h").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ffi_build", ROOT / "cmf" / "runtime" / "ffi_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_function_of_the_header_is_declared() -> None:
    functions = re.findall(r"^CMF_API [^;]*?\b(cmf_\w+)\(", HEADER, flags=re.M)
    assert len(functions) >= 28
    assert [f for f in functions if not hasattr(lib, f)] == []


def test_statuses_keep_their_numbers() -> None:
    entries = re.findall(r"X\((\w+), (\d+), \"(.*?)\"\)", HEADER)
    assert len(entries) >= 20
    for name, number, text in entries:
        assert getattr(lib, f"CMF_{name}") == int(number)
        assert ffi.string(lib.cmf_status_name(int(number))).decode() == name
        assert ffi.string(lib.cmf_status_text(int(number))).decode() == text


def test_data_types_have_the_librarys_sizes() -> None:
    import numpy as np

    assert set(DTYPES) == set(range(1, 14))
    for number, dtype in DTYPES.items():
        assert lib.cmf_dtype_size(number) == np.dtype(dtype).itemsize


def test_unknown_conditions_in_the_header_are_refused(build: ModuleType) -> None:
    with pytest.raises(ValueError, match="#if defined"):
        build.declarations(HEADER + "#if defined(X)\nint cmf_x(void);\n#endif\n")
    with pytest.raises(ValueError, match="CMF_STATUS_MAP"):
        build.declarations(HEADER.replace("#define CMF_STATUS_MAP(X)", "#define CMF_OTHER_MAP(X)"))
