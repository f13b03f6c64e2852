"""The steps of a recipe: what to do to a weight, as plain data. Names and arguments are those of the text form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cmf.errors import RecipeError


def _fraction(value: float, what: str, low_open: bool, high_open: bool) -> None:
    if not (0 <= value <= 1) or (low_open and value == 0) or (high_open and value == 1):
        raise RecipeError(f"{what} is {value}; it must be {'more than' if low_open else 'at least'} 0 and "
                          f"{'less than' if high_open else 'at most'} 1")


def _rounding(step: str, value: str) -> None:
    if value not in ("auto", "nearest"):
        raise RecipeError(f"{step}'s rounding is {value!r}; it must be auto or nearest")


def _text(name: str, arguments: dict[str, object]) -> str:
    """A step with those arguments that are not None."""
    given = ", ".join(f"{key}={value}" if key else repr(value) for key, value in arguments.items() if value is not None)
    return f"{name}({given})" if given else name


@dataclass(frozen=True)
class Step:
    """One step. ``role`` orders the steps of a chain; a chain has at most one step of each role."""

    role: ClassVar[str]


@dataclass(frozen=True)
class Svd(Step):
    """Two factors by truncated singular value decomposition; ``fraction`` of the weight's parameters are kept."""

    fraction: float
    role: ClassVar[str] = "product"

    def __post_init__(self) -> None:
        _fraction(self.fraction, "svd's fraction of parameters", True, False)

    def __str__(self) -> str:
        return f"svd({self.fraction!r})"


@dataclass(frozen=True)
class Tucker(Step):
    """Tucker-2 of a convolution (input and output channels); ``fraction`` of the weight's parameters are kept."""

    fraction: float
    role: ClassVar[str] = "product"

    def __post_init__(self) -> None:
        _fraction(self.fraction, "tucker's fraction of parameters", True, False)

    def __str__(self) -> str:
        return f"tucker({self.fraction!r})"


@dataclass(frozen=True)
class Cosine(Step):
    """The weight in a blockwise cosine basis (``dct``)."""

    input_block: int
    output_block: int = 1
    role: ClassVar[str] = "basis"

    def __post_init__(self) -> None:
        for what, block, legal in (("input", self.input_block, (1, 2, 4, 8, 16, 32)),
                                   ("output", self.output_block, (1, 2, 4, 8, 16))):
            if block not in legal:
                raise RecipeError(f"dct's {what} block is {block}; it must be one of {', '.join(map(str, legal))}")

    def __str__(self) -> str:
        second = f", {self.output_block}" if self.output_block != 1 else ""
        return f"dct({self.input_block}{second})"


@dataclass(frozen=True)
class WinogradBasis(Step):
    """The filters of a 3 x 3 convolution in the basis of F(tile x tile, 3 x 3)."""

    tile: int
    role: ClassVar[str] = "basis"

    def __post_init__(self) -> None:
        if self.tile not in (2, 4):
            raise RecipeError(f"winograd's tile is {self.tile}x{self.tile}; it must be 2x2 or 4x4")

    def __str__(self) -> str:
        return f"winograd({self.tile}x{self.tile})"


@dataclass(frozen=True)
class Prune(Step):
    """``fraction`` of each weight's numbers become 0.

    ``score``: auto (given calibration inputs, those that the others can best make up for; else the smallest
    magnitudes) or magnitude.
    """

    fraction: float
    score: str = "auto"
    role: ClassVar[str] = "pattern"

    def __post_init__(self) -> None:
        _fraction(self.fraction, "prune's fraction of zeros", False, True)
        if self.score not in ("auto", "magnitude"):
            raise RecipeError(f"prune's score is {self.score!r}; it must be auto or magnitude")

    def __str__(self) -> str:
        return _text("prune", {"": self.fraction, "score": None if self.score == "auto" else self.score})


