"""What C decodes from a file is what Python says of the tree: panel trees bit for bit, products and bases closely."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import contract
import numpy as np
import pytest
import trees

from cmf.container import to_bytes
from cmf.encodings import Tree, Winograd

ROOT = Path(__file__).resolve().parents[2]
# decoding uses no vector kernels; without them the build is quick
FLAGS = ["-std=c11", "-ffp-contract=off", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
         "-DCMF_NO_VECTORS"]
ENCODINGS = ("dense", "quantized", "codebook", "bitpacked", "sparse", "lowrank", "dct", "winograd")
#: relative to the largest magnitude: C sums products in f32
PRODUCT_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def decode_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        if os.environ.get("CMF_REQUIRE_TOOLS") == "1":
            pytest.fail("gcc is required, but missing")
        pytest.skip("gcc is missing")
    source = ROOT / "runtime_c" / "src"
    files = sorted(source.glob("*/*.c"))
    program = tmp_path_factory.mktemp("c") / "decode_file"
    subprocess.run(["gcc", *FLAGS, f"-I{ROOT / 'runtime_c' / 'include'}", f"-I{source}",
                    str(ROOT / "tests" / "c" / "decode_file.c"), *map(str, files), "-o", str(program)], check=True)
    return program


def expected(tree: Tree) -> tuple[np.ndarray, bool]:
    """What C gives for a tree, and whether to the bit."""
    shown = tree.filters if isinstance(tree, Winograd) else tree
    return shown.decode(), shown.encoding not in ("lowrank", "dct")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decode(encoding: str, decode_file: Path, tmp_path: Path) -> None:
    made = {name: make() for name, make in trees.cases(encoding).items()}
    assert made
    files = {name: tmp_path / f"{number}.cmf" for number, name in enumerate(made)}
    for name, tree in made.items():
        files[name].write_bytes(to_bytes(contract.weight_graph(tree)))
    done = subprocess.run([str(decode_file), *map(str, files.values())], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, tree in made.items():
        want, exact = expected(tree)
        got = np.fromfile(f"{files[name]}.f32", np.float32).reshape(want.shape)
        if exact:
            assert np.array_equal(got.view(np.uint32), want.view(np.uint32)), name
        else:
            most = float(np.abs(want).max())
            np.testing.assert_allclose(got, want, rtol=0, atol=PRODUCT_TOLERANCE * most, err_msg=name)
