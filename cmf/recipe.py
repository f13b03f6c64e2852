"""Recipes: which steps to take for which layers, as text and as objects that are the same thing.

Grammar::

    recipe  := (rule ";")* chain                  the last chain is for all other layers
    rule    := pattern ":" chain
    pattern := a name with * and ? (of a weight or a node), or a kind: conv, depthwise, matmul, embedding, first, last;
               in double quotes where it holds : or ;
    chain   := step ("+" step)*
    step    := name ["(" argument ("," argument)* ")"]

``Recipe.parse("first: int8; prune(0.8) + codebook(16)")`` is the same as
``Recipe.for_layers({"first": "int8"}, "prune(0.8) + codebook(16)")``. The first rule that matches a layer holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypeVar

from cmf.errors import RecipeError
from cmf.passes.steps import (
    ROLES,
    Activations,
    Cluster,
    Cosine,
    FileCodec,
    Half,
    Integers,
    Prune,
    Signs,
    Single,
    Step,
    Svd,
    Tucker,
    WinogradBasis,
)

_T = TypeVar("_T")

#: what a layer can be called besides its name
KINDS = ("conv", "depthwise", "matmul", "embedding", "first", "last")


@dataclass(frozen=True)
class Recipe:
    """Steps for all layers, and rules for those that are treated otherwise (first match wins)."""

    steps: tuple[Step, ...] = ()
    rules: tuple[tuple[str, tuple[Step, ...]], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", ordered(self.steps))
        object.__setattr__(self, "rules", tuple((pattern, ordered(steps)) for pattern, steps in self.rules))
        for pattern, steps in self.rules:
            if not pattern:
                raise RecipeError("a rule has an empty pattern; give a name, a pattern with * or one of "
                                  f"{', '.join(KINDS)}")
            if any(isinstance(step, FileCodec) for step in steps):
                raise RecipeError(f"zstd is for the whole file and cannot stand in the rule for {pattern!r}")

    @staticmethod
    def parse(text: str) -> Recipe:
        """A recipe from its text form; raises RecipeError that says where."""
        return _Parser(text).recipe()

    @staticmethod
    def of(recipe: RecipeLike) -> Recipe:
        """A recipe from whatever stands for one: text, a Recipe, a step, or steps in a sequence."""
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, str):
            return Recipe.parse(recipe)
        return Recipe((recipe,) if isinstance(recipe, Step) else tuple(recipe))

    @staticmethod
    def for_layers(layers: Mapping[str, RecipeLike], default: RecipeLike = ()) -> Recipe:
        """A recipe for each pattern or kind, in this order, and one for all other layers (by default as they are)."""
        rules = []
        for pattern, recipe in layers.items():
            inner = Recipe.of(recipe)
            if inner.rules:
                raise RecipeError(f"the recipe for {pattern!r} has rules of its own; rules cannot be nested")
            rules.append((pattern, inner.steps))
        rest = Recipe.of(default)
        return Recipe(rest.steps, (*rules, *rest.rules))

    def steps_for(self, names: Iterable[str], kinds: Iterable[str]) -> tuple[Step, ...]:
        """The steps for a layer known by these names and kinds."""
        names, kinds = list(names), set(kinds)
        for pattern, steps in self.rules:
            if pattern in kinds or any(fnmatchcase(name, pattern) for name in names):
                return steps
        return self.steps

    def all_steps(self) -> set[Step]:
        """Every step of the recipe, of whatever rule."""
        return {step for steps in (self.steps, *(steps for _, steps in self.rules)) for step in steps}

    @property
    def codec(self) -> str:
        """The byte codec of the file: raw or zstd."""
        return next((step.codec for step in self.steps if isinstance(step, FileCodec)), "raw")

    def __str__(self) -> str:
        return "; ".join([f"{_quoted(pattern)}: {chain_text(steps)}" for pattern, steps in self.rules]
                         + [chain_text(self.steps)])


RecipeLike = str | Recipe | Step | Iterable[Step]


def chain_text(steps: tuple[Step, ...]) -> str:
    """Steps as text; no steps are ``f32``: weights as they are."""
    return " + ".join(map(str, steps)) or "f32"


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Checks that steps go together: one of a role, in the order of roles."""
    steps = tuple(steps)
    for before, after in zip(steps, steps[1:], strict=False):
        first, second = ROLES.index(before.role), ROLES.index(after.role)
        if first == second:
            raise RecipeError(f"'{before}' and '{after}' exclude each other: both decide the {_ROLE_TEXT[after.role]}")
        if first > second:
            raise RecipeError(f"'{after}' must come before '{before}': a chain is factors (svd, tucker), basis (dct, "
                              "winograd), prune, levels (int8, codebook, ...), a8, zstd")
    if any(s.role == "product" for s in steps) and any(isinstance(s, WinogradBasis) for s in steps):
        raise RecipeError("winograd cannot be combined with svd or tucker: their factors are no 3 x 3 convolutions")
    return tuple(step for step in steps if not isinstance(step, Single))  # f32 is what no levels mean


