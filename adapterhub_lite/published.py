"""Published scores: tables from papers, read strictly into the registry, so that they steer it.

A table is CSV, TSV (both with a header) or JSON lines, with these columns (`COLUMNS`).  What is the
same in every line can be given once instead, as an option.  Anything that is not understood is an
error with file and line, and then nothing is recorded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import languages
from adapterhub_lite.adapter import Score
from adapterhub_lite.composition import parse, refs, rename
from adapterhub_lite.errors import AhlError, RefError, UsageError, near
from adapterhub_lite.foreign.text import OBEYED, one_line
from adapterhub_lite.tasks.files import fail, read_lines
from adapterhub_lite.tasks.formats import detect
from adapterhub_lite.tasks.tables import Record, read_records

if TYPE_CHECKING:
    from adapterhub_lite.registry import Registry

COLUMNS = {
    "target": "language of the text that was scored (tag or name); needed",
    "value": "the score, in the metric's own unit (accuracy, F1: 0 to 1); needed",
    "task": "name of the task; needed",
    "dataset": "name of the data; needed",
    "metric": "name of the metric; needed",
    "composition": "what was scored: adapters of this registry, or `full-fine-tuning`; needed",
    "source": "language of the labels; needed for `full-fine-tuning`",
    "split": "part of the data [test]",
    "n": "number of examples [0: not known]",
    "seed": "seed [0]",
    "when": "date, or date and time with zone [now]",
    "origin": "where it was published [the file's name]",
}
"""Column by name, and what stands in it."""

NEEDED = ("target", "value", "task", "dataset", "metric", "composition")

WHOLE = "full-fine-tuning"
"""What stands for the composition where no adapter was used (`evaluation.measure.FULL`)."""

FRACTIONS = frozenset({"accuracy", "f1", "macro_f1", "micro_f1", "uas", "las"})
"""Metrics that lie between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Table:
    """How to read a file of scores.

    Args:
        path: the file.
        columns: names of the file's columns, where they are others than ours.
        given: values of columns that the file does not have.
        ignore: columns of the file to leave out.
        percent: whether values are in percent.
    """

    path: Path
    columns: Mapping[str, str]
    given: Mapping[str, str]
    ignore: Collection[str] = ()
    percent: bool = False


def read_scores(table: Table, registry: Registry) -> list[Score]:
    """Return the scores of a file.

    Raises:
        DataError: a line that is not understood; the message starts with file and line.
        UsageError: a column that there is not, named by an option.
    """
    for name in (*table.columns, *table.given):
        if name not in COLUMNS:
            raise UsageError(f"scores have no column `{name}`", hint=near(name, COLUMNS))
    names = {theirs: ours for ours, theirs in table.columns.items()}
    theirs = [table.columns.get(column, column) for column in COLUMNS]
    records = read_records(table.path, theirs, required=())
    _check_header(table, records)
    now, found = datetime.now(UTC), []
    lines: dict[tuple[object, ...], int | None] = {}
    for record in records:
        fields = _fields(table, record, names)
        score = _score(table, record.line, fields, registry, now)
        identity = _identity(score)
        if identity in lines:
            told = "differ in composition, data, languages, metric or seed"
            first = lines[identity]
            fail(table.path, record.line, f"the same as line {first}: two scores must {told}")
        lines[identity] = record.line
        found.append(score)
    return found


def _identity(score: Score) -> tuple[object, ...]:
    data = (score.composition, score.task, score.dataset, score.split, score.language)
    return (*data, score.source_language, score.metric, score.seed)


def _check_header(table: Table, records: list[Record]) -> None:
    """Refuse a table whose first line is no header: positions are not promised."""
    lines = read_lines(table.path)
    first = next(line.number for line in lines if line.text.strip())
    if detect(table.path, lines) not in ("jsonl", "json") and records[0].line == first:
        names = ", ".join(COLUMNS)
        fail(table.path, first, "the first line names no column", f"columns are {names}")


def _fields(table: Table, record: Record, names: Mapping[str, str]) -> dict[str, str]:
    fields = dict(table.given)
    for theirs, value in record.fields.items():
        if theirs in table.ignore:
            continue
        ours = names.get(theirs, theirs)
        if ours not in COLUMNS or (ours == theirs and ours in table.columns):
            hint = f"{near(theirs, COLUMNS)}; `--column NAME={theirs}` or `--ignore {theirs}`"
            fail(table.path, record.line, f"scores have no column `{theirs}`", hint)
        if ours in table.given:
            fail(table.path, record.line, f"`{ours}` is given as an option and in the file")
        if value is not None and str(value).strip():
            fields[ours] = _one_line(table.path, record.line, ours, str(value).strip())
    for name in NEEDED:
        if name not in fields:
            hint = f"add the column, or `--column {name}=THEIRS`, or `--{name}` for all lines"
            fail(table.path, record.line, f"no `{name}` here", hint)
    return fields


