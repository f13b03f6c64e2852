"""Sliding windows of convolutions and pools, channels last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cmf.errors import ShapeError
from cmf.reference.call import Array, Call

#: bytes of patches held at a time
BLOCK = 1 << 25


@dataclass(frozen=True)
class Windows:
    """Kernel, strides, dilations as (height, width); pads as (top, left, bottom, right)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    ceil: bool = False

    @staticmethod
    def of(call: Call, kernel: tuple[int, ...], ceil: bool = False) -> Windows:
        """From a node's options; two spatial dimensions only."""
        if len(kernel) != 2:
            raise ShapeError(f"{call.where}: kernel {kernel} has {len(kernel)} dimensions; only 2 are supported")
        strides, dilations = call.option("strides"), call.option("dilations")
        pads = call.option("pads")
        return Windows((kernel[0], kernel[1]), (strides[0], strides[1]), (dilations[0], dilations[1]),
                       (pads[0], pads[1], pads[2], pads[3]), ceil)

    def size(self, axis: int, length: int) -> int:
        """Windows along an axis (0: height). In ceil mode none begins behind the input."""
        before, after = self.pads[axis], self.pads[axis + 2]
        span = (self.kernel[axis] - 1) * self.dilations[axis] + 1
        room, stride = length + before + after - span, self.strides[axis]
        if room < 0:
            raise ShapeError(f"a window of {span} does not fit {length} inputs with padding {before} and {after}")
        count = (-(-room // stride) if self.ceil else room // stride) + 1
        if self.ceil and (count - 1) * stride >= length + before:
            count -= 1
        return count

    def patches(self, x: Array, fill: float | int) -> Array:
        """A view [N, Ho, Wo, kh, kw, C] of x [N, H, W, C] padded with `fill`."""
        n, height, width, channels = x.shape
        ho, wo = self.size(0, height), self.size(1, width)
        top, left, bottom, right = self.pads
        # a window of ceil mode may reach beyond the padding
        need_h = (ho - 1) * self.strides[0] + (self.kernel[0] - 1) * self.dilations[0] + 1
        need_w = (wo - 1) * self.strides[1] + (self.kernel[1] - 1) * self.dilations[1] + 1
        bottom, right = max(bottom, need_h - height - top), max(right, need_w - width - left)
        if any((top, left, bottom, right)):
            x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
        x = np.ascontiguousarray(x)
        sn, sh, sw, sc = x.strides
        return as_strided(x, (n, ho, wo, *self.kernel, channels),
                          (sn, sh * self.strides[0], sw * self.strides[1],
                           sh * self.dilations[0], sw * self.dilations[1], sc), writeable=False)


def convolve(x: Array, w: Array, windows: Windows, group: int, fill: float | int = 0) -> Array:
    """x [N, H, W, I], w [O, kh, kw, I/group] -> [N, Ho, Wo, O], in the arrays' own float type."""
    outputs, kh, kw, per_group = w.shape
    if x.shape[-1] != per_group * group or outputs % group:
        raise ShapeError(f"a convolution of {outputs} outputs with {per_group} inputs for each of {group} groups "
                         f"does not fit {x.shape[-1]} channels")
    if per_group == 1:
        x = np.repeat(x, outputs // group, axis=-1) if outputs != group else x
        view = windows.patches(x, fill)
        y = np.zeros((*view.shape[:3], outputs), x.dtype)
        for i in range(kh):
            for j in range(kw):
                y += view[:, :, :, i, j] * w[:, i, j, 0]
        return y
    view = windows.patches(x, fill)
    n, ho, wo = view.shape[:3]
    y = np.empty((n, ho, wo, outputs), x.dtype)
    # [group, kh * kw * I/group, O/group]
    matrices = w.reshape(group, outputs // group, -1).swapaxes(1, 2)
    rows = max(1, BLOCK // max(1, wo * kh * kw * x.shape[-1] * x.itemsize))
    for image in range(n):
        for first in range(0, ho, rows):
            block = view[image, first : first + rows]
            columns = block.reshape(*block.shape[:4], group, per_group)
            columns = np.moveaxis(columns, 4, 0).reshape(group, -1, kh * kw * per_group)
            product = columns @ matrices
            y[image, first : first + rows] = np.moveaxis(product, 0, 1).reshape(*block.shape[:2], outputs)
    return y
