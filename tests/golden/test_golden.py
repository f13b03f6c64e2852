"""Files of earlier days are read as they were written, in Python and in C; ``tools/make_golden.py`` writes them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import oracle
import pytest
from contract import PRODUCT_TOLERANCE

from cmf.container import read
from cmf.encodings import ENCODINGS
from cmf.encodings.tree import take_apart

FOLDER = Path(__file__).parent / "encodings"
FILES = sorted(FOLDER.glob("*/*.cmf"))
EXACT = {"dense", "quantized", "codebook", "bitpacked", "sparse"}


def assert_decodes(found: np.ndarray, path: Path) -> None:
    expected = np.load(path.with_suffix(".npy"), allow_pickle=False)
    assert found.shape == expected.shape
    if path.parent.name in EXACT or path.parent.name == "winograd":
        assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=PRODUCT_TOLERANCE * np.abs(expected).max())


def test_the_corpus_is_whole():
    for cls in ENCODINGS:
        folder = FOLDER / cls.encoding
        index = json.loads((folder / "index.json").read_text())
        names = {path.stem for path in folder.glob("*.cmf")}
        assert len(names) >= 4
        assert names == set(index) == {path.stem for path in folder.glob("*.npy")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_python_reads(path):
    tree = read(path).values["weight"].tree
    assert tree.encoding == path.parent.name
    assert_decodes(tree.decode(), path)
    assert_decodes(oracle.decode(take_apart(tree)).astype(np.float32), path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_c_reads(path):
    from cmf.runtime import File

    assert_decodes(File(path, verify="full").decode_weight(0), path)


def test_nothing_is_stale():
    tool = Path(__file__).parents[2] / "tools" / "make_golden.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
