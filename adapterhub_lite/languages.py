"""Language tags: normalised once, on entry, so that the rest compares plain strings.

Tags are BCP 47.  Deprecated and three-letter codes become their current short form (`iw` -> `he`,
`eng` -> `en`), script and region are kept, because Serbian in Cyrillic and in Latin script need
different adapters.  The macrolanguage form (`swh` -> `sw`) is a second, looser key: it is what lets
an adapter for Swahili serve somebody who asks for Coastal Swahili, and it is never an identity.
"""

from __future__ import annotations

from adapterhub_lite.errors import LanguageTagError

MULTIPLE = "mul"
"""The tag of training data in several languages (ISO 639-2)."""


def normalise(tag: str) -> str:
    """Return the canonical BCP 47 form of `tag`.

    Raises:
        LanguageTagError: not a registered tag.
    """
    import langcodes

    text = tag.strip().replace("_", "-") if isinstance(tag, str) else ""
    try:
        known = bool(text) and langcodes.tag_is_valid(text)
        standard = langcodes.standardize_tag(text) if known else ""
    except ValueError:
        standard = ""
    if not standard or standard == "und":
        raise LanguageTagError(
            f"`{tag}` is not a registered language tag",
            hint="give a BCP 47 tag: two or three letters (`sw`, `fo`), with a script or region "
            "where needed (`sr-Latn`, `pt-BR`)",
            tag=tag,
        )
    return standard


def macro(tag: str) -> str:
    """Return the tag of the macrolanguage that `tag` (normalised) belongs to, else `tag`."""
    import langcodes

    return langcodes.standardize_tag(tag, macro=True)
