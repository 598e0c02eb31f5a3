"""Words that the vocabulary must cover beside running text: CLDR names and interface strings.

Babel carries the names of territories, languages, currencies, scripts, units and time zones in
several hundred languages; Django carries its interface in about a hundred. Both are used for
counting pieces only; nothing of them is stored with the model.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from pathlib import Path

import django
from babel import Locale
from babel.core import UnknownLocaleError
from babel.localedata import locale_identifiers


def cldr_names(tag: str) -> dict[str, set[str]]:
    """The names that CLDR has in one locale, by kind; inherited and untranslated ones left out."""
    locale, root = Locale.parse(tag), Locale.parse("root")
    kinds = {
        "territory": locale.territories,
        "language": locale.languages,
        "currency": locale.currencies,
        "script": locale.scripts,
    }
    found = {kind: set(map(str, names.values())) for kind, names in kinds.items()}
    found["unit"] = _unit_names(locale) - _unit_names(root)
    found["zone"] = _zone_names(locale) - _zone_names(root)
    return {kind: {name for name in names if _is_name(name)} for kind, names in found.items()}


def _unit_names(locale: Locale) -> set[str]:
    units = locale._data["unit_display_names"]
    return {styles["long"] for styles in units.values() if "long" in styles}


def _zone_names(locale: Locale) -> set[str]:
    names = {zone["city"] for zone in locale.time_zones.values() if "city" in zone}
    for zone in locale.meta_zones.values():
        names.update(zone.get("long", {}).values())
    return names


def _is_name(text: str) -> bool:
    """Whether the text is a word: codes such as "EUR" and empty strings are not."""
    return sum(c.isalpha() for c in text) >= 2 and not (text.isascii() and text.isupper())


def cldr_tags() -> list[str]:
    """Every locale that is a language of its own: a language, or a language in another script."""
    tags = []
    for tag in locale_identifiers():
        try:
            locale = Locale.parse(tag)
        except (UnknownLocaleError, ValueError):
            continue
        if tag != "root" and locale.territory is None and locale.variant is None:
            tags.append(tag)
    return sorted(tags)


def django_strings() -> Iterator[tuple[str, list[str]]]:
    """(locale, translated strings) of every catalogue that Django carries."""
    for path in sorted(Path(django.__file__).parent.rglob("*.mo")):
        with path.open("rb") as handle:
            catalogue = vars(gettext.GNUTranslations(handle))["_catalog"]
        yield path.parts[-3], [str(text) for key, text in catalogue.items() if key]
