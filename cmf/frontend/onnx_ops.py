"""Converters by ONNX operator name. A converter reads one ONNX node and emits IR nodes."""

from __future__ import annotations

from typing import Callable

from cmf.frontend import onnx_integers, onnx_math, onnx_movers, onnx_spatial
from cmf.frontend.onnx_node import OnnxNode

Converter = Callable[[OnnxNode], None]

CONVERTERS: dict[str, Converter] = {
    **onnx_math.CONVERTERS,
    **onnx_movers.CONVERTERS,
    **onnx_spatial.CONVERTERS,
    **onnx_integers.CONVERTERS,
}
