"""Acceptance runs need real networks, which are not part of the project: `CMF_MODELS` names their folder.

Without it these tests are skipped; `.ci/run` sets it where the networks are present.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.models)


@pytest.fixture(scope="session")
def models() -> Path:
    folder = os.environ.get("CMF_MODELS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real networks are not here: set CMF_MODELS to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def pictures() -> Path:
    folder = os.environ.get("CMF_PICTURES")
    if not folder or not Path(folder).is_dir():
        pytest.skip("pictures are not here: set CMF_PICTURES to a folder of JPEG files")
    return Path(folder)
