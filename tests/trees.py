"""Trees to test with: every encoding on odd shapes, always the same. ``tools/make_golden.py`` takes from here."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np

from cmf.encodings import (
    Bitpacked,
    Codebook,
    Dct,
    Dense,
    Geometry,
    Leaf,
    LowRank,
    Quantized,
    Sparse,
    Tree,
    Winograd,
    scale_shape,
    winograd_geometry,
)


class Rng:
    """Numbers that do not change with numpy's version: splitmix64 (Steele et al., OOPSLA 2014)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def _bits(self, count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        with np.errstate(over="ignore"):
            z = np.uint64(self._state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            self._state = int(z[-1]) if count else self._state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def random(self, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """In [0, 1)."""
        return (self._bits(math.prod(shape)) >> np.uint64(11)).reshape(shape) * 2.0**-53

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """In [low, high)."""
        return low + (self._bits(math.prod(shape)) % np.uint64(high - low)).astype(np.int64).reshape(shape)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Near a standard normal distribution, made with exact operations only."""
        return self.random((12, *shape)).sum(axis=0) - 6


#: one, ten and seventeen outputs; 1, 27 and 33 inputs; stacks; runs that do not fill a word; groups that do not fill
#: a run
LINES = (
    Geometry(1, 1, 1, 1),
    Geometry(1, 10, 27, 27),
    Geometry(1, 17, 27, 3),
    Geometry(2, 17, 33, 33),
    Geometry(3, 20, 80, 40),
    Geometry(1, 40, 24, 8),
)
ROWS = (
    Geometry(1, 3, 9, 9, "rows"),
    Geometry(1, 17, 9, 9, "rows"),
    Geometry(1, 24, 25, 25, "rows"),
    Geometry(1, 44, 1, 1, "rows"),
)
GEOMETRIES = LINES + ROWS


def name_of(g: Geometry) -> str:
    return f"{g.stack}x{g.outputs}x{g.inputs}r{g.run}{'-rows' if g.layout == 'rows' else ''}"


def scales(rng: Rng, g: Geometry, granularity: str, group: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (rng.random(scale_shape(g, granularity, group)) + 0.25).astype(np.float32)


# ---------------------------------------------------------------- leaves: (name, maker), a maker takes rng and geometry

Maker = Callable[[Rng, Geometry], Leaf]


def _dense(dtype: type) -> Maker:
    return lambda rng, g: Dense(g, rng.normal(g.shape).astype(dtype))


def _quantized(
    bits: int, granularity: str = "channel", group: int = 0, zeros: bool = False, scale: str = "f32"
) -> Maker:
    def make(rng: Rng, g: Geometry) -> Leaf:
        codes = rng.integers(-(1 << bits - 1), 1 << bits - 1, g.shape).astype(np.int16 if bits == 16 else np.int8)
        points = rng.integers(-128, 128, scale_shape(g, granularity, group)).astype(np.int8) if zeros else None
        return Quantized(g, codes, scales(rng, g, granularity, group), bits, points, group, scale, granularity)
    return make


def _codebook(bits: int, dtype: type = np.float32, per_panel: bool = False, granularity: str = "") -> Maker:
    def make(rng: Rng, g: Geometry) -> Leaf:
        codes = rng.integers(0, 1 << bits, g.shape).astype(np.uint8)
        table = (50 * rng.normal((g.stack * g.panels if per_panel else 1, 1 << bits))).astype(dtype)
        return Codebook(g, codes, table, bits, scales(rng, g, granularity) if granularity else None, "f32", granularity)
    return make


def _bitpacked(levels: str, granularity: str = "channel", scale: str = "f32") -> Maker:
    def make(rng: Rng, g: Geometry) -> Leaf:
        codes = rng.integers(-1, 2, g.shape) if levels == "ternary" else 2 * rng.integers(0, 2, g.shape) - 1
        return Bitpacked(g, codes.astype(np.int8), scales(rng, g, granularity), levels, scale, granularity)
    return make


LEAVES: dict[str, dict[str, Maker]] = {
    "dense": {"f32": _dense(np.float32), "f16": _dense(np.float16), "bf16": _dense(ml_dtypes.bfloat16)},
    "quantized": {
        **{f"int{b}": _quantized(b) for b in (1, 2, 3, 4, 5, 6, 8, 16)},
        **{f"int{b}-group32": _quantized(b, "group", 32, zeros=b != 16) for b in (1, 3, 4, 8, 16)},
        "int8-tensor": _quantized(8, "tensor", zeros=True, scale="f16"),
        "int4-channel-zeros": _quantized(4, zeros=True, scale="f16"),
    },
    "codebook": {
        **{f"{b}bits": _codebook(b) for b in (1, 2, 3, 4, 5, 6, 8)},
        "4bits-i8-channel": _codebook(4, np.int8, granularity="channel"),
        "5bits-f16-panels": _codebook(5, np.float16, per_panel=True),
        "2bits-i8-panels-tensor": _codebook(2, np.int8, per_panel=True, granularity="tensor"),
    },
    "bitpacked": {
        "binary": _bitpacked("binary"), "ternary": _bitpacked("ternary"),
        "binary-tensor": _bitpacked("binary", "tensor", "f16"), "ternary-tensor": _bitpacked("ternary", "tensor"),
    },
}


def allows(name: str, g: Geometry) -> bool:
    return not ("group" in name and g.layout == "rows")


# ---------------------------------------------------------------- all encodings


def _leaves(encoding: str) -> Iterator[tuple[str, Callable[[Rng], Tree]]]:
    for name, maker in LEAVES[encoding].items():
        for g in GEOMETRIES:
            if allows(name, g):
                yield f"{name}-{name_of(g)}", lambda rng, maker=maker, g=g: maker(rng, g)


def _sparse() -> Iterator[tuple[str, Callable[[Rng], Tree]]]:
    for makers in LEAVES.values():
        for name, maker in makers.items():
            for g in GEOMETRIES:
                if allows(name, g):
                    yield (f"{name}-{name_of(g)}",
                           lambda rng, maker=maker, g=g: Sparse(g, rng.random(g.shape) < 0.3, maker(rng, g)))
    g = Geometry(2, 17, 33, 33)
    for density in (0.0, 1.0):
        for name, maker in (("int3", _quantized(3)), ("f16", _dense(np.float16)), ("binary", _bitpacked("binary"))):
            yield (f"{name}-density{density:.0f}",
                   lambda rng, maker=maker, d=density: Sparse(g, np.full(g.shape, d == 1), maker(rng, g)))


_PANEL: dict[str, Maker | Callable[[Rng, Geometry], Tree]] = {
    "f32": _dense(np.float32),
    "int8": _quantized(8),
    "codebook": _codebook(4),
    "ternary": _bitpacked("ternary"),
    "sparse": lambda rng, g: Sparse(g, rng.random(g.shape) < 0.4, _codebook(4)(rng, g)),
}


def _svd(rng: Rng, g: Geometry, rank: int, factor: Callable[[Rng, Geometry], Tree], residual: bool = False) -> Tree:
    first = factor(rng, Geometry(g.stack, rank, g.inputs, g.run))
    second = factor(rng, Geometry(g.stack, g.outputs, rank, rank))
    rest = Sparse(g, rng.random(g.shape) < 0.1, _dense(np.float16)(rng, g)) if residual else None
    return LowRank(g, (first, second), "svd", rest)


def _tucker2(rng: Rng, g: Geometry, ranks: tuple[int, int], factor: Callable[[Rng, Geometry], Tree]) -> Tree:
    r_in, r_out = ranks
    return LowRank(g, (factor(rng, Geometry(1, r_in, g.run, g.run)),
                       factor(rng, Geometry(1, r_out, g.runs * r_in, r_in)),
                       factor(rng, Geometry(1, g.outputs, r_out, r_out))), "tucker2")


def _dct(rng: Rng, g: Geometry, blocks: tuple[int, int], inner: Callable[[Rng, Geometry], Tree]) -> Tree:
    return Dct(g, inner(rng, g), *blocks)


def _lowrank() -> Iterator[tuple[str, Callable[[Rng], Tree]]]:
    for name, factor in _PANEL.items():
        for g in LINES:
            yield f"svd-{name}-{name_of(g)}", lambda rng, f=factor, g=g: _svd(rng, g, 5, f, residual=g.stack == 1)
        g = Geometry(1, 17, 27, 3)
        yield f"tucker2-{name}", lambda rng, f=factor, g=g: _tucker2(rng, g, (2, 18), f)
    g = Geometry(1, 17, 33, 33)
    yield "svd-dct-sparse", lambda rng: _svd(rng, g, 6, lambda r, h: _dct(r, h, (8, 4), _PANEL["sparse"]))


def _dcts() -> Iterator[tuple[str, Callable[[Rng], Tree]]]:
    for name, inner in _PANEL.items():
        for g in GEOMETRIES:
            yield f"{name}-{name_of(g)}", lambda rng, i=inner, g=g: _dct(rng, g, (8, 4), i)
    g = Geometry(2, 17, 33, 33)
    for blocks in ((1, 1), (2, 16), (4, 8), (16, 2), (32, 1), (1, 16)):
        yield f"blocks{blocks[0]}x{blocks[1]}", lambda rng, b=blocks: _dct(rng, g, b, _PANEL["f32"])


def _winograds() -> Iterator[tuple[str, Callable[[Rng], Tree]]]:
    for name, inner in _PANEL.items():
        for outputs, channels in ((1, 1), (10, 3), (17, 33)):
            for tile in (2, 4):
                g = Geometry(1, outputs, 9 * channels, channels)
                yield (f"{name}-{tile}x{tile}-{outputs}x{channels}",
                       lambda rng, i=inner, g=g, t=tile: Winograd(g, i(rng, winograd_geometry(g, t)), t))


_MAKERS: dict[str, Callable[[], Iterator[tuple[str, Callable[[Rng], Tree]]]]] = {
    "dense": lambda: _leaves("dense"), "quantized": lambda: _leaves("quantized"),
    "codebook": lambda: _leaves("codebook"), "bitpacked": lambda: _leaves("bitpacked"),
    "sparse": _sparse, "lowrank": _lowrank, "dct": _dcts, "winograd": _winograds,
}


def cases(encoding: str) -> dict[str, Callable[[], Tree]]:
    """Trees with this encoding at the root, by name; each is made afresh, always the same."""
    def seeded(name: str, make: Callable[[Rng], Tree]) -> Callable[[], Tree]:
        return lambda: make(Rng(zlib.crc32(f"{encoding}/{name}".encode())))
    return {name: seeded(name, make) for name, make in _MAKERS[encoding]()}
