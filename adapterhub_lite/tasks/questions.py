"""Questions with answers in a context: SQuAD's own JSON (1.1 and 2.0), records, JSON lines.

A question that its context does not answer has no answers (`is_impossible`, or empty lists); its
one right answer is the empty text, as in SQuAD's own script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.tasks import annotating
from adapterhub_lite.tasks.base import Example
from adapterhub_lite.tasks.files import fail, read_lines
from adapterhub_lite.tasks.formats import check_format, table_layout
from adapterhub_lite.tasks.tables import (
    Record,
    columns_of,
    json_document,
    json_records,
    missing,
    records_in,
)

if TYPE_CHECKING:
    from adapterhub_lite.tasks.predicted import Predicted

FORMATS = ("json", "jsonl", "tsv", "csv")
_FIELDS = ("question", "context", "answers", "language", "id")
_HINT = "give SQuAD's JSON, or JSON lines with `question`, `context` and `answers`"


def read_questions(
    path: Path, columns: Mapping[str, str], *, gold: bool, format: str | None = None
) -> list[Example]:
    """Return the questions of a file.

    Raises:
        DataError: see `files`; also a question without context, or (with `gold`) with answers that
            are not there in the context.
        UsageError: a format that holds no questions.
    """
    check_format(format, FORMATS, "question answering")
    lines = read_lines(path)
    layout = table_layout(path, lines, ("question", "context"), forced=format)
    if layout.format == "json" and _is_squad(items := json_document(path, lines)):
        questions = [_example(record, _SQUAD, gold=gold) for record in _squad(path, items)]
        if not questions:
            fail(path, None, "no question in the file")
        return questions
    if layout.format in ("jsonl", "json"):
        return of_records(json_records(path, lines, layout), columns, gold=gold)
    if layout.table is None or layout.table.header is None or gold:
        fail(path, None, f"expected questions with contexts, found {layout.format}", _HINT)
    return of_records(records_in(path, lines, layout, ()), columns, gold=False)


def of_records(
    records: Sequence[Record], columns: Mapping[str, str], *, gold: bool
) -> list[Example]:
    """Return an example a record.

    Raises:
        DataError: no question, no context, or (with `gold`) answers that are not as they must be.
    """
    looked_for = [field for field in _FIELDS if gold or field != "answers"]
    names = {field: field for field in _FIELDS} | columns_of(records, looked_for, columns)
    return [_example(record, names, gold=gold) for record in records]


_SQUAD = {field: field for field in _FIELDS}


def _is_squad(items: Sequence[Any]) -> bool:
    return any(isinstance(item, dict) and "paragraphs" in item for item in items)


def _squad(path: Path, items: Sequence[Any]) -> Iterator[Record]:
    """Yield a record a question, named by its id for messages."""
    for article, item in enumerate(items):
        paragraphs = item.get("paragraphs") if isinstance(item, dict) else None
        if not isinstance(paragraphs, list):
            fail(path, None, f"data[{article}]: expected `paragraphs`, as SQuAD has them")
        for number, paragraph in enumerate(paragraphs):
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(questions, list):
                position = f"data[{article}].paragraphs[{number}]"
                fail(path, None, f"{position}: expected `qas`, as SQuAD has them")
            for question in questions:
                if not isinstance(question, dict):
                    fail(path, None, f"data[{article}]: a question is an object with `question`")
                origin = f"{path}: question `{question.get('id', '?')}`"
                yield Record(None, {"context": paragraph.get("context"), **question}, origin)


def _example(record: Record, names: Mapping[str, str], *, gold: bool) -> Example:
    question, context = record.fields.get(names["question"]), record.fields.get(names["context"])
    if not (isinstance(question, str) and isinstance(context, str) and context.strip()):
        problem = f"needs texts `{names['question']}` and `{names['context']}`"
        fail(record.origin, record.line, problem, _HINT)
    texts: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    if gold:
        impossible = record.fields.get("is_impossible") is True
        answers = {"text": [], "answer_start": []} if impossible else _answers_of(record, names)
        texts, starts = _answers(record, names["answers"], answers, context)
    language, key = (record.fields.get(names[field]) for field in ("language", "id"))
    return Example(
        (question, context),
        texts,
        starts,
        None if missing(language) else str(language),
        record.origin,
        record.line,
        key=None if missing(key) else str(key),
    )


def _answers_of(record: Record, names: Mapping[str, str]) -> Any:
    """Return answers as lists; SQuAD has a list of objects."""
    answers = record.fields.get(names["answers"])
    if not isinstance(answers, list | tuple) or not all(isinstance(a, dict) for a in answers):
        return answers
    return {key: [answer.get(key) for answer in answers] for key in ("text", "answer_start")}


def _answers(
    record: Record, name: str, answers: Any, context: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the texts of answers, and where they start; the empty text if there are none."""
    lists: list[Any] = [answers.get(k) if isinstance(answers, dict) else None for k in _ANSWERS]
    texts, starts = (value.tolist() if hasattr(value, "tolist") else value for value in lists)
    if not isinstance(texts, list | tuple) or not isinstance(starts, list | tuple):
        problem = f"`{name}` needs lists `text` and `answer_start`, empty where nothing answers"
        fail(record.origin, record.line, problem)
    if len(texts) != len(starts):
        fail(record.origin, record.line, f"{len(texts)} answers but {len(starts)} starts")
    for text, start in zip(texts, starts, strict=True):
        if not isinstance(text, str) or not isinstance(start, int):
            fail(record.origin, record.line, f"an answer is a text with a number, found {text!r}")
        if context[start : start + len(text)] != text:
            there = context[max(start, 0) : start + len(text)]
            problem = f"the answer `{text}` is not at {start} in the context, `{there}` is"
            fail(record.origin, record.line, problem)
    return (tuple(texts), tuple(starts)) if texts else (("",), ())


_ANSWERS = ("text", "answer_start")


def annotated(path: Path, predictions: Sequence[Predicted], format: str | None) -> bytes:
    """Return the predicted answers of a file.

    For SQuAD's JSON: an object with an answer by the id of its question, which SQuAD's script
    takes.  For JSON lines and lists: the records with a field `predicted_answer`.
    """
    lines = read_lines(path)
    layout = table_layout(path, lines, ("question", "context"), forced=format)
    if layout.format == "json" and _is_squad(json_document(path, lines)):
        answers = {str(item.key): item.labels[0] for item in predictions}
        return (json.dumps(answers, ensure_ascii=False, indent=1) + "\n").encode()
    if layout.format in ("jsonl", "json"):
        field = {"predicted_answer": lambda item: item.labels[0]}
        return annotating.objects(path, predictions, layout, field)
    return annotating.table(predictions).encode()
