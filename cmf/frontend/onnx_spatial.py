"""Converters of convolutions, pools and Resize (all two-dimensional)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cmf.frontend.onnx_node import OnnxNode
from cmf.ir.dims import window_size
from cmf.ir.graph import Dim


def _pair(node: OnnxNode, name: str, default: tuple[int, int]) -> tuple[int, int]:
    given = node.integers(name)
    if given is None:
        return default
    if len(given) != 2 or min(given) < 1 or max(given) >= 2**31:
        raise node.error(f"{name} = {given} must be two positive numbers")
    return given[0], given[1]


def _window(node: OnnxNode, kernel: tuple[int, int], space: list[Dim]) -> dict[str, Any]:
    """strides, dilations and pads, with auto_pad worked out."""
    strides, dilations = _pair(node, "strides", (1, 1)), _pair(node, "dilations", (1, 1))
    auto = node.choice("auto_pad", "NOTSET", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))
    pads = node.integers("pads")
    if auto == "NOTSET":
        pads = pads or [0, 0, 0, 0]
        if len(pads) != 4 or max(pads) >= 2**31:
            raise node.error(f"pads = {pads} must be four numbers")
        if min(pads) < 0:
            raise node.unsupported(f"pads = {pads}: negative padding is not supported")
    else:
        pads = [0, 0, 0, 0]
    if auto.startswith("SAME"):
        for i in range(2):
            total = _same(node, kernel[i], strides[i], dilations[i], space[i])
            less, more = total // 2, total - total // 2
            pads[i], pads[i + 2] = (less, more) if auto == "SAME_UPPER" else (more, less)
    return {"strides": strides, "dilations": dilations, "pads": tuple(pads)}


def _same(node: OnnxNode, kernel: int, stride: int, dilation: int, size: Dim) -> int:
    """Padding that gives ceil(size / stride) positions."""
    reach = (kernel - 1) * dilation + 1
    if isinstance(size, str):
        if stride != 1:
            raise node.unsupported("auto_pad with strides needs an input of known height and width")
        return reach - 1
    return max(0, (-(-size // stride) - 1) * stride + reach - size)


def _space(node: OnnxNode) -> list[Dim]:
    shape = node.known_shape(node.input(0))
    if len(shape) != 4:
        raise node.unsupported(f"an input of shape {shape} is not supported; supported: 4 dimensions [N, C, H, W]")
    return list(shape[2:])


def conv(node: OnnxNode) -> None:
    node.arity(2, 3)
    space = _space(node)
    weight = node.known_shape(node.input(1))
    if len(weight) != 4 or any(isinstance(d, str) for d in weight):
        raise node.error(f"the weight must have 4 known dimensions, it has {weight}")
    kernel = (int(weight[2]), int(weight[3]))
    if min(kernel) < 1 or _pair(node, "kernel_shape", kernel) != kernel:
        raise node.error(f"kernel_shape {node.integers('kernel_shape')} is not that of a weight of shape {weight}")
    group = node.integer("group", 1)
    if group < 1:
        raise node.error(f"group is {group}")
    options = {**_window(node, kernel, space), "group": group}
    node.result("Conv", [name for name in (node.input(0), node.input(1), node.optional(2)) if name], options)


def pool(node: OnnxNode) -> None:
    node.arity(1, 1)
    node.one_output()
    space = _space(node)
    if node.integers("kernel_shape") is None:
        raise node.error("kernel_shape is missing")
    kernel = _pair(node, "kernel_shape", (1, 1))
    ceil_mode = node.flag("ceil_mode", False)
    options = {"kernel": kernel, **_window(node, kernel, space), "ceil_mode": ceil_mode}
    if node.op == "MaxPool":
        node.must_be("storage_order", 0)
    else:
        options["count_include_pad"] = node.flag("count_include_pad", False)
    if ceil_mode and all(isinstance(d, int) for d in space):
        _drop_ceil_mode(options, kernel, [int(d) for d in space])
    node.result(node.op, [node.input(0)], options)


def _drop_ceil_mode(options: dict[str, Any], kernel: tuple[int, int], space: list[int]) -> None:
    """Rounding up changes nothing for many sizes; then it need not be asked of the runtime."""
    counts = [
        [
            window_size(
                space[i],
                kernel[i],
                options["strides"][i],
                options["dilations"][i],
                options["pads"][i],
                options["pads"][i + 2],
                up,
            )
            for i in range(2)
        ]
        for up in (False, True)
    ]
    if counts[0] == counts[1]:
        options["ceil_mode"] = False


def global_average_pool(node: OnnxNode) -> None:
    node.arity(1, 1)
    _space(node)
    node.result("GlobalAveragePool", [node.input(0)])


def resize(node: OnnxNode) -> None:
    """The IR knows sizes only, and nearest that rounds down: scales become sizes, other roundings are turned into
    rounding down where that gives the same indices."""
    node.arity(1, 4)
    x = node.input(0)
    shape = node.known_shape(x)
    mode = node.choice("mode", "nearest", ("nearest", "linear"))
    coordinates = node.choice(
        "coordinate_transformation_mode",
        "half_pixel",
        ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"),
    )
    rounding = node.choice("nearest_mode", "round_prefer_floor", ("round_prefer_floor", "floor", "round_prefer_ceil"))
    node.must_be("antialias", 0)
    node.must_be("exclude_outside", 0)
    node.choice("keep_aspect_ratio_policy", "stretch", ("stretch",))
    node.ignore("cubic_coeff_a", "extrapolation_value", "roi")
    scales = _scales(node)
    sizes = _sizes(node, x, scales)
    factors = _factors(node, x, sizes, scales)
    if mode == "nearest" and rounding != "floor":
        coordinates = _as_floor(node, coordinates, rounding, factors)
    if mode == "linear" and len(shape) != 4:
        raise node.unsupported(f"mode = linear of a value of {len(shape)} dimensions is not supported; supported: 4")
    if mode == "linear" and any(f not in (1, None) for f in factors[:2]):
        raise node.unsupported("mode = linear may change height and width only")
    node.result("Resize", [x, sizes], {"mode": mode, "coordinates": coordinates})


def _axes(node: OnnxNode) -> list[int]:
    """The axes that scales and sizes speak of: all where none are named."""
    rank = len(node.known_shape(node.input(0)))
    axes = node.integers("axes") or list(range(rank))
    if any(not -rank <= a < rank for a in axes) or len({a % rank for a in axes}) != len(axes):
        raise node.error(f"axes {axes} do not fit a value of {rank} dimensions")
    return [a % rank for a in axes]


def _scales(node: OnnxNode) -> list[float] | None:
    """A scale for each dimension, None where sizes are given."""
    axes = _axes(node)
    if node.has(3):
        return None
    if not node.has(2):
        raise node.error("needs scales or sizes")
    data = node.known(2, "scales")
    if data.dtype != np.float32 or data.shape != (len(axes),):
        raise node.error(f"scales must be f32, one for each of {len(axes)} axes")
    scales = [1.0] * len(node.known_shape(node.input(0)))
    for axis, scale in zip(axes, data):
        scales[axis] = float(scale)
    if not all(0 < s < 2**31 for s in scales):
        raise node.error(f"scales {scales} must be positive")
    return scales


def _sizes(node: OnnxNode, x: str, scales: list[float] | None) -> str:
    shape = node.known_shape(x)
    if scales is None:
        return _all_sizes(node, x, node.indices(node.input(3)))
    target: list[int] = []
    for i, (dim, scale) in enumerate(zip(shape, scales)):
        if scale != int(scale) and (isinstance(dim, str) or dim * scale != int(dim * scale)):
            raise node.unsupported(
                f"scale {scale} of dimension {dim} on axis {i} gives no whole number, which is not supported"
            )
        target.append(0 if isinstance(dim, str) else int(dim * scale))
    if all(isinstance(d, int) for d in shape):
        return node.add_constant(np.array(target, np.int64), f"{node.name}/sizes")
    sizes = node.emit("Shape", [x])
    return node.emit("Mul", [sizes, node.add_constant(np.array(scales, np.int64))])


def _all_sizes(node: OnnxNode, x: str, sizes: str) -> str:
    """Sizes for all axes, those that are not named as in the input."""
    axes, rank = _axes(node), len(node.known_shape(x))
    if axes == list(range(rank)):
        return sizes
    everything = node.emit("Concat", [node.emit("Shape", [x]), sizes], {"axis": 0})
    order = [rank + axes.index(i) if i in axes else i for i in range(rank)]
    return node.emit("Gather", [everything, node.add_constant(np.array(order, np.int64))], {"axis": 0})


def _factors(node: OnnxNode, x: str, sizes: str, scales: list[float] | None) -> list[float | None]:
    """How much larger each dimension becomes, None where that is not known."""
    if scales is not None:
        return list(scales)
    shape, wanted = node.known_shape(x), node.importer.infos[sizes].content
    if wanted is None:
        return [None] * len(shape)
    factors: list[float | None] = []
    for dim, size in zip(shape, wanted.reshape(-1)):
        both = isinstance(dim, int) and isinstance(size, int) and dim > 0
        factors.append(size / dim if both else 1.0 if dim == size else None)
    return factors


def _as_floor(node: OnnxNode, coordinates: str, rounding: str, factors: list[float | None]) -> str:
    """Coordinates with which rounding down gives the indices that were asked for.

    For a whole factor f, half-pixel coordinates (i + 1/2) / f - 1/2 rounded to nearest are floor(i / f), and so are
    asymmetric ones i / f rounded with ties down where f is 1 or 2.
    """
    whole = all(f is not None and f >= 1 and f == int(f) for f in factors)
    if whole and coordinates in ("half_pixel", "pytorch_half_pixel"):
        return "asymmetric"
    if whole and coordinates == "asymmetric" and rounding == "round_prefer_floor" and all(f in (1, 2) for f in factors):
        return "asymmetric"
    raise node.unsupported(
        f"nearest_mode = {rounding} with coordinates {coordinates} is not supported for these sizes; "
        "supported: nearest_mode = floor, or whole factors with half_pixel"
    )


CONVERTERS = {
    "Conv": conv,
    "MaxPool": pool,
    "AveragePool": pool,
    "GlobalAveragePool": global_average_pool,
    "Resize": resize,
}
