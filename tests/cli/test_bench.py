"""``cmf bench``: figures that fit each other. How fast anything is is no matter of tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cmf
from cmf.cli import bench as module
from cmf.cli.bench import Times, node_times
from cmf.cli.main import cmf as command
from cmf.runtime import File, NodeInfo, isa_levels
from cmf.runtime.limits import Limits, measure

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(cmf.save(FIXTURES / "lenet5.onnx", tmp_path_factory.mktemp("bench") / "lenet5.cmf"))


def call(*arguments: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(command, ["bench", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_json_is_pure_and_complete(lenet: Path) -> None:
    found = json.loads(call(lenet, "--json", "--runs", 3, "--no-limits").stdout)
    nodes = File(lenet).session().plan(image=(1, 1, 28, 28)).nodes()
    assert [n["name"] for n in found["nodes"]] == [n.name for n in nodes]
    assert [n["work"] for n in found["nodes"]] == [n.work for n in nodes]
    assert sum(n["share"] for n in found["nodes"]) == pytest.approx(1)
    cold = found["cold_ms"]
    assert cold["total"] == pytest.approx(cold["open"] + cold["plan"] + cold["first_run"]) and min(cold.values()) > 0
    assert 0 < found["warm_ms"]["min"] <= found["warm_ms"]["median"]
    assert found["limits"] is None and {n["percent_of_limit"] for n in found["nodes"]} == {None}
    assert (found["runs"], found["threads"], found["isa"]) == (3, 1, isa_levels()[-1])
    assert found["file_bytes"] == lenet.stat().st_size and found["shapes"] == {"image": [1, 1, 28, 28]}


def test_table_names_every_node_that_runs(lenet: Path) -> None:
    printed = call(lenet, "--runs", 2, "--no-limits").stdout
    nodes = File(lenet).session().plan(image=(1, 1, 28, 28)).nodes()
    for node in nodes:
        assert (node.name in printed) == node.runs
    for part in ("f32, row, in place", "warm run", "cold start", "of 2", "GFLOP/s"):
        assert part in printed
    assert "of limit" not in printed


def test_options_reach_the_session(lenet: Path) -> None:
    options = "--json", "--runs", 1, "--no-limits", "--isa", "scalar", "--threads", 2, "--policy", "fast"
    found = json.loads(call(lenet, *options, "--shape", "image=3x1x28x28").stdout)
    assert (found["isa"], found["threads"], found["policy"]) == ("scalar", 2, "fast")
    assert found["shapes"] == {"image": [3, 1, 28, 28]} and found["nodes"][-1]["output_bytes"] == 3 * 40


@pytest.mark.parametrize(("arguments", "said", "code"), [
    (("--shape", "picture=1x1x28x28"), "no input is called 'picture'; the model expects: image float32", 1),
    (("--shape", "image=1x1x28x27"), "dimension 3 is 27, the model expects", 1),
    (("--shape", "image=1xbig"), "--shape takes NAME=1x3x224x224, not 'image=1xbig'", 2),
    (("--isa", "mmx"), "instruction set 'mmx' is not available here", 1),
    (("--runs", 0), "0 is not in the range", 2)])
def test_wrong_arguments(lenet: Path, arguments: tuple[str, ...], said: str, code: int) -> None:
    result = call(lenet, "--no-limits", *arguments, code=code)
    assert said in result.stderr and result.stdout == ""


def test_no_such_file(tmp_path: Path) -> None:
    result = call(tmp_path / "none.cmf", code=1)
    assert result.stdout == "" and "none.cmf" in result.stderr and len(result.stderr.splitlines()) == 1


def test_limits_are_measured_and_used(lenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def limits(threads: int, block_bytes: int) -> Limits:
        asked.append((threads, block_bytes))
        return Limits(threads, 1e11, 1e10, block_bytes)

    monkeypatch.setattr("cmf.runtime.limits.measure", limits)
    found = json.loads(call(lenet, "--json", "--runs", 1).stdout)
    running = [n for n in found["nodes"] if n["runs"]]
    assert asked == [(1, sum(n["weight_bytes"] + n["input_bytes"] for n in running))]
    assert [n["percent_of_limit"] is not None for n in running] == [n["compute"] == "f32" for n in running]
    assert "of limit" in call(lenet, "--runs", 1).stdout


def info(**changes: Any) -> NodeInfo:
    fields: dict[str, Any] = {
        "name": "n", "op": "Conv", "compute": "f32", "method": "rows", "weights": "in place", "runs": True,
        "work": 10**6, "weight_bytes": 1000, "input_bytes": 500, "output_bytes": 500}
    return NodeInfo(**{**fields, **changes})


def test_rates_and_percentages() -> None:
    """2 million operations in 1 ms at 10^11 a second are 2 %; 10 MB at 10^10 a second fill the millisecond."""
    nodes = (info(), info(weight_bytes=10**7, input_bytes=0), info(compute="int8_static"), info(method="winograd 2x2"),
             info(op="Add", compute="", method="", weights="", runs=True))
    times = Times(1, 1, 1, np.ones(3), np.array([[1.0] * 5, [2.0] * 5, [0.5] * 5]))
    rows = node_times(nodes, times, Limits(1, 1e11, 1e10, 1))
    assert [r.ms for r in rows] == [1.0] * 5 and [r.share for r in rows] == pytest.approx([0.2] * 5)
    assert [r.of_limit for r in rows] == [pytest.approx(2), pytest.approx(100), None, None, None]
    assert [r.gops for r in rows] == [pytest.approx(2)] * 4 + [None]
    assert rows[0].gbs == pytest.approx(2e-3)


def test_the_machine_is_measured_in_a_process_of_its_own() -> None:
    found = measure(1, 1 << 20)
    if found is None:
        pytest.skip("numpy's BLAS takes more threads than it is told")
    assert (found.threads, found.block_bytes) == (1, 1 << 20) and found.f32_ops > 0 < found.read_bytes


def test_methods_that_count_are_those_of_the_library() -> None:
    """A method that the C library has renamed would silently lose its percentage."""
    source = (FIXTURES.parents[1] / "runtime_c" / "include" / "cmf.h").read_text(encoding="utf-8")
    assert all(f'"{method}"' in source for method in module._PLAIN)
