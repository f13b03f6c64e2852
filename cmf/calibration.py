"""Calibration inputs: arrays, .npy and .npz files, or a folder of pictures with a stated preprocessing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.errors import CmfError, ShapeError
from cmf.ir.graph import NUMPY_DTYPES, Graph, Value

Array = npt.NDArray[Any]

#: the name of the file beside pictures that holds the arguments of :class:`Images`
PREPROCESSING = "preprocessing.json"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True)
class Images:
    """A folder of pictures as inputs ``(pixel - mean) * scale``.

    ``size``: (height, width) of the input. ``mean``, ``scale``: a number, or one for each channel; pixels are 0..255.
    ``channels``: rgb, bgr or gray. ``layout``: nchw or nhwc. ``fit``: crop (the shorter side is resized to ``resize``,
    by default the larger of ``size``, and the middle cut out) or stretch. Pictures are taken in the order of their
    names, evenly spread where there are more than ``limit``. Needs pillow (``pip install cmf-format[images]``).
    """

    folder: str | os.PathLike[str]
    size: tuple[int, int]
    mean: float | Sequence[float] = 0.0
    scale: float | Sequence[float] = 1 / 255
    channels: str = "rgb"
    layout: str = "nchw"
    fit: str = "crop"
    resize: int | None = None
    limit: int = 64

    def __post_init__(self) -> None:
        choices = {"channels": ("rgb", "bgr", "gray"), "layout": ("nchw", "nhwc"), "fit": ("crop", "stretch")}
        for name, legal in choices.items():
            if getattr(self, name) not in legal:
                raise CmfError(f"images: {name} is {getattr(self, name)!r}; it must be {' or '.join(legal)}")
        if len(tuple(self.size)) != 2 or min(self.size) < 1 or self.limit < 1:
            raise CmfError(f"images: size is {self.size}, limit {self.limit}; give (height, width), a number")
        if self.resize is not None and self.resize < max(self.size):
            raise CmfError(f"images: resize is {self.resize}; a crop of {tuple(self.size)} needs {max(self.size)}")

    @staticmethod
    def of(folder: str | os.PathLike[str]) -> Images:
        """From a folder that holds a ``preprocessing.json`` with the arguments above."""
        path = Path(folder) / PREPROCESSING
        if not path.is_file():
            raise CmfError(f"{os.fspath(folder)}: how are its pictures to be prepared? Give cmf.calibration.Images("
                           f"folder, size=(224, 224), mean=..., scale=...) or write those into {PREPROCESSING} there")
        try:
            return Images(folder, **json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise CmfError(f"{path}: {error}") from None

    def __iter__(self) -> Iterator[Array]:
        files = sorted(p for p in Path(self.folder).iterdir() if p.suffix.lower() in _SUFFIXES)
        if not files:
            raise CmfError(f"{os.fspath(self.folder)} holds no pictures ({', '.join(_SUFFIXES)})")
        picked = np.unique(np.linspace(0, len(files) - 1, min(self.limit, len(files))).round().astype(int))
        return (self.load(files[i]) for i in picked)

    def load(self, file: str | os.PathLike[str]) -> Array:
        """One picture as f32 [1, C, H, W] or [1, H, W, C]."""
        try:
            from PIL import Image, UnidentifiedImageError
        except ImportError:
            raise CmfError("reading pictures needs pillow: pip install cmf-format[images]", "E_UNSUPPORTED") from None
        try:
            with Image.open(file) as opened:
                picture = opened.convert("L" if self.channels == "gray" else "RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise CmfError(f"{os.fspath(file)} is not a picture that can be read: {error}", "E_IO") from None
        height, width = self.size
        if self.fit == "stretch":
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        else:
            ratio = (self.resize or max(height, width)) / min(picture.size)
            new = (max(width, round(picture.width * ratio)), max(height, round(picture.height * ratio)))
            picture = picture.resize(new, Image.Resampling.BILINEAR)
            left, top = (picture.width - width) // 2, (picture.height - height) // 2
            picture = picture.crop((left, top, left + width, top + height))
        pixels = np.asarray(picture, np.float32).reshape(height, width, -1)
        if self.channels == "bgr":
            pixels = pixels[:, :, ::-1]
        pixels = (pixels - np.asarray(self.mean, np.float32)) * np.asarray(self.scale, np.float32)
        if self.layout == "nchw":
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels[None])


def calibration_inputs(source: Any, graph: Graph) -> list[dict[str, Array]]:
    """Inputs for runs of a graph, one example at a time where the batch dimension is free or 1.

    ``source``: an array or a dict of arrays by input name (a batch of examples), a sequence of those, the path of a
    .npy or .npz file, :class:`Images`, or a folder of pictures with a preprocessing.json. Raises CmfError.
    """
    examples = [example for batch in _batches(source) for example in _examples(batch, graph)]
    if not examples:
        raise CmfError("there are no calibration inputs")
    return examples


def _batches(source: Any) -> Iterable[Mapping[str, Array] | Array]:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return Images.of(path) if path.is_dir() else [_file(path)]
    if isinstance(source, (Mapping, np.ndarray)):
        return [source]
    if isinstance(source, Images) or isinstance(source, Iterable):
        return source
    raise CmfError(f"cannot calibrate with a {type(source).__name__}; give arrays, a .npy or .npz file, or Images")


def _file(path: Path) -> Mapping[str, Array] | Array:
    try:
        loaded = np.load(path, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise CmfError(f"{path}: cannot read calibration inputs (.npy or .npz): {error}", "E_IO") from None


def _examples(batch: Mapping[str, Array] | Array, graph: Graph) -> Iterator[dict[str, Array]]:
    if not isinstance(batch, Mapping):
        if len(graph.inputs) != 1:
            raise CmfError(f"the model has inputs {', '.join(graph.inputs)}: give calibration arrays by name")
        batch = {graph.inputs[0]: np.asarray(batch)}
    missing = [name for name in graph.inputs if name not in batch]
    if missing or len(batch) != len(graph.inputs):
        raise CmfError(f"calibration inputs are {', '.join(batch)}; the model's are {', '.join(graph.inputs)}")
    arrays = {name: _array(np.asarray(batch[name]), graph.value(name)) for name in graph.inputs}
    counts = {len(array) for name, array in arrays.items() if _splits(graph.value(name))}
    if not counts or not all(_splits(graph.value(name)) for name in graph.inputs):
        yield arrays
        return
    if len(counts) != 1:
        raise ShapeError(f"calibration inputs hold {' and '.join(map(str, sorted(counts)))} examples; they must agree")
    for index in range(counts.pop()):
        yield {name: array[index : index + 1] for name, array in arrays.items()}


def _splits(value: Value) -> bool:
    """Is the first dimension a batch that may be 1?"""
    return value.shape is not None and len(value.shape) > 0 and (isinstance(value.shape[0], str) or value.shape[0] == 1)


def _array(array: Array, value: Value) -> Array:
    shape = value.shape
    if shape is not None and array.ndim == len(shape) - 1:
        array = array[None]
    wanted = np.dtype(NUMPY_DTYPES[value.dtype])
    if array.dtype != wanted:
        if array.dtype.kind not in "iuf" or wanted.kind not in ("f" if array.dtype.kind == "f" else "iuf"):
            raise ShapeError(f"calibration input {value.name!r} has dtype {array.dtype}; the model takes {wanted}")
        array = array.astype(wanted)
    if shape is not None and (array.ndim != len(shape) or any(
            isinstance(d, int) and d != n for d, n in zip(shape[1:], array.shape[1:], strict=True))):
        raise ShapeError(f"calibration input {value.name!r} has shape {array.shape}; the model takes {shape}")
    return array
