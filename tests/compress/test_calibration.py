"""Calibration inputs from arrays, files and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import Builder, images, small_net

from cmf.calibration import Images, calibration_inputs
from cmf.errors import CmfError, ShapeError
from cmf.ir.graph import Value


def counts(source: Any) -> int:
    examples = calibration_inputs(source, small_net())
    assert all(list(e) == ["x"] and e["x"].shape == (1, 12, 12, 3) and e["x"].dtype == np.float32 for e in examples)
    return len(examples)


def test_arrays_are_split_into_examples(tmp_path: Path) -> None:
    x = images(5)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    for source in (x, {"x": x}, [x[:2], x[2:]], [{"x": x}], tmp_path / "x.npy", str(tmp_path / "x.npz"), list(x),
                   x.astype(np.float64)):
        assert counts(source) == 5
    np.testing.assert_array_equal(calibration_inputs(x, small_net())[3]["x"], x[3:4])


def test_several_inputs_go_together() -> None:
    b = Builder(("N", 3))
    b.graph.inputs.append("z")
    b.graph.values["z"] = Value("z", "f32", ("N", 3))
    graph = b.done(b.add("Add", ["x", "z"], "y"))
    data = {"x": np.zeros((4, 3), np.float32), "z": np.ones((4, 3), np.float32)}
    assert len(calibration_inputs(data, graph)) == 4
    with pytest.raises(CmfError, match="by name"):
        calibration_inputs(data["x"], graph)
    with pytest.raises(CmfError, match="the model's are x, z"):
        calibration_inputs({"x": data["x"]}, graph)
    with pytest.raises(ShapeError, match="2 and 4 examples"):
        calibration_inputs({"x": data["x"], "z": data["z"][:2]}, graph)


def test_a_fixed_batch_stays_whole() -> None:
    graph = small_net()
    graph.values["x"].shape = (4, 12, 12, 3)
    examples = calibration_inputs(images(4), graph)
    assert len(examples) == 1 and examples[0]["x"].shape == (4, 12, 12, 3)


def test_wrong_arrays(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="the model takes"):
        calibration_inputs(np.zeros((2, 3, 12, 12), np.float32), small_net())
    with pytest.raises(ShapeError, match="dtype"):
        calibration_inputs(np.zeros((2, 12, 12, 3), np.complex64), small_net())
    with pytest.raises(CmfError, match="no calibration inputs"):
        calibration_inputs([], small_net())
    with pytest.raises(CmfError, match="cannot calibrate with a int"):
        calibration_inputs(3, small_net())
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    for name in ("bad.npz", "missing.npy"):
        with pytest.raises(CmfError, match=name):
            calibration_inputs(tmp_path / name, small_net())


# ---------------------------------------------------------------- pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    for index in range(5):
        pixels = np.full((20 + index, 30, 3), (10 * index, 100, 200), np.uint8)
        image.fromarray(pixels).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_pictures(folder: Path) -> None:
    batch = list(Images(folder, (12, 12), mean=(1, 2, 3), scale=0.5, layout="nhwc"))
    assert len(batch) == 5 and batch[0].shape == (1, 12, 12, 3) and batch[0].dtype == np.float32
    np.testing.assert_allclose(batch[2][0, 5, 5], (np.array([20, 100, 200]) - [1, 2, 3]) * 0.5)
    first = next(iter(Images(folder, (10, 12), channels="bgr", scale=1)))
    assert first.shape == (1, 3, 10, 12)
    np.testing.assert_allclose(first[0, :, 0, 0], [200, 100, 0])
    gray = next(iter(Images(folder, (8, 8), channels="gray", scale=1, fit="stretch")))
    assert gray.shape == (1, 1, 8, 8)
    spread = [batch[0, 0, 0, 0] for batch in Images(folder, (8, 8), scale=1, limit=3)]
    assert spread == [0, 20, 40]


def test_pictures_as_calibration(folder: Path) -> None:
    assert counts(Images(folder, (12, 12), layout="nhwc")) == 5
    with pytest.raises(CmfError, match="how are its pictures to be prepared"):
        calibration_inputs(folder, small_net())
    (folder / "preprocessing.json").write_text(json.dumps({"size": [12, 12], "layout": "nhwc", "mean": 127}))
    assert counts(folder) == 5
    (folder / "preprocessing.json").write_text('{"sise": 3}')
    with pytest.raises(CmfError, match="preprocessing.json"):
        calibration_inputs(folder, small_net())


def test_wrong_pictures(folder: Path, tmp_path: Path) -> None:
    for arguments in ({"channels": "cmyk"}, {"layout": "chw"}, {"fit": "pad"}, {"limit": 0}, {"resize": 5}):
        with pytest.raises(CmfError, match="images: "):
            Images(folder, (8, 8), **arguments)  # type: ignore[arg-type]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CmfError, match="holds no pictures"):
        list(Images(empty, (8, 8)))
    (folder / "3.png").write_bytes(b"not a png")
    with pytest.raises(CmfError, match=r"3\.png is not a picture"):
        list(Images(folder, (8, 8)))
