"""tools/bench_peers.py measures what it says: our side of it, without installing anybody else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

TOOLS = Path(__file__).parents[1] / "tools"
SMALL = ("lenet300", "lenet5", "conv3x3_256_14", "conv1x1_256_28", "dw3x3_144_56")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOOLS))
    import bench_peers

    return bench_peers


def run(tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str) -> dict[str, Any]:
    given = [*arguments, "--rounds", "1", "--seconds", "0.01", "--envs", tmp_path / "envs", "--work", tmp_path / "work",
             "--json", tmp_path / "out.json"]
    monkeypatch.setattr(sys, "argv", ["bench_peers.py", *map(str, given)])
    tools.main()
    return dict(json.loads((tmp_path / "out.json").read_text()))


@pytest.mark.parametrize("net", SMALL)
def test_networks_run_here_as_in_onnxruntime(tools: Any, net: str, tmp_path: Path) -> None:
    import bench_networks
    import onnx

    import cmf

    model = bench_networks.NETWORKS[net]().model()
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "net.onnx")
    x = np.random.default_rng(0).standard_normal([d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim])
    x = x.astype(np.float32)
    expected = ort.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    got = cmf.load(cmf.save(tmp_path / "net.onnx", tmp_path / "net.cmf"))(x)
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max() and np.ptp(expected) > 0


def test_the_big_networks_are_whole(tools: Any) -> None:
    """Parameters of the papers' networks (biases in place of batch normalisation), in thousands."""
    import bench_networks

    for net, thousands in (("mobilenetv2", 3_488), ("resnet18", 11_684), ("resnet50", 25_531)):
        made = bench_networks.NETWORKS[net]()
        assert round(sum(np.prod(c.dims) for c in made.constants) / 1000) == pytest.approx(thousands, rel=5e-3)


def test_figures_and_what_is_missing(tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr(tools.venv, "create", lambda *_, **__: None)  # an environment without Python: nothing installs
    found = run(tools, monkeypatch, tmp_path, "--nets", "lenet300", "--peers", "cmf,cmf_fast,mnn", "--threads", "1,2")
    rows = {(r["peer"], r["threads"]): r for r in found["figures"]}
    assert set(rows) == {(peer, threads) for peer in ("cmf", "cmf_fast") for threads in (1, 2)}
    assert all(0 < r["min_ms"] <= r["median_ms"] and r["cold_ms"] > 0 and r["valid"] for r in rows.values())
    assert list(found["absent"]) == ["mnn"] and found["absent"]["mnn"].startswith("cannot be installed: ")
    assert "absent: mnn: cannot be installed" in capsys.readouterr().out


def test_wrong_results_are_marked(tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    """onnxruntime is played by ours, and then its output spoiled."""
    whole, convert = tools.Bench.measure, tools.Bench.convert

    def measure(self: Any, peer: str, model: Path, inputs: Path, threads: int) -> dict[str, Any]:
        figures = whole(self, "cmf", model, inputs, threads)
        y = np.load(self.work / f"{inputs.stem}_cmf.npy")
        if peer == "onnxruntime":
            np.save(self.work / f"{inputs.stem}_onnxruntime.npy", y + 0.05 * np.abs(y).max())
        return dict(figures)

    monkeypatch.setattr(tools.Bench, "install", lambda *_: None)
    monkeypatch.setattr(tools.Bench, "convert", lambda self, _, path, inputs: convert(self, "cmf", path, inputs))
    monkeypatch.setattr(tools.Bench, "measure", measure)
    found = run(tools, monkeypatch, tmp_path, "--nets", "lenet300", "--peers", "cmf,onnxruntime", "--threads", "1")
    rows = {r["peer"]: r for r in found["figures"]}
    assert rows["cmf"]["error"] == pytest.approx(0.05, rel=0.1) and not rows["cmf"]["valid"]
    assert rows["onnxruntime"]["valid"]
    assert "!" in capsys.readouterr().out


def test_one_measurement(tools: Any, tmp_path: Path) -> None:
    import bench_networks
    import onnx

    onnx.save(bench_networks.NETWORKS["lenet300"]().model(), tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 784), np.float32))
    command = [sys.executable, TOOLS / "bench_peer.py", "onnxruntime", tmp_path / "net.onnx", tmp_path / "x.npz",
               tmp_path / "y.npy", "1", "0.01"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert figures["runs"] >= 5 and 0 < figures["min"] <= figures["median"] and figures["cold"] > 0
    assert np.load(tmp_path / "y.npy").shape == (1, 10)


def test_unknown_names(tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        run(tools, monkeypatch, tmp_path, "--peers", "tensorrt")
    with pytest.raises(SystemExit, match="no network is called 'alexnet'"):
        run(tools, monkeypatch, tmp_path, "--peers", "cmf", "--nets", "alexnet")
