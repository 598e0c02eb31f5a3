"""Every question is answered from an index, so that its cost does not grow with the registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from adapterhub_lite.adapter import Kind, Role
from adapterhub_lite.registry import Registry
from tests.registry.making import BASE, fill, manifest, score, task

QUESTIONS: dict[str, Callable[[Registry], object]] = {
    "name": lambda r: r.get("sw-wiki"),
    "digest": lambda r: r.get("f" * 12),
    "name and digest": lambda r: r.get("sw-wiki@f"),
    "language": lambda r: r.find(kind=Kind.LANGUAGE, base=BASE, language=("swh", "sw")),
    "pair": lambda r: r.find(kind=Kind.BILINGUAL, base=BASE, language="sw"),
    "task": lambda r: r.find(kind=Kind.TASK, task="ner", base=BASE, language=("en", "mul")),
    "task, any base": lambda r: r.find(kind=Kind.TASK, task="ner", language="en"),
    "role": lambda r: r.find(language="en", role=Role.SOURCE, base=BASE),
    "base": lambda r: r.find(base=BASE, kind=Kind.TASK),
    "base by name": lambda r: r.find(base_name="mini-base"),
    "task alone": lambda r: r.find(task="pos"),
    "tags": lambda r: r.tags_among(Kind.LANGUAGE, BASE, ("sw", "fo"), language="sw"),
    "scores": lambda r: r.scores(task="ner", language="sw"),
    "scores of a composition": lambda r: r.scores(composition="a"),
    "a base": lambda r: r.base("mini-base"),
    "first names": lambda r: r.find(limit=3),
}


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path / "registry.db", create=True) as opened:
        fill(opened)
        opened.record_scores([score()])
        yield opened


def _plans(registry: Registry, ask: Callable[[Registry], object]) -> list[str]:
    asked: list[tuple[str, object]] = []

    def listen(
        _connection: object, _cursor: object, statement: str, given: object, *_: object
    ) -> None:
        asked.append((statement, given))

    event.listen(registry.database.engine, "before_cursor_execute", listen)
    try:
        ask(registry)
    except LookupError:
        raise
    except Exception:  # an unknown ref is a question as well
        pass
    event.remove(registry.database.engine, "before_cursor_execute", listen)
    with registry.database.read() as connection:
        return [
            line.detail
            for statement, given in asked
            if statement.startswith("SELECT")
            for line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)  # type: ignore[arg-type]
        ]


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_reads_a_whole_table(filled: Registry, question: str) -> None:
    plans = _plans(filled, QUESTIONS[question])
    assert plans
    scans = [p for p in plans if re.match(r"SCAN (adapters|names|languages|scores|bases)\b", p)]
    in_order = "SCAN adapters USING INDEX adapters_name"
    assert [p for p in scans if not (question == "first names" and p == in_order)] == []


def test_the_cost_of_a_question_does_not_grow(filled: Registry, tmp_path: Path) -> None:
    """Counted in SQLite's own steps: as many with 3,000 other adapters as with none."""
    from adapterhub_lite.registry import Addition

    def steps(ask: Callable[[Registry], object]) -> int:
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        ask(filled)
        with filled.database.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.set_progress_handler(tick, 1)
        ask(filled)
        raw.set_progress_handler(None, 1)
        return count

    narrow = [QUESTIONS[n] for n in ("name", "language", "pair", "task", "tags", "scores")]
    before = [steps(ask) for ask in narrow]
    assert all(before)
    filled.add_many(
        Addition(task(str(n), source="de", name="ner" if n % 2 else f"task-{n}"), f"other-{n}")
        for n in range(3000)
    )
    bases = [replace(BASE, name=f"base-{n}", fingerprint=f"{n:064x}") for n in range(300)]
    filled.add_many(Addition(manifest(base.name, base=base), f"sw-{base.name}") for base in bases)
    after = [steps(ask) for ask in narrow]
    assert all(a <= b * 1.1 + 5 for a, b in zip(after, before, strict=True)), (before, after)
