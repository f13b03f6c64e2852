"""Recipes: text and objects are the same thing; errors say where and what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmf.errors import RecipeError
from cmf.passes import steps as s
from cmf.recipe import KINDS, STEPS, Recipe

EXAMPLES = {
    "prune(0.8) + codebook(16)": (s.Prune(0.8), s.Cluster(16)),
    "codebook(bits=4)": (s.Cluster(16),),
    "codebook(12, scales=channel)": (s.Cluster(12, "channel"),),
    "int8": (s.Integers(8),),
    "int4(group=32)": (s.Integers(4, 32),),
    "int6": (s.Integers(6),),
    "int16(scales=tensor)": (s.Integers(16, scales="tensor"),),
    "f16": (s.Half("f16"),),
    "bf16": (s.Half("bf16"),),
    "f32": (),
    "svd(0.25) + int8": (s.Svd(0.25), s.Integers(8)),
    "tucker(0.5)": (s.Tucker(0.5),),
    "dct(16) + prune(0.9) + int8": (s.Cosine(16), s.Prune(0.9), s.Integers(8)),
    "dct(16, 4)": (s.Cosine(16, 4),),
    "ternary": (s.Signs("ternary"),),
    "binary": (s.Signs("binary"),),
    "winograd(2x2)": (s.WinogradBasis(2),),
    "winograd(4x4) + int8": (s.WinogradBasis(4), s.Integers(8)),
    "int8 + a8": (s.Integers(8), s.Activations()),
    "a8(dynamic)": (s.Activations("dynamic"),),
    "a8(percentile=99.9)": (s.Activations(percentile=99.9),),
    "int8+zstd": (s.Integers(8), s.FileCodec()),
    "svd(fraction=.5)": (s.Svd(0.5),),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_text_is_the_object(text: str) -> None:
    assert Recipe.parse(text) == Recipe(EXAMPLES[text])
    assert Recipe.parse(str(Recipe.parse(text))) == Recipe.parse(text)
    assert Recipe.of(text) == Recipe.of(EXAMPLES[text]) == Recipe.of(Recipe(EXAMPLES[text]))


def test_rules_in_text_and_in_a_mapping() -> None:
    text = 'first: int8; "a:b*": int4(group=64); prune(0.5) + codebook(16) + zstd'
    recipe = Recipe.for_layers({"first": "int8", "a:b*": s.Integers(4, 64)}, "prune(0.5) + codebook(16) + zstd")
    assert Recipe.parse(text) == recipe and str(recipe) == text
    assert recipe.codec == "zstd"
    assert Recipe.for_layers({"conv": "int8"}).steps == ()


def test_the_first_matching_rule_holds() -> None:
    recipe = Recipe.parse("/blocks.1/*: ternary; depthwise: f16; int8")
    assert recipe.steps_for(["w", "/blocks.1/conv"], {"depthwise"}) == (s.Signs("ternary"),)
    assert recipe.steps_for(["w", "/blocks.2/conv"], {"depthwise"}) == (s.Half("f16"),)
    assert recipe.steps_for(["w"], {"conv", "first"}) == (s.Integers(8),)


ERRORS = {
    "": (1, "expected a step"),
    "int8 +": (7, "expected a step"),
    "foo": (1, "unknown step 'foo'; steps are svd, tucker"),
    "int8 + foo(3)": (8, "unknown step 'foo'"),
    "int7": (1, "unknown step 'int7'"),
    "int8 int4": (6, "expected '[+]', found 'i'"),
    "prune": (1, "prune needs fraction"),
    "prune(2)": (1, "must be at least 0 and less than 1"),
    "prune(1.0)": (1, "less than 1"),
    "svd(0)": (1, "more than 0"),
    "prune(0.5": (10, "expected ',', but the text ends"),
    "prune(-1)": (7, "expected a value, found '-'"),
    "prune(x)": (1, "wrong type"),
    "prune(0.5, 3)": (1, "prune's score is 3"),
    "int8(rounding=up)": (1, "rounding is 'up'"),
    "ternary(nearest, 3)": (18, "ternary takes 1 argument"),
    "prune(0.5, fraction=3)": (12, "given twice"),
    "prune(part=3)": (7, "no argument 'part'; it has fraction"),
    "int4(group=30)": (1, "multiple of 32"),
    "int4(group=32, scales=tensor)": (1, "not both"),
    "int4(scales=row)": (1, "channel or tensor"),
    "codebook": (1, "either a number of entries"),
    "codebook(300)": (1, "2 to 256"),
    "codebook(2.5)": (1, "not a whole number"),
    "winograd(3x3)": (1, "2x2 or 4x4"),
    "winograd(2)": (1, "2x2 or 4x4"),
    "dct(5)": (1, "1, 2, 4, 8, 16, 32"),
    "dct(16, 32)": (1, "1, 2, 4, 8, 16"),
    "a8(later)": (1, "static or dynamic"),
    "a8(dynamic, 99)": (1, "percentile has no meaning"),
    "int8 + int4": (1, "exclude each other"),
    "int8 + prune(0.5)": (1, "must come before"),
    "svd(0.5) + winograd(2x2)": (1, "cannot be combined"),
    "int8; int4": (1, "only the last part"),
    "first: zstd; int8": (1, "whole file"),
    "@": (1, "unexpected '@'"),
}


@pytest.mark.parametrize("text", ERRORS)
def test_errors_say_where(text: str) -> None:
    position, message = ERRORS[text]
    with pytest.raises(RecipeError, match=message) as error:
        Recipe.parse(text)
    assert f"position {position}:" in str(error.value)


def test_objects_are_checked_too() -> None:
    with pytest.raises(RecipeError, match="must come before"):
        Recipe((s.Integers(8), s.Prune(0.5)))
    with pytest.raises(RecipeError, match="empty pattern"):
        Recipe.for_layers({"": "int8"})
    with pytest.raises(RecipeError, match="cannot be nested"):
        Recipe.for_layers({"conv": "first: int8; int4"})
    with pytest.raises(RecipeError, match="double quote"):
        str(Recipe.for_layers({'a";': "int8"}))


fractions = st.floats(0.01, 0.99)
product_steps = st.one_of(fractions.map(s.Svd), fractions.map(s.Tucker))
cosines = st.builds(s.Cosine, st.sampled_from([1, 2, 4, 8, 16, 32]), st.sampled_from([1, 2, 4, 8, 16]))
levels = st.one_of(
    st.builds(s.Integers, st.sampled_from([1, 2, 3, 4, 5, 6, 8, 16]), st.sampled_from([0, 32, 64, 128])),
    st.builds(s.Cluster, st.integers(2, 256), st.sampled_from(["auto", "none", "channel"])),
    st.sampled_from([s.Half("f16"), s.Half("bf16"), s.Signs("ternary"), s.Signs("binary")]))
percentiles = st.floats(50.5, 100).map(lambda p: s.Activations("static", p))
activations = st.one_of(st.just(s.Activations("dynamic")), percentiles)


@st.composite
def chains(draw: st.DrawFn, file: bool = True) -> tuple[s.Step, ...]:
    bases = cosines if draw(st.booleans()) else st.sampled_from([s.WinogradBasis(2), s.WinogradBasis(4)])
    parts = [product_steps, bases, fractions.map(s.Prune), levels, activations] + [st.just(s.FileCodec())] * file
    steps = [draw(part) for part in parts if draw(st.booleans())]
    if any(isinstance(step, s.WinogradBasis) for step in steps):
        steps = [step for step in steps if step.role != "product"]
    return tuple(steps)


characters = st.characters(exclude_characters='"', exclude_categories=["Cs"])
patterns = st.one_of(st.sampled_from(KINDS), st.text(characters, min_size=1))


@given(chains(), st.dictionaries(patterns, chains(file=False), max_size=3))
def test_every_recipe_has_a_text(rest: tuple[s.Step, ...], rules: dict[str, tuple[s.Step, ...]]) -> None:
    recipe = Recipe.for_layers(rules, rest)
    assert Recipe.parse(str(recipe)) == recipe


@given(st.lists(st.sampled_from([*STEPS, *"+();:,=x.0123456789 \"*-", "scales", "2x2"])).map("".join))
def test_any_text_gives_a_recipe_or_a_recipe_error(text: str) -> None:
    try:
        recipe = Recipe.parse(text)
    except RecipeError as error:
        assert "position" in str(error)
    else:
        assert Recipe.parse(str(recipe)) == recipe