_ROLE_TEXT = {"product": "factors", "basis": "basis", "pattern": "zeros", "levels": "levels",
              "activations": "activations", "file": "file's codec"}


def _quoted(pattern: str) -> str:
    if re.search(r'[:;"]|^\s|\s$', pattern) is None:
        return pattern
    if '"' in pattern:
        raise RecipeError(f"pattern {pattern!r} holds a double quote, which has no text form; use ? for it")
    return f'"{pattern}"'


# ---------------------------------------------------------------- text


@dataclass(frozen=True)
class _Form:
    """How a step is written: names of its arguments in order, how many of them are needed, and its maker."""

    make: Callable[..., Step]
    arguments: tuple[str, ...] = ()
    needed: int = 0


def _codebook(
    entries: float | None = None, scales: str = "auto", bits: float | None = None, rounding: str = "auto"
) -> Step:
    if (entries is None) == (bits is None):
        raise RecipeError("codebook takes either a number of entries, codebook(16), or bits, codebook(bits=4)")
    return Cluster(_whole(entries, "codebook's entries") if bits is None else 1 << _whole(bits, "codebook's bits"),
                   scales, rounding)


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, (int, float)) or value != int(value) or not 0 <= value < 2**31:
        raise RecipeError(f"{what}: {value} is not a whole number")
    return int(value)


def _winograd(tile: str) -> Step:
    match = re.fullmatch(r"(\d+)x(\d+)", str(tile))
    if match is None or match[1] != match[2]:
        raise RecipeError(f"winograd's tile is {tile}; it must be 2x2 or 4x4")
    return WinogradBasis(int(match[1]))


def _integers(bits: int) -> _Form:
    def make(group: float = 0, scales: str = "channel", rounding: str = "auto") -> Step:
        return Integers(bits, _whole(group, f"int{bits}'s group"), scales, rounding)

    return _Form(make, ("group", "scales", "rounding"))


STEPS: dict[str, _Form] = {
    "svd": _Form(Svd, ("fraction",), 1),
    "tucker": _Form(Tucker, ("fraction",), 1),
    "dct": _Form(lambda input_block, output_block=1: Cosine(_whole(input_block, "dct's input block"),
                                                            _whole(output_block, "dct's output block")),
                 ("input_block", "output_block"), 1),
    "winograd": _Form(_winograd, ("tile",), 1),
    "prune": _Form(Prune, ("fraction", "score"), 1),
    **{f"int{bits}": _integers(bits) for bits in (1, 2, 3, 4, 5, 6, 8, 16)},
    "f32": _Form(Single),
    "f16": _Form(lambda: Half("f16")),
    "bf16": _Form(lambda: Half("bf16")),
    "codebook": _Form(_codebook, ("entries", "scales", "bits", "rounding")),
    "ternary": _Form(partial(Signs, "ternary"), ("rounding",)),
    "binary": _Form(partial(Signs, "binary"), ("rounding",)),
    "a8": _Form(Activations, ("mode", "percentile")),
    "zstd": _Form(FileCodec),
}

