"""FORMAT.md section 2 in numpy: arrays ``[stack, outputs, inputs]`` to the bytes of panels, and back.

Codes are unsigned integers of ``bits`` bits here (u8, u16 or u32 arrays); what they mean is the encodings' business.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cmf.encodings.base import PANEL, Array, Geometry
from cmf.errors import FormatError

#: width of a code -> widths of the planes that store it, low bits first
PLANES: dict[int, tuple[int, ...]] = {
    1: (1,), 2: (2,), 3: (2, 1), 4: (4,), 5: (4, 1), 6: (4, 2), 8: (8,), 16: (16,), 32: (32,),
}
#: zero bytes after the last packed value of a sparse weight
VALUES_TAIL = 64


def code_dtype(bits: int) -> np.dtype[Any]:
    """The little-endian unsigned type that holds a code of ``bits`` bits."""
    return np.dtype("u1" if bits <= 8 else "<u2" if bits == 16 else "<u4")


def pad_axis(array: Array, axis: int, size: int) -> Array:
    """The array with zeros behind it along one axis, up to ``size``."""
    if array.shape[axis] == size:
        return array
    shape = list(array.shape)
    shape[axis] = size
    padded = np.zeros(shape, array.dtype)
    padded[tuple(slice(0, n) for n in array.shape)] = array
    return padded


def _expect(data: bytes | memoryview, size: int, what: str) -> None:
    if len(data) != size:
        raise FormatError(f"{what}: {len(data)} bytes, but the weight's shape takes {size}", "E_ENCODING")


# ---------------------------------------------------------------- outputs into panels of lanes


def to_panels(array: Array, geometry: Geometry) -> Array:
    """``[S, O, T]`` -> one axis: panel after panel, in each T lines of its lanes. Lanes without an output are 0."""
    stack, _, lines = array.shape
    whole = PANEL * (geometry.panels - 1)
    array = pad_axis(array, 1, geometry.padded_outputs)
    full = array[:, :whole].reshape(stack, -1, PANEL, lines).transpose(0, 1, 3, 2).reshape(stack, -1)
    last = array[:, whole:].transpose(0, 2, 1).reshape(stack, -1)
    return np.concatenate([full, last], axis=1).reshape(-1)


def from_panels(flat: Array, geometry: Geometry, lines: int) -> Array:
    """The inverse of :func:`to_panels`; drops the padding lanes."""
    stack = geometry.stack
    whole = PANEL * (geometry.panels - 1)
    flat = flat.reshape(stack, -1)
    full = flat[:, : whole * lines].reshape(stack, -1, lines, PANEL).transpose(0, 1, 3, 2).reshape(stack, whole, lines)
    last = flat[:, whole * lines :].reshape(stack, lines, geometry.last_lanes).transpose(0, 2, 1)
    return np.concatenate([full, last], axis=1)[:, : geometry.outputs]


# ---------------------------------------------------------------- layout lines


def _lines_of_run(run: int, bits: int) -> int:
    return -(-run * bits // 32)


def lines_of_panel(geometry: Geometry, bits: int) -> int:
    """T of FORMAT.md 2.2: lines of one panel, all planes together."""
    return geometry.runs * sum(_lines_of_run(geometry.run, plane) for plane in PLANES[bits])


def _to_words(codes: Array, geometry: Geometry, bits: int) -> Array:
    """One plane's codes ``[S, O, K]`` -> words ``[S, O, lines]``."""
    stack, outputs, _ = geometry.shape
    lines = _lines_of_run(geometry.run, bits)
    dtype = code_dtype(bits)
    runs = pad_axis(codes.astype(dtype).reshape(stack, outputs, geometry.runs, geometry.run), 3, lines * 32 // bits)
    if bits >= 8:
        quads = np.ascontiguousarray(runs).view("u1").reshape(stack, outputs, -1, 4)
    else:  # code i lies in byte i mod 4, at bit bits * (i div 4)
        parts = runs.reshape(stack, outputs, -1, 8 // bits, 4)
        quads = np.zeros((*parts.shape[:3], 4), np.uint8)
        for i in range(8 // bits):
            quads |= parts[:, :, :, i] << np.uint8(bits * i)
    return np.ascontiguousarray(quads).view("<u4").reshape(stack, outputs, -1)


def _from_words(words: Array, geometry: Geometry, bits: int) -> Array:
    stack, outputs, _ = geometry.shape
    quads = np.ascontiguousarray(words).view("u1").reshape(stack, outputs, -1, 4)
    codes: Array
    if bits >= 8:
        codes = quads.reshape(-1).view(code_dtype(bits))
    else:
        parts = np.empty((*quads.shape[:3], 8 // bits, 4), np.uint8)
        for i in range(8 // bits):
            parts[:, :, :, i] = (quads >> np.uint8(bits * i)) & np.uint8((1 << bits) - 1)
        codes = parts.reshape(-1)
    return codes.reshape(stack, outputs, geometry.runs, -1)[..., : geometry.run].reshape(geometry.shape)


# ---------------------------------------------------------------- layout rows


def _row_bytes(lanes: int, bits: int) -> int:
    return -(-lanes * bits // 8)


def rows_of_panel(inputs: int, lanes: int, bits: int) -> int:
    """Bytes of one panel of ``lanes`` lanes in layout rows."""
    size = inputs * sum(_row_bytes(lanes, plane) for plane in PLANES[bits])
    return -(-size // 4) * 4


def _to_rows(codes: Array, bits: int) -> Array:
    """Codes ``[n, K, L]`` -> bytes ``[n, rows]``: one row for each input, all planes, padded to 4 bytes."""
    count, inputs, lanes = codes.shape
    planes, low = [], 0
    for width in PLANES[bits]:
        plane = (codes >> codes.dtype.type(low)) & codes.dtype.type((1 << width) - 1)
        if width >= 8:
            rows = np.ascontiguousarray(plane.astype(code_dtype(width))).view("u1")
        else:
            single = (plane.astype(np.uint8)[..., None] >> np.arange(width, dtype=np.uint8)) & 1
            rows = np.packbits(single.reshape(count, inputs, lanes * width), axis=-1, bitorder="little")
        planes.append(rows.reshape(count, inputs * _row_bytes(lanes, width)))
        low += width
    return pad_axis(np.concatenate(planes, axis=1), 1, rows_of_panel(inputs, lanes, bits))


def _from_rows(rows: Array, inputs: int, lanes: int, bits: int) -> Array:
    """Bytes ``[n, rows]`` -> codes ``[n, K, L]``."""
    count = rows.shape[0]
    codes = np.zeros((count, inputs, lanes), code_dtype(bits))
    start, low = 0, 0
    for width in PLANES[bits]:
        size = _row_bytes(lanes, width)
        plane = np.ascontiguousarray(rows[:, start : start + inputs * size])
        if width >= 8:
            part = plane.view(code_dtype(width)).reshape(count, inputs, lanes)
        else:
            single = np.unpackbits(plane.reshape(count, inputs, size), axis=-1, count=lanes * width, bitorder="little")
            single = single.reshape(count, inputs, lanes, width)
            part = (single << np.arange(width, dtype=np.uint8)).sum(-1, dtype=np.uint8)
        codes |= (part << part.dtype.type(low)).astype(codes.dtype)
        start += inputs * size
        low += width
    return codes


# ---------------------------------------------------------------- codes of a whole weight


def codes_size(geometry: Geometry, bits: int) -> int:
    """Bytes of the codes span of a weight whose positions are all present."""
    if geometry.layout == "lines":
        return 4 * lines_of_panel(geometry, bits) * geometry.stack * geometry.padded_outputs
    full = (geometry.panels - 1) * rows_of_panel(geometry.inputs, PANEL, bits)
    return geometry.stack * (full + rows_of_panel(geometry.inputs, geometry.last_lanes, bits))


def pack_codes(codes: Array, geometry: Geometry, bits: int) -> bytes:
    """Codes ``[S, O, K]`` -> the codes span."""
    codes = codes.astype(code_dtype(bits), copy=False)
    if geometry.layout == "lines":
        planes, low = [], 0
        for width in PLANES[bits]:
            part = codes if width == bits else (codes >> low) & ((1 << width) - 1)
            planes.append(_to_words(part, geometry, width))
            low += width
        return to_panels(np.concatenate(planes, axis=2), geometry).tobytes()
    stack, inputs = geometry.stack, geometry.inputs
    whole = PANEL * (geometry.panels - 1)
    codes = pad_axis(codes, 1, geometry.padded_outputs)
    full = codes[:, :whole].reshape(-1, PANEL, inputs).transpose(0, 2, 1)
    last = codes[:, whole:].transpose(0, 2, 1)
    return np.concatenate([_to_rows(full, bits).reshape(stack, -1), _to_rows(last, bits)], axis=1).tobytes()


def unpack_codes(data: bytes, geometry: Geometry, bits: int) -> Array:
    """The codes span -> codes ``[S, O, K]``."""
    _expect(data, codes_size(geometry, bits), "codes")
    if geometry.layout == "lines":
        words = from_panels(np.frombuffer(data, "<u4"), geometry, lines_of_panel(geometry, bits))
        codes = np.zeros(geometry.shape, code_dtype(bits))
        start, low = 0, 0
        for width in PLANES[bits]:
            lines = geometry.runs * _lines_of_run(geometry.run, width)
            part = _from_words(words[:, :, start : start + lines], geometry, width)
            codes |= part if width == bits else part << np.uint8(low)
            start += lines
            low += width
        return codes
    stack, outputs, inputs = geometry.shape
    size = rows_of_panel(inputs, PANEL, bits)
    flat = np.frombuffer(data, "u1").reshape(stack, -1)
    whole = (geometry.panels - 1) * size
    full = _from_rows(flat[:, :whole].reshape(stack * (geometry.panels - 1), size), inputs, PANEL, bits)
    last = _from_rows(flat[:, whole:], inputs, geometry.last_lanes, bits)
    full = full.transpose(0, 2, 1).reshape(stack, PANEL * (geometry.panels - 1), inputs)
    return np.ascontiguousarray(np.concatenate([full, last.transpose(0, 2, 1)], axis=1)[:, :outputs])


# ---------------------------------------------------------------- scales, zeros: one for each tensor, channel or group


def groups(geometry: Geometry, group: int) -> int:
    """G of FORMAT.md 2.3."""
    return geometry.runs * -(-geometry.run // group)


def group_of_input(geometry: Geometry, group: int) -> npt.NDArray[np.intp]:
    """The group that each input belongs to, ``[K]``."""
    run, place = np.divmod(np.arange(geometry.inputs), geometry.run)
    return np.asarray(run * -(-geometry.run // group) + place // group, np.intp)


def pack_factors(factors: Array, geometry: Geometry, granularity: str) -> bytes:
    """Scales or zeros (``[1, 1, 1]``, ``[S, O, 1]`` or ``[S, O, G]``) -> their span."""
    return (factors if granularity == "tensor" else to_panels(factors, geometry)).tobytes()


def unpack_factors(data: bytes, geometry: Geometry, granularity: str, group: int, dtype: Any, what: str) -> Array:
    """The span -> scales or zeros, shaped by granularity."""
    lines = groups(geometry, group) if granularity == "group" else 1
    count = 1 if granularity == "tensor" else geometry.stack * geometry.padded_outputs * lines
    _expect(data, count * np.dtype(dtype).itemsize, what)
    flat = np.frombuffer(data, dtype)
    return flat.reshape(1, 1, 1) if granularity == "tensor" else from_panels(flat, geometry, lines)


# ---------------------------------------------------------------- sparse masks and values


def _mask_order(array: Array, geometry: Geometry, bits: int) -> Array:
    """``[S, O, K]`` -> ``[S*P, units, bits of a unit]`` in the order of FORMAT.md 3.5; 0 where there is no position."""
    stack, _, inputs = geometry.shape
    array = pad_axis(array, 1, PANEL * geometry.panels)
    if geometry.layout == "lines" and bits <= 8:
        quads = -(-geometry.run // 4)
        runs = pad_axis(array.reshape(stack, -1, geometry.runs, geometry.run), 3, 4 * quads)
        units: Array = runs.reshape(stack * geometry.panels, PANEL, geometry.runs * quads, 4).transpose(0, 2, 1, 3)
        return units.reshape(stack * geometry.panels, -1, 4 * PANEL)
    units = array.reshape(stack * geometry.panels, PANEL, inputs)
    return np.transpose(units, (0, 2, 1))


def _from_mask_order(units: Array, geometry: Geometry, bits: int) -> Array:
    stack, outputs, inputs = geometry.shape
    if geometry.layout == "lines" and bits <= 8:
        runs = units.reshape(stack * geometry.panels, -1, PANEL, 4).transpose(0, 2, 1, 3)
        runs = runs.reshape(stack, PANEL * geometry.panels, geometry.runs, -1)[..., : geometry.run]
        return np.ascontiguousarray(runs[:, :outputs].reshape(geometry.shape))
    array = units.transpose(0, 2, 1).reshape(stack, PANEL * geometry.panels, inputs)
    return np.ascontiguousarray(array[:, :outputs])


def mask_size(geometry: Geometry, bits: int) -> int:
    """Bytes of the mask span."""
    units, size = _mask_units(geometry, bits)
    return geometry.stack * geometry.panels * units * size // 8


def _mask_units(geometry: Geometry, bits: int) -> tuple[int, int]:
    """Units of a panel, and bits of a unit."""
    if geometry.layout == "lines" and bits <= 8:
        return geometry.runs * -(-geometry.run // 4), 4 * PANEL
    return geometry.inputs, PANEL


def pack_mask(mask: Array, geometry: Geometry, bits: int) -> bytes:
    """Present positions ``[S, O, K]`` -> the mask span, for codes of ``bits`` bits."""
    return np.packbits(_mask_order(mask, geometry, bits), axis=-1, bitorder="little").tobytes()


def unpack_mask(data: bytes, geometry: Geometry, bits: int) -> npt.NDArray[np.bool_]:
    """The mask span -> present positions ``[S, O, K]``; refuses bits where there is no position."""
    _expect(data, mask_size(geometry, bits), "mask")
    units, size = _mask_units(geometry, bits)
    single = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little")
    mask = _from_mask_order(single.reshape(-1, units, size), geometry, bits).astype(np.bool_)
    if int(single.sum(dtype=np.int64)) != int(mask.sum(dtype=np.int64)):
        raise FormatError("mask: bits are set at lanes without an output or inputs beyond a run", "E_ENCODING")
    return mask


def value_offsets(mask: Array, geometry: Geometry, bits: int) -> npt.NDArray[np.uint32]:
    """Where each panel's values begin, ``[S*P + 1]`` in units of 4 bytes."""
    padded = pad_axis(mask, 1, PANEL * geometry.panels)
    counts = np.count_nonzero(padded.reshape(geometry.stack * geometry.panels, -1), axis=1).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(-(-counts * bits // 32))])
    if offsets[-1] >= 2**32:
        raise FormatError("the values of a sparse weight take more than 16 GiB", "E_LIMIT")
    return offsets.astype("<u4")


def _value_places(mask: Array, geometry: Geometry, bits: int) -> tuple[Array, npt.NDArray[np.int64], int]:
    """The mask in mask order, the first bit of every present value, and the words of all values."""
    ordered = _mask_order(mask, geometry, bits)
    offsets = value_offsets(mask, geometry, bits).astype(np.int64)
    counts = np.count_nonzero(ordered.reshape(ordered.shape[0], -1), axis=1)
    first = np.concatenate([[0], np.cumsum(counts)])[:-1]
    index = np.arange(int(counts.sum()), dtype=np.int64)
    places = (index - np.repeat(first, counts)) * bits + np.repeat(offsets[:-1] * 32, counts)
    return ordered, places, int(offsets[-1])


def values_size(mask: Array, geometry: Geometry, bits: int) -> int:
    """Bytes of the packed values with their tail."""
    return 4 * int(value_offsets(mask, geometry, bits)[-1]) + VALUES_TAIL


def pack_values(codes: Array, mask: Array, geometry: Geometry, bits: int) -> bytes:
    """Codes ``[S, O, K]`` -> the present ones, packed (FORMAT.md 3.5), with the tail."""
    ordered, places, words = _value_places(mask, geometry, bits)
    values = _mask_order(codes.astype(code_dtype(bits), copy=False), geometry, bits)[ordered]
    if bits >= 8:
        packed = np.zeros(words * 32 // bits, code_dtype(bits))
        packed[places // bits] = values
    else:
        single = np.zeros(words * 32, np.uint8)
        for i in range(bits):
            single[places + i] = (values >> np.uint8(i)) & np.uint8(1)
        packed = np.packbits(single, bitorder="little")
    return packed.tobytes() + bytes(VALUES_TAIL)


def unpack_values(data: bytes, mask: Array, geometry: Geometry, bits: int) -> Array:
    """The packed values -> codes ``[S, O, K]``, 0 where absent."""
    ordered, places, words = _value_places(mask, geometry, bits)
    _expect(data, 4 * words + VALUES_TAIL, "values")
    if bits >= 8:
        values = np.frombuffer(data, code_dtype(bits), count=words * 32 // bits)[places // bits]
    else:
        single = np.unpackbits(np.frombuffer(data, "u1", count=4 * words), bitorder="little")
        values = np.zeros(len(places), np.uint8)
        for i in range(bits):
            values |= single[places + i] << np.uint8(i)
    units = np.zeros(ordered.shape, code_dtype(bits))
    units[ordered] = values
    return _from_mask_order(units, geometry, bits)
