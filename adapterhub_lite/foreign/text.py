"""Text from files, the Hub and plugins, on its way to a terminal, a hint, a card or a page.

Each function is for one kind of place.  All of them spell out what would be obeyed or would hide
instead of being read: control characters (C0, DEL, C1), line and paragraph separators, what
overrides or isolates the direction of writing, and halves of surrogate pairs.  The plain marks of
direction (U+200E, U+200F) and the joiners stay, since honest text in Hebrew, Persian or Hindi has
them.
"""

from __future__ import annotations

import re

_OBEYED = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
OBEYED = re.compile(f"[{_OBEYED}]")
"""What no text of one line may hold."""

OBEYED_IN_LINES = re.compile(f"(?![\n\t])[{_OBEYED}]")
"""What no text of several lines may hold."""

_IN_LINES = re.compile(f"(?!\n)[{_OBEYED}]")
_MARKS = re.compile(r"[\\`*\[\]|~$!]|(?<![^\W_])_|_(?![^\W_])")
_AT_START = re.compile(r"^([0-9]*)([#+=.)-])")
_SHELL = re.compile(f"[{_OBEYED}`]")


def one_line(value: object) -> str:
    """Return text for one line, or one cell: what a terminal obeys, line breaks too, is spelt."""
    return OBEYED.sub(_spelt, str(value))


def lines(value: object) -> str:
    """Return text that may have several lines."""
    return _IN_LINES.sub(_spelt, str(value))


def shortened(value: str, length: int = 8_000) -> str:
    """Return text whose middle is left out where it is longer: a message may quote a whole file."""
    if len(value) <= length:
        return value
    return f"{value[: length // 2]} [...] {value[-length // 2 :]}"


def in_json(document: str) -> str:
    """Return a JSON document that says the same and holds nothing that a terminal would obey."""
    return _IN_LINES.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def word(value: object) -> str:
    """Return text as one word of a command, which a shell reads back as that text."""
    import shlex  # as below: every command loads this file, and few need these

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


def markdown(value: object) -> str:
    """Return text that Markdown shows as it is, wherever in a paragraph or cell it stands."""
    return _AT_START.sub(r"\g<1>\\\g<2>", _inside(" ".join(one_line(value).split())))


def prose(value: object) -> str:
    """Return a sentence of ours, in which backticks mark names, as Markdown.

    A name with a backtick in it moves the marks; what they enclose is code all the same, and what
    they do not is escaped.
    """
    spans = one_line(value).split("`")
    return "".join(code(s) if number % 2 else _inside(s) for number, s in enumerate(spans) if s)


def code(value: object) -> str:
    """Return text as code in a line or cell of Markdown."""
    body = one_line(value).replace("|", "\\|") if "|" in str(value) else one_line(value)
    fence = "`" * (1 + max(map(len, re.findall("`+", body)), default=0))
    space = " " if body.startswith("`") or body.endswith("`") or not body.strip() else ""
    return f"{fence}{space}{body}{space}{fence}"


def block(value: object, language: str = "") -> str:
    """Return text of several lines as a block of code in Markdown."""
    body = lines(str(value).strip()).replace("\t", "    ")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
    return f"{fence}{language}\n{body}\n{fence}"


def literal(value: object) -> str:
    """Return text as a literal of Python, for code that is shown."""
    import json

    return json.dumps(one_line(value), ensure_ascii=False)


def html(value: object) -> str:
    """Return text for an element or an attribute of a page."""
    from html import escape

    return escape(one_line(value))


def _inside(words: str) -> str:
    """Escape what is markup inside a paragraph."""
    escaped = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\g<0>", escaped)


def _spelt(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _in_quotes(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}"