_TOKEN = re.compile(r"\s*(?:(?P<tile>\d+x\d+)|(?P<number>\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)|(?P<name>[A-Za-z_]\w*)"
                    r"|(?P<sign>[-+(),=]))")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def recipe(self) -> Recipe:
        rules: list[tuple[str, tuple[Step, ...]]] = []
        rest: tuple[Step, ...] = ()
        start = 0
        parts = _split(self.text)
        for index, part in enumerate(parts):
            pattern, offset = _pattern(part)
            steps = self.chain(part, start, offset)
            self.checked(partial(ordered, steps), start)
            if pattern is not None:
                rules.append((pattern, steps))
            elif index == len(parts) - 1:
                rest = steps
            else:
                raise self.error("only the last part of a recipe may stand without a pattern", start)
            start += len(part) + 1
        return self.checked(partial(Recipe, rest, tuple(rules)), 0)

    def chain(self, part: str, start: int, offset: int) -> tuple[Step, ...]:
        self.at, end = start + offset, start + len(part)
        steps = [self.step(end)]
        while self.peek(end):
            self.expect("+", end)
            steps.append(self.step(end))
        return tuple(steps)

    def step(self, end: int) -> Step:
        where = self.skip(end)
        name = self.take("name", end, "a step")
        form = STEPS.get(name)
        if form is None:
            raise self.error(f"unknown step {name!r}; steps are {', '.join(STEPS)}", where)
        given: dict[str, Any] = {}
        if self.peek(end) == "(":
            self.expect("(", end)
            while self.peek(end) != ")":
                self.argument(name, form, given, end)
                if self.peek(end) != ")":
                    self.expect(",", end)
            self.expect(")", end)
        if len(given) < form.needed:
            raise self.error(f"{name} needs {' and '.join(form.arguments[: form.needed])}: "
                             f"{name}({', '.join(form.arguments[: form.needed])})", where)
        return self.checked(partial(form.make, **given), where)

    def argument(self, step: str, form: _Form, given: dict[str, Any], end: int) -> None:
        where = self.skip(end)
        kind, value = self.token(end)
        name = form.arguments[len(given)] if len(given) < len(form.arguments) else ""
        if kind == "name" and self.peek(end) == "=":
            name = value
            self.expect("=", end)
            kind, value = self.token(end)
        elif not name:
            raise self.error(f"{step} takes {len(form.arguments)} argument{'s' * (len(form.arguments) != 1)}", where)
        if name not in form.arguments:
            raise self.error(f"{step} has no argument {name!r}; it has {', '.join(form.arguments) or 'none'}", where)
        if name in given:
            raise self.error(f"{step}'s argument {name!r} is given twice", where)
        if kind == "sign":
            raise self.error(f"expected a value, found {value!r}", where)
        given[name] = (float(value) if re.search(r"[.eE]", value) else int(value)) if kind == "number" else value

    # ---- tokens

    def skip(self, end: int) -> int:
        while self.at < end and self.text[self.at].isspace():
            self.at += 1
        return self.at

    def peek(self, end: int) -> str:
        at = self.skip(end)
        return self.text[at] if at < end else ""

    def token(self, end: int) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.skip(end), end)
        if match is None or match.lastgroup is None:
            what = f"unexpected {self.text[self.at]!r}" if self.at < end else "the text ends too early"
            raise self.error(what, self.at)
        self.at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def take(self, kind: str, end: int, what: str) -> str:
        where = self.skip(end)
        if where >= end:
            raise self.error(f"expected {what}; steps are {', '.join(STEPS)}", where)
        found, value = self.token(end)
        if found != kind:
            raise self.error(f"expected {what}, found {value!r}", where)
        return value

    def expect(self, sign: str, end: int) -> None:
        where = self.skip(end)
        if self.peek(end) != sign:
            found = self.peek(end)
            raise self.error(f"expected {sign!r}" + (f", found {found!r}" if found else ", but the text ends"), where)
        self.at = where + 1

    # ---- errors

    def checked(self, make: Callable[[], _T], where: int) -> _T:
        try:
            return make()
        except RecipeError as error:
            raise self.error(str(error), where) from None
        except TypeError:
            raise self.error("an argument is of the wrong type", where) from None

    def error(self, message: str, where: int) -> RecipeError:
        return RecipeError(f"recipe {self.text!r}, position {where + 1}: {message}")


def _split(text: str) -> list[str]:
    """At semicolons outside double quotes."""
    parts, quoted = [""], False
    for character in text:
        quoted ^= character == '"'
        if character == ";" and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _pattern(part: str) -> tuple[str | None, int]:
    """The pattern before the colon, and where the chain begins; None without a colon."""
    match = re.match(r'\s*(?:"([^"]*)"|([^:"]*?))\s*:', part)
    if match is None:
        return None, 0
    return (match[1] if match[1] is not None else match[2]), match.end()
