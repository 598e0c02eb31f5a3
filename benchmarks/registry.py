"""Index adapters in bulk and resolve among them, at 1,000, 100,000 and 1,000,000 adapters.

The registry holds records only.  Per thousand adapters there is one base with 450 language
adapters, 50 bilingual ones and 500 task adapters (50 tasks, labels in 10 languages), so a request
has the same candidates at every size, and what is measured is finding them.  Every request is
another pair.  The floor is one query by primary key over the same connection, five times: a request
asks for task adapters, target, source, pairs and scores.

In SQLite all work is done in the process, and CPU time is taken.  In PostgreSQL, where a server is
at hand, it is wall time, since the server works too; statistics are made first, as its own
housekeeping does within a minute of a bulk load.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase

from sqlalchemy import bindparam, select

from adapterhub_lite import plugins
from adapterhub_lite.adapter import (
    BaseIdentity,
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Provider,
    Role,
    Underneath,
    WeightsFile,
)
from adapterhub_lite.digests import of_json
from adapterhub_lite.manifest import digest as digest_of
from adapterhub_lite.methods.bottleneck import BottleneckConfig
from adapterhub_lite.registry import Addition, Registry, rows
from adapterhub_lite.registry.tables import ADAPTERS, METADATA
from adapterhub_lite.resolver import Request
from adapterhub_lite.resolver.answer import answer
from benchmarks import postgres
from benchmarks.lines import Line
from benchmarks.setting import Size
from benchmarks.timing import Spread

LANGUAGES = tuple(f"q{a}{b}" for a, b in product(ascii_lowercase[:20], ascii_lowercase))[:450]
"""Codes for private use (ISO 639-3: qaa to qtz), which are nobody's language."""
TASKS = tuple(f"task-{n}" for n in range(50))
LANGUAGE = BottleneckConfig(reduction=2.0, invertible=True).to_mapping()
TASK = BottleneckConfig().to_mapping()
PROVIDER = Provider("adapterhub_lite.methods", "1")
REQUESTS = 200

Clock = Callable[[], float]
CPU: Clock = time.process_time
WALL: Clock = time.perf_counter


def base_number(number: int) -> BaseIdentity:
    """Return one of the made-up bases."""
    return BaseIdentity(f"base-{number}", "xlm-roberta", 768, 12, 250_002, of_json(number))


