"""The command line: what it prints, writes and returns - and that it fails in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cmf
from cmf.cli.main import cmf as command

FIXTURES = Path(__file__).parents[1] / "fixtures"
LENET = FIXTURES / "lenet_300_100.onnx"


def call(*arguments: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def refused(*arguments: Any) -> str:
    """The one line on stderr of a call that fails with code 1."""
    result = call(*arguments, code=1)
    assert result.stdout == "" and isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert line.startswith("cmf: ")
    return line.removeprefix("cmf: ")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "small.cmf"
    result = call("compress", LENET, "-o", path, "--recipe", "prune(0.5) + codebook(16)")
    assert "sparse(" in result.stdout and "codebook(4 bits)" in result.stdout
    return path


@pytest.fixture(scope="module")
def digits() -> np.ndarray[Any, np.dtype[np.float32]]:
    with np.load(FIXTURES / "mnist_sample.npz") as sample:
        return sample["x"][:4, None].astype(np.float32) / 255


# ---------------------------------------------------------------- compress


def test_compress_writes_a_smaller_file(small: Path) -> None:
    assert small.stat().st_size < LENET.stat().st_size / 8
    assert cmf.load(small, verify="full")(np.zeros((1, 1, 28, 28), np.float32)).shape == (1, 10)


def test_compress_reports_json(tmp_path: Path, digits: Any) -> None:
    np.savez(tmp_path / "inputs.npz", image=digits)
    result = call("compress", LENET, "-o", tmp_path / "a.cmf", "-r", "int8", "-c", tmp_path / "inputs.npz", "--json")
    report = json.loads(result.stdout)
    assert [layer["tree"] for layer in report["layers"]] == ["quantized(int8, channel)"] * 3
    assert all(layer["output_sqnr"] > 20 for layer in report["layers"]) and report["outputs"]["logits"] > 20


def test_compress_with_static_activations_from_pictures(tmp_path: Path, digits: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, digit in enumerate(digits[:, 0]):
        image.fromarray((digit * 255).astype(np.uint8)).save(folder / f"{index}.png")
    call("compress", LENET, "-o", tmp_path / "a.cmf", "-r", "int8 + a8", "-c", folder, "--mean", 0, "--std", 255, "-q")
    exact, integer = cmf.load(cmf.save(LENET, tmp_path / "b.cmf"))(digits), cmf.load(tmp_path / "a.cmf")(digits)
    assert (exact.argmax(1) == integer.argmax(1)).all()
    assert "int8_static" in call("inspect", tmp_path / "a.cmf", "--json").stdout


def test_compress_needs_to_know_how_pictures_are_prepared(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    assert "preprocessing.json" in refused("compress", LENET, "-o", tmp_path / "a.cmf", "-c", tmp_path / "pictures")


@pytest.mark.parametrize("arguments, message", [
    (["--recipe", "int9"], "recipe 'int9', position 1: unknown step 'int9'"),
    (["--recipe", "int8 + prune(0.5)"], "must come before"),
    (["--recipe", "int8 + a8"], "a8 needs calibration inputs"),
    (["--calibration", "none.npz"], "none.npz"),
])
def test_compress_refuses(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert message in refused("compress", LENET, "-o", tmp_path / "a.cmf", *arguments)
    assert not (tmp_path / "a.cmf").exists()


def test_compress_refuses_files_that_are_no_networks(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    assert "bad.onnx" in refused("compress", tmp_path / "bad.onnx", "-o", tmp_path / "a.cmf")
    assert "none.onnx" in refused("compress", tmp_path / "none.onnx", "-o", tmp_path / "a.cmf")
    assert str(tmp_path / "no") in refused("compress", LENET, "-o", tmp_path / "no" / "a.cmf")


# ---------------------------------------------------------------- inspect


def test_inspect_json_is_json_and_adds_up(small: Path) -> None:
    facts = json.loads(call("inspect", "--json", small).stdout)
    assert facts["bytes"]["file"] == small.stat().st_size
    assert facts["graph"]["inputs"] == [
        {"name": "image", "dtype": "float32", "shape": ["N", 1, 28, 28], "affine": None}]
    weights = facts["weights"]
    assert [w["parameters"] for w in weights] == [784 * 300, 300 * 100, 100 * 10]
    assert facts["totals"]["parameters"] == 266_200
    assert facts["totals"]["encoded"] == sum(w["encoded"] for w in weights) <= facts["bytes"]["data"]
    for weight in weights:
        assert weight["tree"].startswith("sparse(") and weight["ops"] == ["MatMul"]
        assert weight["bits"] == pytest.approx(8 * weight["encoded"] / weight["parameters"], abs=1e-3)
        assert weight["flash"] == weight["encoded"] and weight["resident"] == 0


def test_inspect_shows_what_zstd_costs(tmp_path: Path) -> None:
    call("compress", LENET, "-o", tmp_path / "z.cmf", "-r", "int4 + zstd", "-q")
    facts = json.loads(call("inspect", "--json", tmp_path / "z.cmf").stdout)
    assert facts["features"] == ["zstd"]
    assert any(w["resident"] == w["encoded"] > w["flash"] for w in facts["weights"])
    assert facts["bytes"]["resident"] >= sum(w["resident"] for w in facts["weights"])


def test_inspect_for_people(small: Path) -> None:
    text = call("inspect", small).stdout
    for part in ("CMF 1.0", "input image: float32 [N, 1, 28, 28]", "sparse(50.0 %, codebook(4 bits))", "784x300",
                 "3 weights, 266,200 parameters", "transient"):
        assert part in text


# ---------------------------------------------------------------- run


def test_run_reads_and_writes_arrays(small: Path, tmp_path: Path, digits: Any) -> None:
    np.save(tmp_path / "x.npy", digits)
    np.savez(tmp_path / "x.npz", image=digits)
    expected = cmf.load(small)(digits)
    for given in (tmp_path / "x.npy", f"image={tmp_path / 'x.npy'}", tmp_path / "x.npz"):
        text = call("run", small, "--input", given, "--output", tmp_path / "y.npz", "--isa", "scalar").stdout
        assert "logits" in text and " ms" in text
        with np.load(tmp_path / "y.npz") as written:
            np.testing.assert_allclose(written["logits"], expected, rtol=1e-4, atol=1e-4)
    call("run", small, "-i", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--threads", 2, "--repeat", 2, "--verify")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_run_invents_no_inputs(small: Path) -> None:
    assert refused("run", small).startswith("no data for: image float32 [N, 1, 28, 28]. Give --input NAME=FILE.npy")
    one, same, other = (call("run", small, "--random", seed, "--dim", "N=3").stdout for seed in (1, 1, 2))
    def row(text: str) -> str:
        return next(line for line in text.splitlines() if "logits" in line)
    assert row(one) == row(same) != row(other) and "[3, 10]" in one


def test_run_refuses(small: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 28, 28)))
    (tmp_path / "text.npy").write_text("hello")
    assert "float64, the model expects image float32" in refused("run", small, "-i", tmp_path / "x.npy")
    assert "no input is called 'z'" in refused("run", small, "-i", f"z={tmp_path / 'x.npy'}", "--random", 0)
    assert "none.npy" in refused("run", small, "-i", tmp_path / "none.npy")
    assert "text.npy is no .npy or .npz" in refused("run", small, "-i", tmp_path / "text.npy")
    assert "instruction set 'mmx' is not available" in refused("run", small, "--random", 0, "--isa", "mmx")
    assert "--output must end in" in refused("run", small, "--random", 0, "-o", tmp_path / "y.txt")
    call("run", small, "--random", 0, "--dim", "N", code=2)
    call("run", small, "--threads", 0, code=2)
    call("run", code=2)


def test_pickles_are_refused(small: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "x.npy is no .npy or .npz file of plain numbers" in refused("run", small, "-i", tmp_path / "x.npy")


# ---------------------------------------------------------------- verify, and all of them


def test_verify(small: Path, tmp_path: Path) -> None:
    assert "valid" in call("verify", small).stdout
    assert call("verify", "--quiet", small).stdout == ""
    data = bytearray(small.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.cmf").write_bytes(data)
    assert refused("verify", tmp_path / "bad.cmf")


@pytest.mark.parametrize("name", ["inspect", "run", "verify"])
def test_files_that_are_no_cmf_files(name: str, tmp_path: Path) -> None:
    assert "cannot be opened" in refused(name, tmp_path / "none.cmf")
    (tmp_path / "empty.cmf").write_bytes(b"")
    refused(name, tmp_path / "empty.cmf")
    refused(name, tmp_path)
    assert "not a CMF file" in refused(name, LENET)


def test_installed_commands_and_tracebacks(small: Path, tmp_path: Path) -> None:
    folder = Path(sys.executable).parent
    done = subprocess.run([folder / "cmf-inspect", "--json", small], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["totals"]["weights"] == 3 and done.stderr == ""
    missing = [folder / "cmf", "verify", tmp_path / "none.cmf"]
    plain = subprocess.run(missing, capture_output=True, text=True)
    assert plain.returncode == 1 and plain.stderr.count("\n") == 1 and plain.stdout == ""
    debug = subprocess.run(missing, capture_output=True, text=True, env={**os.environ, "CMF_DEBUG": "1"})
    assert debug.returncode == 1 and "Traceback" in debug.stderr and "CmfError" in debug.stderr
    version = subprocess.run([folder / "cmf", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.split() == ["cmf,", "version", cmf.__version__]


def test_faults_of_the_program_are_one_line_too(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cmf.cli import inspect

    def broken(_: Path) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(inspect, "describe", broken)
    assert refused("inspect", small).startswith("a fault in this program, please report it: KeyError: 'surprise'")
