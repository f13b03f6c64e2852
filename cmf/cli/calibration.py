"""Calibration inputs from files: a .npz of arrays, or a folder of pictures or arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.cli.run import read_array
from cmf.errors import CmfError, ShapeError

Array = npt.NDArray[Any]
Shape = Sequence[int | str] | None

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
ARRAYS = {".npy", ".npz"}


@dataclass(frozen=True)
class Pictures:
    """How a picture becomes an input: shorter side to ``resize``, the middle cut out, (rgb - mean) / std."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False
    resize: int | None = None


def read_calibration(path: Path, inputs: Mapping[str, Shape], pictures: Pictures, limit: int,
                     track: Any = iter) -> dict[str, Array]:
    """Arrays by input name, samples along the first axis.

    ``inputs``: shapes by name. A folder's files are taken in the order of their names, ``limit`` of them at most;
    ``track`` wraps the iteration (a progress bar). Raises CmfError.
    """
    if not path.is_dir():
        loaded = read_array(path)
        if not isinstance(loaded, dict):
            loaded = {_only(inputs, path): loaded}
        return _named(loaded, inputs, path)
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURES | ARRAYS)[:limit]
    if not files:
        raise CmfError(f"{path} holds no pictures ({', '.join(sorted(PICTURES))}) and no arrays (.npy, .npz)", "E_IO")
    samples: dict[str, list[Array]] = {}
    for file in track(files):
        if file.suffix.lower() in PICTURES:
            name = _only(inputs, path)
            found: dict[str, Array] = {name: read_picture(file, inputs[name], pictures)}
        else:
            loaded = read_array(file)
            found = _named(loaded if isinstance(loaded, dict) else {_only(inputs, file): loaded}, inputs, file)
        for name, array in found.items():
            shape = inputs[name]
            samples.setdefault(name, []).append(array[None] if shape and array.ndim == len(shape) - 1 else array)
    return {name: _join(name, arrays) for name, arrays in samples.items()}


def read_picture(file: Path, shape: Shape, how: Pictures) -> Array:
    """A picture as f32 [1, 3, H, W] or [1, H, W, 3], whichever the input's shape says (1 channel: grey)."""
    try:
        from PIL import Image
    except ImportError:
        raise CmfError("reading pictures needs pillow: pip install 'cmf-format[images]'", "E_IO") from None
    if shape is None or len(shape) != 4:
        raise ShapeError("pictures fit inputs of shape [N, C, H, W] or [N, H, W, C]; give arrays for this one")
    axis = next((a for a in (1, 3) if shape[a] in (1, 3)), None)
    if axis is None:
        raise ShapeError(f"an input of shape {list(shape)} has neither 1 nor 3 channels; give arrays for it")
    height, width = (shape[2], shape[3]) if axis == 1 else (shape[1], shape[2])
    try:
        with Image.open(file) as opened:
            picture = opened.convert("L" if shape[axis] == 1 else "RGB")
    except OSError as cause:
        raise CmfError(f"{file} is no picture: {cause}", "E_IO") from None
    height, width = _extent(height, how.resize or picture.height), _extent(width, how.resize or picture.width)
    if how.resize or picture.width < width or picture.height < height:
        shorter = how.resize or max(width, height)
        factor = max(shorter / min(picture.size), width / picture.width, height / picture.height)
        size = (max(width, round(picture.width * factor)), max(height, round(picture.height * factor)))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    pixels = np.asarray(picture.crop((left, top, left + width, top + height)), np.float32)
    pixels = pixels.reshape(height, width, -1)
    if how.bgr:
        pixels = pixels[:, :, ::-1]
    pixels = (pixels - np.float32(how.mean)) / np.float32(how.std)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if axis == 1 else pixels)[None].astype(np.float32)


def _extent(dim: int | str, otherwise: int) -> int:
    return dim if isinstance(dim, int) else otherwise


def _only(inputs: Iterable[str], path: Path) -> str:
    names = list(inputs)
    if len(names) != 1:
        raise CmfError(f"which input is {path}? The model has {', '.join(names)}: give .npz files with these names")
    return names[0]


def _named(arrays: Mapping[str, Array], inputs: Iterable[str], path: Path) -> dict[str, Array]:
    names = list(inputs)
    if len(arrays) == len(names) == 1:  # no doubt which one is meant
        return {names[0]: next(iter(arrays.values()))}
    for name in names:
        if name not in arrays:
            raise CmfError(f"{path} has no array {name!r}; it has {', '.join(arrays) or 'none'}")
    return {name: arrays[name] for name in names}


def _join(name: str, arrays: list[Array]) -> Array:
    try:
        return np.concatenate(arrays)
    except ValueError as cause:
        raise ShapeError(f"calibration samples of input {name!r} do not fit together: {cause}") from None
