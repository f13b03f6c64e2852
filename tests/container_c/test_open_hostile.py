"""The opener against files that want to harm it (FORMAT.md 1.5), under AddressSanitizer and UBSan."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from files import small_graph

import cmf
from cmf.container.writer import to_bytes

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import rawfile  # noqa: E402

OpenTool = Callable[..., str]

pytestmark = pytest.mark.tools
REJECT = ROOT / "tests" / "golden" / "reject"
MANIFEST = json.loads((REJECT / "manifest.json").read_text())
#: mutations of each file; three openings each
ROUNDS = 1000


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Good files of a few KB: every encoding, both codecs, graphs by hand."""
    folder = tmp_path_factory.mktemp("good")
    for name, make in rawfile.GOOD.items():
        (folder / f"{name}.cmf").write_bytes(make().pack())
    for codec in ("raw", "zstd"):
        (folder / f"small-{codec}.cmf").write_bytes(to_bytes(small_graph(), codec=codec))
    return [*sorted(folder.glob("*.cmf")), *sorted((ROOT / "tests" / "golden" / "encodings").rglob("*.cmf"))]


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """LeNet-5 under several recipes: files above 64 KB too."""
    folder = tmp_path_factory.mktemp("networks")
    for name, recipe in {"int8": "int8", "sparse": "prune(0.8) + codebook(16)", "svd": "svd(0.25) + int8"}.items():
        model, _ = cmf.compress(ROOT / "tests" / "fixtures" / "lenet5.onnx", recipe)
        cmf.save(model, folder / f"{name}.cmf")
    cmf.save(ROOT / "tests" / "fixtures" / "lenet5.onnx", folder / "dense.cmf")
    return sorted(folder.glob("*.cmf"))


def test_known_answers(open_tool: OpenTool) -> None:
    open_tool("kat")


def test_arguments_and_queries(open_tool: OpenTool, tmp_path: Path) -> None:
    file = tmp_path / "matmul.cmf"
    file.write_bytes(rawfile.GOOD["matmul-dense"]().pack())
    open_tool("api", file, tmp_path)


def test_good_files_open(open_tool: OpenTool, small_files: list[Path], networks: list[Path]) -> None:
    for line in open_tool("open", "full", *small_files, *networks).splitlines():
        assert line.split("\t")[1] == "OK", line


@pytest.mark.parametrize("level", ["structure", "full"])
def test_bad_files_are_refused_for_the_right_reason(open_tool: OpenTool, level: str) -> None:
    output = open_tool("open", level, *(REJECT / name for name in MANIFEST))
    seen = {}
    for line in output.splitlines():
        path, status, message = line.split("\t")
        seen[Path(path).name] = (status, message)
    assert seen.keys() == MANIFEST.keys()
    for name, expected in MANIFEST.items():
        status, message = seen[name]
        if level == "structure" and expected["level"] == "full":
            assert status == "OK", f"{name}: {message}"
        else:
            assert (status, expected["names"] in message) == (expected["status"], True), f"{name}: {status}: {message}"


def test_the_manifest_lists_every_file() -> None:
    assert {path.name for path in REJECT.glob("*.cmf")} == MANIFEST.keys()


def test_every_prefix_is_refused(open_tool: OpenTool, small_files: list[Path], networks: list[Path]) -> None:
    for line in open_tool("prefixes", *small_files, *networks).splitlines():
        path, result = line.split("\t")
        assert int(result.split()[0]) >= min(Path(path).stat().st_size, 1000), line


@pytest.mark.parametrize("seed", range(3))
def test_mutations_of_small_files(open_tool: OpenTool, small_files: list[Path], seed: int) -> None:
    mutations(open_tool("mutate", seed, ROUNDS, *small_files), ROUNDS)


def test_mutations_of_networks(open_tool: OpenTool, networks: list[Path]) -> None:
    mutations(open_tool("mutate", 3, ROUNDS // 5, *networks), ROUNDS // 5)


def mutations(output: str, rounds: int) -> None:
    """The tool itself aborts where a rule of attempt.h breaks; here: that it had something to check."""
    totals = [0, 0, 0, 0]
    for line in output.splitlines():
        tried, opened, sessions, runs = map(int, line.split("\t")[1:])
        assert tried > rounds * 9 // 10, line
        totals = [a + b for a, b in zip(totals, (tried, opened, sessions, runs))]
    tried, opened, sessions, runs = totals
    assert tried / 50 < runs <= sessions <= opened < 2 * tried
