"""Generated files are those that their generators make now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("tool", ["make_reject.py", "make_corpus.py"])
def test_files_made_by_tools_are_current(tool: str) -> None:
    result = subprocess.run([sys.executable, str(ROOT / "tools" / tool), "--check"], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.tools
def test_code_from_the_schema_is_current(flatc: str) -> None:
    result = subprocess.run([sys.executable, str(ROOT / "tools" / "gen_schema.py"), "--check"], capture_output=True,
                            text=True, check=False, env={"FLATC": flatc, "PATH": ""})
    assert result.returncode == 0, result.stdout + result.stderr


def test_without_flatc_the_generator_says_so() -> None:
    result = subprocess.run([sys.executable, str(ROOT / "tools" / "gen_schema.py"), "--check"], capture_output=True,
                            text=True, check=False, env={"PATH": ""})
    assert result.returncode == 2
    assert "flatc not found" in result.stderr
