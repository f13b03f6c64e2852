"""The package's face: its name, its public names, what importing it costs, what a wheel holds."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import cmf

ROOT = Path(__file__).parents[1]
PUBLIC = {"CmfError", "Model", "Recipe", "__version__", "compress", "load", "save"}


def test_public_names_are_these_and_no_others() -> None:
    assert set(cmf.__all__) == set(dir(cmf)) == PUBLIC
    for name in PUBLIC:
        assert getattr(cmf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        cmf.nonsense  # noqa: B018


def python(code: str, folder: Path) -> None:
    """Runs code away from the source folder, which would hide what is installed."""
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


def test_functions_stay_functions_after_their_modules_are_imported(tmp_path: Path) -> None:
    code = ("import cmf.cli.main, cmf.saving, cmf.recipe, cmf.model, cmf.compression, cmf\n"
            "assert callable(cmf.compress) and callable(cmf.save) and callable(cmf.load)")
    python(code, tmp_path)


@pytest.mark.parametrize("statement, absent", [
    ("import cmf", "numpy onnx cmf._cmf cmf.runtime rich click"),
    ("import cmf; cmf.load", "onnx rich click cmf.frontend cmf.passes cmf.reference"),
    ("import cmf; cmf.save", "onnx rich click cmf._cmf"),
])
def test_importing_is_lazy(statement: str, absent: str, tmp_path: Path) -> None:
    code = (f"{statement}\nimport sys\nfound = [m for m in {absent.split()!r} if m in sys.modules]\n"
            "assert not found, found")
    python(code, tmp_path)


def test_version_is_the_librarys() -> None:
    header = (ROOT / "runtime_c" / "include" / "cmf.h").read_text(encoding="utf-8")
    numbers = [re.search(rf"VERSION_{part} (\d+)", header) for part in ("MAJOR", "MINOR", "PATCH")]
    assert cmf.__version__ == ".".join(n[1] for n in numbers if n)
    assert metadata.version("cmf-format") == cmf.__version__


def test_metadata() -> None:
    facts = metadata.metadata("cmf-format")
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Requires-Python"] == ">=3.10"
    needed = {re.split(r"[^\w-]", r)[0] for r in metadata.requires("cmf-format") or [] if "extra ==" not in r}
    assert needed == {"cffi", "click", "flatbuffers", "ml_dtypes", "numpy", "rich", "zstandard"}
    assert set(facts.get_all("Provides-Extra") or []) >= {"all", "demo", "images", "onnx", "test"}
    scripts = {e.name: e.value for e in metadata.entry_points(group="console_scripts") if e.value.startswith("cmf.")}
    assert scripts == {"cmf": "cmf.cli.main:main", "cmf-inspect": "cmf.cli.main:inspect_main"}


def test_extension_keeps_to_the_stable_abi() -> None:
    import cmf._cmf

    assert cmf._cmf.__file__.endswith(".abi3.so"), cmf._cmf.__file__
