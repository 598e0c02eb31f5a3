"""Language tags: normalised once, on entry, so that the rest compares plain strings.

Tags are BCP 47.  Deprecated and three-letter codes become their current short form (`iw` -> `he`,
`eng` -> `en`), script and region are kept, because Serbian in Cyrillic and in Latin script need
different adapters.  The macrolanguage form (`swh` -> `sw`) is a second, looser key: it is what lets
an adapter for Swahili serve somebody who asks for Coastal Swahili, and it is never an identity.

Files and code give tags.  People may give names as well (`understand`), where one language has it.
"""

from __future__ import annotations

import unicodedata
from difflib import get_close_matches
from functools import lru_cache

from adapterhub_lite import facts
from adapterhub_lite.errors import LanguageTagError

MULTIPLE = "mul"
"""The tag of training data in several languages (ISO 639-2)."""

SHOWN = 6
"""Languages that a message lists."""


def normalise(tag: str) -> str:
    """Return the canonical BCP 47 form of `tag`.

    Raises:
        LanguageTagError: not a registered tag; the hint has languages that may have been meant.
    """
    standard = _standard(tag)
    if standard is None:
        raise LanguageTagError(
            f"`{tag}` is not a registered language tag",
            hint=f"{_meant(tag)}give a BCP 47 tag: two or three letters (`sw`, `fo`), with a "
            "script or region where needed (`sr-Latn`, `pt-BR`)",
            tag=tag,
        )
    return standard


def understand(text: str) -> str:
    """Return the tag that a person means: a tag, or the English name of one language.

    A name that a macrolanguage and one of its languages share means the macrolanguage.

    Raises:
        LanguageTagError: neither, or the name of several languages, which are listed.
    """
    standard = _standard(text)
    if standard is not None:
        return standard
    tags = _by_name().get(_plain(text), ())
    if len(tags) > 1:
        shown = ", ".join(f"`{tag}` ({name(tag)})" for tag in tags[:SHOWN])
        more = f" and {len(tags) - SHOWN} more" if len(tags) > SHOWN else ""
        raise LanguageTagError(
            f"`{text}` is the name of {len(tags)} languages: {shown}{more}",
            hint="give the tag",
            tag=text,
            found=list(tags),
        )
    return tags[0] if tags else normalise(text)


@lru_cache(maxsize=20_000)
def macro(tag: str) -> str:
    """Return the tag of the macrolanguage that `tag` (normalised) belongs to, else `tag`."""
    if tag in facts.plain_codes():
        return tag
    import langcodes

    return str(langcodes.standardize_tag(tag, macro=True))


def name(tag: str) -> str:
    """Return the English name of a tag's language, script and region added; the tag if unknown."""
    language, _, rest = tag.partition("-")
    known = facts.names().get(language)
    if not known:
        return tag
    return f"{known[0]} ({rest})" if rest else known[0]


def _standard(tag: str) -> str | None:
    if isinstance(tag, str) and tag in facts.plain_codes():
        return tag
    import langcodes

    text = tag.strip().replace("_", "-") if isinstance(tag, str) else ""
    try:
        known = bool(text) and langcodes.tag_is_valid(text)
        standard = langcodes.standardize_tag(text) if known else ""
    except ValueError:
        return None
    return standard if standard not in {"", "und"} else None


def _plain(text: str) -> str:
    """Return a name without case, accents and marks."""
    folded = text.strip().casefold()
    decomposed = folded if folded.isascii() else unicodedata.normalize("NFKD", folded)
    return "".join(c for c in decomposed if c.isalnum() or c == " ")


@lru_cache(maxsize=1)
def _by_name() -> dict[str, tuple[str, ...]]:
    """Return tags by plain name; where the usual name of some language fits, only such count."""
    usual: dict[str, set[str]] = {}
    other: dict[str, set[str]] = {}
    for tag, names in facts.names().items():
        for place, full in enumerate(names):
            found = other if place else usual
            found.setdefault(_plain(full), set()).add(tag)
    merged = other | usual
    return {plain: _together(tags) for plain, tags in merged.items() if plain}


def _together(tags: set[str]) -> tuple[str, ...]:
    wide = {macro(tag) for tag in tags} if len(tags) > 1 else tags
    return tuple(sorted(tags if len(wide) > 1 else wide))


def _meant(text: str) -> str:
    """Return `did you mean ...? `, or nothing: for a name, and for names spelt like it."""
    plain = _plain(text) if isinstance(text, str) else ""
    if len(plain) < 3:
        return ""
    shown = " or ".join(f"`{tag}` ({name(tag)})" for tag in _near(plain)[:3])
    return f"did you mean {shown}? " if shown else ""


def _near(plain: str) -> list[str]:
    """Return tags by a name, by names that have it as a word, by names spelt like it."""
    known = _by_name()
    found = [plain] if plain in known else sorted(n for n in known if plain in n.split())
    if not found:
        likely = [n for n in known if n[0] == plain[0] and abs(len(n) - len(plain)) < 4]
        found = get_close_matches(plain, sorted(likely), n=3, cutoff=0.75)
    return list(dict.fromkeys(tag for name in found for tag in known[name]))