def _one_line(path: Path, line: int | None, name: str, value: str) -> str:
    if OBEYED.search(value):
        fail(path, line, f"`{name}` is `{value[:60]}`, which a terminal would obey")
    return value


def _score(
    table: Table, line: int | None, fields: Mapping[str, str], registry: Registry, now: datetime
) -> Score:
    try:
        composition, labelled = _composition(fields["composition"], registry)
        source = fields.get("source")
        if source is None and labelled is None:
            raise UsageError(f"`{WHOLE}` needs a `source`, the language of the labels")
        return Score(
            composition=composition,
            task=fields["task"],
            dataset=fields["dataset"],
            split=fields.get("split", "test"),
            language=languages.understand(fields["target"]),
            metric=fields["metric"],
            value=_value(fields, percent=table.percent),
            n=_whole(fields, "n"),
            seed=_whole(fields, "seed"),
            when=_moment(fields["when"]) if "when" in fields else now,
            origin=fields.get("origin", one_line(table.path.name)),
            source_language=languages.understand(source) if source else labelled or "",
        )
    except AhlError as error:
        fail(table.path, line, error.message, error.hint)


def by_digest(text: str, registry: Registry) -> str:
    """Return a composition as scores are recorded under it: refs become whole digests.

    A whole digest may be of an adapter that is no longer there.
    """

    def digest(ref: str) -> str:
        try:
            return str(registry.get(ref).digest)
        except RefError:
            if _DIGEST.fullmatch(ref):
                return ref
            raise

    return text if text == WHOLE else str(rename(parse(text), digest))


_DIGEST = re.compile("[0-9a-f]{64}")


def _composition(text: str, registry: Registry) -> tuple[str, str | None]:
    """Return a composition with whole digests, and the language of its topmost labels."""
    if text == WHOLE:
        return text, None
    given = parse(text)
    adapters = {ref: registry.get(ref) for ref in refs(given)}
    tags = adapters[refs(given)[-1]].manifest.tags()
    return str(rename(given, lambda ref: adapters[ref].digest)), tags[0] if tags else None


def _value(fields: Mapping[str, str], *, percent: bool) -> float:
    text, metric = fields["value"], fields["metric"]
    value = _number(text) / (100 if percent else 1)
    if metric.lower() in FRACTIONS and not 0 <= value <= 1:
        raise UsageError(
            f"{metric} is between 0 and 1, found {text}",
            hint="`--percent` reads values in percent",
        )
    return value


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _number(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise UsageError(f"`value` is a finite number, found `{text[:40]}`")
    return value + 0.0  # minus zero is zero: two scores that are equal must be spelt alike


def _whole(fields: Mapping[str, str], name: str) -> int:
    text = fields.get(name, "0")
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) >= 1 << 63:
        raise UsageError(f"`{name}` is a whole number from 0 to 2^63 - 1, found `{text[:40]}`")
    return int(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"`when` is a date such as 2019-07-28, found `{text}`") from None
    if moment.tzinfo is None and len(text) > len("2019-07-28"):
        raise UsageError(f"`when` needs a time zone, found `{text}`")
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise UsageError(f"`when` is before the first or after the last year: `{text}`") from None


def summary(score: Score, registry: Registry) -> dict[str, Any]:
    """Return what `ahl scores list --json` prints of a score; refs are names where known."""
    return {
        "source": score.source_language,
        "target": score.language,
        "task": score.task,
        "dataset": score.dataset,
        "split": score.split,
        "metric": score.metric,
        "value": score.value,
        "n": score.n,
        "seed": score.seed,
        "composition": named(score.composition, registry),
        "when": score.when.isoformat(),
        "origin": score.origin,
    }


def named(text: str, registry: Registry) -> str:
    """Return a recorded composition with names for whole digests, as far as they are known."""

    def name(digest: str) -> str:
        try:
            return registry.get(digest).ref
        except RefError:
            return digest

    return text if text == WHOLE else str(rename(parse(text), name))
