"""Language tags: one normal form, kept apart where adapters must be."""

from __future__ import annotations

import pytest
from babel.core import Locale, UnknownLocaleError
from babel.localedata import locale_identifiers
from hypothesis import given
from hypothesis import strategies as st

from adapterhub_lite import languages
from adapterhub_lite.errors import LanguageTagError


@pytest.mark.parametrize(
    ("given_tag", "normal"),
    [
        # RFC 5646 and the IANA registry: two letters where there are two, deprecated codes replaced
        ("en", "en"),
        ("eng", "en"),
        ("EN", "en"),
        (" en ", "en"),
        ("iw", "he"),
        ("in", "id"),
        ("swh", "swh"),
        ("sr_Latn", "sr-Latn"),
        ("sr-latn-rs", "sr-Latn-RS"),
        ("pt_br", "pt-BR"),
        ("zh-Hant", "zh-Hant"),
        ("gv", "gv"),
        ("mul", "mul"),
    ],
)
def test_normal_forms(given_tag: str, normal: str) -> None:
    assert languages.normalise(given_tag) == normal


@pytest.mark.parametrize(
    "tag", ["", " ", "english", "xx", "e", "en-", "en-Xxxx", "und", "12", "en sw", "ü"]
)
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(LanguageTagError, match="is not a registered language tag") as error:
        languages.normalise(tag)
    assert "BCP 47" in str(error.value.hint)
    assert error.value.exit_code == 2


@given(st.text(max_size=12))
def test_any_text_is_a_tag_or_one_clear_error(text: str) -> None:
    try:
        normal = languages.normalise(text)
    except LanguageTagError:
        return
    assert languages.normalise(normal) == normal


YOUNGER = {"tok"}
"""Toki Pona was registered after the list that `langcodes` carries was made."""


def _locales() -> list[str]:
    found = []
    for name in locale_identifiers():
        try:
            locale = Locale.parse(name)
        except UnknownLocaleError:
            continue
        if locale.variant is None:
            found.append(name)
    return found


def test_every_locale_of_cldr_is_a_tag() -> None:
    """CLDR (through babel) names real languages: every one normalises, and only once."""
    names = [name for name in _locales() if name.partition("_")[0] not in YOUNGER]
    assert len(names) > 500
    for name in names:
        normal = languages.normalise(name)
        assert languages.normalise(normal) == normal
        assert languages.macro(languages.macro(normal)) == languages.macro(normal)


@pytest.mark.parametrize(
    ("tag", "macro"),
    [("swh", "sw"), ("sw", "sw"), ("cmn", "zh"), ("arb", "ar"), ("en", "en"), ("gv", "gv")],
)
def test_macrolanguages(tag: str, macro: str) -> None:
    """ISO 639-3's table of macrolanguages."""
    assert languages.macro(tag) == macro


def test_script_tells_adapters_apart() -> None:
    assert languages.normalise("sr-Latn") != languages.normalise("sr-Cyrl")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("sw", "sw"), ("swa", "sw"), ("iw", "he"), ("Swahili", "sw"), ("english", "en"),
        (" Manx ", "gv"), ("Maori", "mi"), ("Māori", "mi"), ("Chinese", "zh"), ("Greek", "el"),
        ("Norwegian", "no"), ("Scottish Gaelic", "gd"), ("Tagalog", "fil"), ("sr_Latn", "sr-Latn"),
    ],
)  # fmt: skip
def test_people_may_give_names(text: str, tag: str) -> None:
    assert languages.understand(text) == tag


def test_a_name_of_several_languages_lists_them() -> None:
    with pytest.raises(LanguageTagError, match="is the name of 3 languages") as error:
        languages.understand("Gaelic")
    assert all(f"`{tag}`" in error.value.message for tag in ("ga", "gd", "gv"))


@pytest.mark.parametrize(
    ("text", "tag"), [("swahilli", "sw"), ("Englsh", "en"), ("english", "en"), ("Farsi", "pes")]
)
def test_near_misses_are_named(text: str, tag: str) -> None:
    with pytest.raises(LanguageTagError) as error:
        languages.normalise(text)
    assert f"`{tag}` (" in str(error.value.hint)


def test_most_of_cldrs_english_names_are_understood() -> None:
    """CLDR's English names, through babel, for every language of two letters that it names."""
    named = {t: n for t, n in Locale("en").languages.items() if len(t) == 2}
    right = 0
    for tag, name in named.items():
        try:
            right += languages.macro(languages.understand(name)) == languages.macro(
                languages.normalise(tag)
            )
        except LanguageTagError:
            continue
    assert len(named) > 170
    assert right / len(named) > 0.85
