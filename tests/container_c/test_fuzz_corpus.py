"""The fuzz target on its corpus and on what fuzzing once found, without libFuzzer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parent.parent / "fuzz"

pytestmark = pytest.mark.tools


def test_replay(replay: Callable[..., str]) -> None:
    folders = [folder for folder in (FUZZ / "corpus", FUZZ / "found") if folder.is_dir()]
    files = sum(1 for folder in folders for _ in folder.iterdir())
    assert files > 50
    assert replay(*folders) == f"{files} files\n"