@dataclass(frozen=True)
class Integers(Step):
    """Integers of ``bits`` bits with a scale for the tensor, each channel, or each ``group`` of inputs.

    ``rounding``: auto (given calibration inputs, with error feedback; else nearest, sums kept) or nearest.
    """

    bits: int
    group: int = 0
    scales: str = "channel"
    rounding: str = "auto"
    role: ClassVar[str] = "levels"

    def __post_init__(self) -> None:
        if self.bits not in (1, 2, 3, 4, 5, 6, 8, 16):
            raise RecipeError(f"int{self.bits} is not possible; bits are 1, 2, 3, 4, 5, 6, 8 or 16")
        if self.group < 0 or self.group % 32:
            raise RecipeError(f"int{self.bits}'s group is {self.group}; it must be a multiple of 32")
        if self.scales not in ("channel", "tensor"):
            raise RecipeError(f"int{self.bits}'s scales are {self.scales!r}; they must be channel or tensor")
        if self.group and self.scales != "channel":
            raise RecipeError(f"int{self.bits} takes a group or scales=tensor, not both")
        _rounding(f"int{self.bits}", self.rounding)

    def __str__(self) -> str:
        return _text(f"int{self.bits}", {
            "group": self.group or None, "scales": "tensor" if self.scales == "tensor" else None,
            "rounding": None if self.rounding == "auto" else self.rounding})


@dataclass(frozen=True)
class Half(Step):
    """16-bit floats: ``f16`` or ``bf16``."""

    dtype: str
    role: ClassVar[str] = "levels"

    def __str__(self) -> str:
        return self.dtype


@dataclass(frozen=True)
class Single(Step):
    """Weights as they are (``f32``)."""

    role: ClassVar[str] = "levels"

    def __str__(self) -> str:
        return "f32"


@dataclass(frozen=True)
class Cluster(Step):
    """A table of ``entries`` values and an index for each weight.

    ``scales``: none, channel (each output stretches the table), or auto: channel for depthwise filters, whose outputs
    differ by orders of magnitude once batch norms are folded, none for others and where none loses nothing.
    ``rounding``: as for :class:`Integers`.
    """

    entries: int
    scales: str = "auto"
    rounding: str = "auto"
    role: ClassVar[str] = "levels"

    def __post_init__(self) -> None:
        if not 2 <= self.entries <= 256:
            raise RecipeError(f"codebook has {self.entries} entries; it must have 2 to 256")
        if self.scales not in ("auto", "none", "channel"):
            raise RecipeError(f"codebook's scales are {self.scales!r}; they must be auto, none or channel")
        _rounding("codebook", self.rounding)

    @property
    def bits(self) -> int:
        """The narrowest width that holds an index."""
        return next(b for b in (1, 2, 3, 4, 5, 6, 8) if 1 << b >= self.entries)

    def __str__(self) -> str:
        return _text("codebook", {"": self.entries, "scales": None if self.scales == "auto" else self.scales,
                                  "rounding": None if self.rounding == "auto" else self.rounding})


@dataclass(frozen=True)
class Signs(Step):
    """``ternary``: -a, 0, a; ``binary``: -a, a; one a for each channel. ``rounding``: as for :class:`Integers`."""

    levels: str
    rounding: str = "auto"
    role: ClassVar[str] = "levels"

    def __post_init__(self) -> None:
        _rounding(self.levels, self.rounding)

    def __str__(self) -> str:
        return _text(self.levels, {"rounding": None if self.rounding == "auto" else self.rounding})


@dataclass(frozen=True)
class Activations(Step):
    """8-bit activations: ``a8`` (scales from calibration inputs) or ``a8(dynamic)`` (scales from each input).

    ``percentile``: how much of the calibration values the range holds; 100 is all of them.
    """

    mode: str = "static"
    percentile: float = 100.0
    role: ClassVar[str] = "activations"

    def __post_init__(self) -> None:
        if self.mode not in ("static", "dynamic"):
            raise RecipeError(f"a8's mode is {self.mode!r}; it must be static or dynamic")
        if not 50 < self.percentile <= 100:
            raise RecipeError(f"a8's percentile is {self.percentile}; it must be more than 50 and at most 100")
        if self.mode == "dynamic" and self.percentile != 100:
            raise RecipeError("a8(dynamic) takes its range from each input; a percentile has no meaning there")

    def __str__(self) -> str:
        if self.mode == "dynamic":
            return "a8(dynamic)"
        return f"a8(percentile={self.percentile!r})" if self.percentile != 100 else "a8"


@dataclass(frozen=True)
class FileCodec(Step):
    """The byte codec of the file's buffers: ``zstd``."""

    codec: str = "zstd"
    role: ClassVar[str] = "file"

    def __str__(self) -> str:
        return self.codec


#: the order in which steps stand in a chain
ROLES = ("product", "basis", "pattern", "levels", "activations", "file")
