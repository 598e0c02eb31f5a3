"""Text from files, the Hub and plugins, on its way to a terminal, a hint, a card or a page.

Each function is for one kind of place.  All of them spell out what would be obeyed or would hide
instead of being read: control characters (C0, DEL, C1), line and paragraph separators, what
overrides or isolates the direction of writing, and halves of surrogate pairs.  The plain marks of
direction (U+200E, U+200F) and the joiners stay, since honest text in Hebrew, Persian or Hindi has
them.
"""

from __future__ import annotations

import html as _html
import re
import shlex

_OBEYED = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
OBEYED = re.compile(f"[{_OBEYED}]")
"""What no text of one line may hold."""

_IN_LINES = re.compile(f"(?!\n)[{_OBEYED}]")
_SHELL = re.compile(f"[{_OBEYED}`]")


def one_line(value: object) -> str:
    """Return text for one line, or one cell: what a terminal obeys, line breaks too, is spelt."""
    return OBEYED.sub(_spelt, str(value))


def lines(value: object) -> str:
    """Return text that may have several lines."""
    return _IN_LINES.sub(_spelt, str(value))


def in_json(document: str) -> str:
    """Return a JSON document that says the same and holds nothing that a terminal would obey."""
    return _IN_LINES.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def word(value: object) -> str:
    """Return text as one word of a command, which a shell reads back as that text."""
    text = str(value)
    if not _SHELL.search(text):
        return shlex.quote(text)
    body = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_SHELL.sub(_in_quotes, body)}'"


def shell(*words: object) -> str:
    """Return a command that a shell reads back as these words."""
    return " ".join(map(word, words))


def command(*words: object) -> str:
    """Return a command for a hint, in backticks."""
    return f"`{shell(*words)}`"


def html(value: object) -> str:
    """Return text for an element or an attribute of a page."""
    return _html.escape(one_line(value))


def _spelt(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _in_quotes(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}"