def additions(count: int) -> Iterator[Addition]:
    """Yield `count` adapters, a thousand a base."""
    for number in range(count // 1000):
        base = base_number(number)
        alone = [
            _manifest(base, Kind.LANGUAGE, (LanguageUse(tag, Role.LANGUAGE),)) for tag in LANGUAGES
        ]
        for tag, manifest in zip(LANGUAGES, alone, strict=True):
            yield Addition(manifest, f"{tag}-{number}", ())
        for first, second in zip(LANGUAGES[:50], LANGUAGES[50:100], strict=True):
            uses = (LanguageUse(first, Role.SOURCE), LanguageUse(second, Role.TARGET))
            yield Addition(_manifest(base, Kind.BILINGUAL, uses), f"{first}-{second}-{number}", ())
        for task in TASKS:
            for tag, below in zip(LANGUAGES[:10], alone, strict=False):
                use = (LanguageUse(tag, Role.SOURCE),)
                made = _manifest(base, Kind.TASK, use, task, below)
                yield Addition(made, f"{task}-{tag}-{number}", ())


def _manifest(
    base: BaseIdentity,
    kind: Kind,
    uses: tuple[LanguageUse, ...],
    task: str | None = None,
    below: Manifest | None = None,
) -> Manifest:
    what = [base.name, kind, task, [use.tag for use in uses]]
    return Manifest(
        kind=kind,
        languages=uses,
        base=base,
        method="bottleneck",
        config=TASK if task else LANGUAGE,
        provider=PROVIDER,
        weights=WeightsFile(of_json(what), 29_600_000),
        task=task,
        head=HeadSpec("token-classification", ("A", "B")) if task else None,
        trained_over=(_under(below),) if below else (),
    )


def _under(manifest: Manifest) -> Underneath:
    return Underneath(
        digest=digest_of(manifest),
        kind=manifest.kind,
        languages=manifest.languages,
        method=manifest.method,
        config_digest=manifest.config_digest,
    )


def requests(count: int) -> Iterator[Request]:
    """Yield requests for other pairs each time, on the first base."""
    for number in range(count):
        source, target = LANGUAGES[number % 10], LANGUAGES[10 + number % 400]
        yield Request(source, target, TASKS[number % 50], base="base-0")


def measure(url: str | Path, size: int, clock: Clock) -> tuple[float, list[float], list[float]]:
    """Fill a registry; return adapters added a second, and milliseconds of requests and floors."""
    loaded = plugins.load(entry_points=False)
    with Registry(url, create=True) as registry:
        start = clock()
        made = _Made(additions(size), clock)
        registry.add_many(made)
        rate = size / (clock() - start - made.spent)
        if registry.database.path is None:
            with registry.database.write() as connection:
                connection.exec_driver_sql("ANALYZE")
        rows.parse.cache_clear()  # sizes have records in common, which only the first would read
        asked = list(requests(REQUESTS))
        for request in asked[:20]:
            answer(request, registry, loaded)
        taken = [_milliseconds(partial(answer, r, registry, loaded), clock) for r in asked]
        floors = [_milliseconds(partial(_floor, registry), clock) for _ in range(REQUESTS)]
    return rate, taken, floors


class _Made:
    """An iterator, and the time that went into making its items: not the registry's."""

    def __init__(self, items: Iterator[Addition], clock: Clock) -> None:
        self._items = items
        self._clock = clock
        self.spent = 0.0

    def __iter__(self) -> Iterator[Addition]:
        while True:
            start = self._clock()
            some = list(islice(self._items, 1000))
            self.spent += self._clock() - start
            if not some:
                return
            yield from some


def _rate_of_driver(path: Path) -> float:
    """Return how many adapters a second `sqlite3` alone writes: the same rows, already made."""
    copy = path.with_suffix(".copy")
    source, target = sqlite3.connect(path), sqlite3.connect(copy, isolation_level=None)
    target.executescript("PRAGMA journal_mode=WAL; PRAGMA cache_size=-65536;")
    for (statement,) in source.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"):
        target.execute(statement)
    spent = -CPU()
    target.execute("BEGIN IMMEDIATE")
    for table in METADATA.sorted_tables:
        found = source.execute(f"SELECT * FROM {table.name}")
        marks = ", ".join("?" * len(table.columns))
        while True:
            spent += CPU()
            some = found.fetchmany(5000)
            spent -= CPU()
            if not some:
                break
            target.executemany(f"INSERT INTO {table.name} VALUES ({marks})", some)
    target.execute("COMMIT")
    spent += CPU()
    (count,) = target.execute("SELECT count(*) FROM adapters").fetchone()
    source.close()
    target.close()
    return float(count / spent)


def _milliseconds(work: Callable[[], object], clock: Clock) -> float:
    start = clock()
    work()
    return 1000 * (clock() - start)


def _floor(registry: Registry) -> None:
    with registry.snapshot(), registry.database.read() as connection:
        for key in range(1, 6):
            connection.execute(_BY_KEY, {"key": key}).one()


_BY_KEY = select(ADAPTERS.c.manifest).where(ADAPTERS.c.id == bindparam("key"))


def registry_lines(size: Size) -> list[Line]:
    """Return two lines a size and database: adding in bulk, and how long a request takes."""
    full = size.name == "full"
    with tempfile.TemporaryDirectory() as folder:
        counts = (1000, 100_000, 1_000_000) if full else (1000, 20_000)
        paths = {count: Path(folder) / f"{count}.db" for count in counts}
        found = {count: measure(path, count, CPU) for count, path in paths.items()}
        most = {count: _rate_of_driver(path) for count, path in paths.items()}
        lines = _lines("SQLite", "of CPU", found, most)
    with postgres.server() as place:
        if place is None:
            return lines
        counts = (1000, 100_000) if full else (1000, 20_000)
        urls = {count: postgres.new_database(place, f"with_{count}") for count in counts}
        found = {count: measure(url, count, WALL) for count, url in urls.items()}
    return [*lines, *_lines("PostgreSQL", "", found, {})]


def _lines(
    database: str,
    clock: str,
    found: Mapping[int, tuple[float, list[float], list[float]]],
    most: Mapping[int, float],
) -> list[Line]:
    spreads = {count: Spread.of(taken) for count, (_, taken, _) in found.items()}
    first, *_ = spreads.items()
    lines = []
    for count, (rate, _, floors) in found.items():
        note = f"{spreads[count].median / first[1].median:.2f} times that among {first[0]:,}"
        lines += [
            Line(
                f"resolve among {count:,} adapters, {database}",
                "ms",
                spreads[count],
                reach=2.0,
                floor=statistics.median(floors),
                note=f"{note}, reach 1.5",
            ),
            Line(
                f"add {count:,} adapters in bulk, {database}",
                f"adapters a second {clock}".strip(),
                Spread(rate, rate, rate),
                reach=20_000,
                floor=most.get(count),
                better="high",
                note="floor: the driver alone, rows already made" if most else "",
            ),
        ]
    return lines
