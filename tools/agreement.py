"""How far a compressed image classifier agrees with its original: file size, top-1 agreement, mean KL of the outputs.

    python tools/agreement.py net.onnx pictures/ "int8" "first: int8; depthwise: int8; int4(group=32)" --calibrate 32

Pictures: JPEG or PNG files, centre crop of the network's input size, (rgb - mean) / std. Those that calibrate (spread
over the folder) are not judged. Both networks run in the C library. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import cmf
from cmf.container.writer import to_bytes

F32 = npt.NDArray[np.float32]


def picture(file: Path, size: int, mean: float, std: float) -> F32:
    """The centre of a picture as [1, 3, size, size]; smaller ones are enlarged first."""
    with Image.open(file) as image:
        rgb = image.convert("RGB")
        if min(rgb.size) < size:
            scale = size / min(rgb.size)
            rgb = rgb.resize((max(size, round(rgb.width * scale)), max(size, round(rgb.height * scale))))
        left, top = (rgb.width - size) // 2, (rgb.height - size) // 2
        pixels = np.asarray(rgb.crop((left, top, left + size, top + size)), np.float32)
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]


def log_softmax(logits: F32) -> npt.NDArray[np.float64]:
    x = logits.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def outputs(run: cmf.runtime.Session, pictures: Iterator[F32]) -> F32:
    return np.concatenate([np.asarray(run(x)) for x in pictures])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="an ONNX classifier with one NCHW input")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--calibrate", type=int, default=0, metavar="N", help="calibrate with N of the pictures")
    parser.add_argument("--mean", type=float, default=127.0)
    parser.add_argument("--std", type=float, default=128.0)
    parser.add_argument("--limit", type=int, help="judge on at most this many")
    given = parser.parse_args()

    source = cmf.Model.of(given.model)
    ((name, (_, shape)),) = source.inputs.items()
    if shape is None or len(shape) != 4 or not isinstance(shape[3], int):
        parser.error(f"the model's input has shape {shape}; pictures need [N, 3, size, size]")
    files = sorted(f for f in given.pictures.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png"))
    calibrating = files[:: max(1, len(files) // given.calibrate)][: given.calibrate] if given.calibrate else []
    judged = [f for f in files if f not in set(calibrating)][: given.limit]
    if not judged:
        parser.error(f"{given.pictures} holds no picture to judge on")

    def load(chosen: list[Path]) -> Iterator[F32]:
        return (picture(f, int(shape[3]), given.mean, given.std) for f in chosen)

    calibration = [{name: x} for x in load(calibrating)] or None
    original = to_bytes(cmf.compress(source, "f32")[0].graph)
    expected = outputs(cmf.load(original), load(judged))
    probability = log_softmax(expected)
    counts = f"{len(judged)} pictures, calibrated on {len(calibrating)}"
    print(f"{given.model.name}: {len(original):,} bytes as f32; {counts}\n")
    print("| recipe | bytes | ratio | top-1 agreement | mean KL |\n|---|---|---|---|---|")
    for recipe in given.recipes:
        model, _ = cmf.compress(source, recipe, calibration)
        file = to_bytes(model.graph, codec=model.codec)
        found = outputs(cmf.load(file), load(judged))
        agreement = float((found.argmax(-1) == expected.argmax(-1)).mean())
        kl = float((np.exp(probability) * (probability - log_softmax(found))).sum(-1).mean())
        ratio = len(original) / len(file)
        print(f"| `{recipe}` | {len(file):,} | {ratio:.2f} | {agreement:.1%} | {kl:.4f} |", flush=True)


if __name__ == "__main__":
    main()
