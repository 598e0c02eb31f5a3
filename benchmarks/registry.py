"""Index adapters in bulk and resolve among them, at 1,000, 100,000 and 1,000,000 adapters.

    python -m benchmarks.registry --database URL [--sizes 1000 100000]     (an empty PostgreSQL)

The registry holds records only.  Per thousand adapters there is one base with 450 language
adapters, 50 bilingual ones and 500 task adapters (50 tasks, labels in 10 languages), so a request
has the same candidates at every size, and what is measured is finding them.  Every request is
another pair.  The floor is one query by primary key over the same connection, five times: a request
asks for task adapters, target, source, pairs and scores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
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
from adapterhub_lite.registry import Addition, Registry
from adapterhub_lite.registry.tables import ADAPTERS
from adapterhub_lite.resolver import Request
from adapterhub_lite.resolver.answer import answer
from benchmarks.lines import Line
from benchmarks.setting import SMALL, Size
from benchmarks.timing import Spread

LANGUAGES = tuple(f"q{a}{b}" for a, b in product(ascii_lowercase[:20], ascii_lowercase))[:450]
"""Codes for private use (ISO 639-3: qaa to qtz), which are nobody's language."""
TASKS = tuple(f"task-{n}" for n in range(50))
LANGUAGE = BottleneckConfig(reduction=2.0, invertible=True).to_mapping()
TASK = BottleneckConfig().to_mapping()
PROVIDER = Provider("adapterhub_lite.methods", "1")
REQUESTS = 200


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


def measure(url: str | Path, size: int) -> tuple[float, list[float], list[float]]:
    """Fill a registry; return adapters added a second, and milliseconds of requests and floors."""
    loaded = plugins.load(entry_points=False)
    with Registry(url, create=True) as registry:
        start = time.process_time()
        registry.add_many(additions(size))
        rate = size / (time.process_time() - start)
        asked = list(requests(REQUESTS))
        for request in asked[:20]:
            answer(request, registry, loaded)
        taken = [_milliseconds(partial(answer, r, registry, loaded)) for r in asked]
        floors = [_milliseconds(partial(_floor, registry)) for _ in range(REQUESTS)]
    return rate, taken, floors


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


def _floor(registry: Registry) -> None:
    with registry.snapshot(), registry.database.read() as connection:
        for key in range(1, 6):
            connection.execute(_BY_KEY, {"key": key}).one()


_BY_KEY = select(ADAPTERS.c.manifest).where(ADAPTERS.c.id == bindparam("key"))


def registry_lines(size: Size, url: str | None = None, sizes: tuple[int, ...] = ()) -> list[Line]:
    """Return two lines a size: what is added in a second, and how long a request takes."""
    sizes = sizes or ((1000, 100_000, 1_000_000) if size.name == "full" else (1000, 20_000))
    where = "PostgreSQL" if url else "SQLite"
    lines: list[Line] = []
    first = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for count in sizes:
            rate, taken, floors = measure(url or Path(folder) / f"{count}.db", count)
            spread = Spread.of(taken)
            first = first or spread.median
            lines += [
                Line(
                    f"resolve among {count:,} adapters, {where}",
                    "ms",
                    spread,
                    reach=2.0,
                    floor=statistics.median(floors),
                    note=f"{spread.median / first:.2f} times that among {sizes[0]:,}, reach 1.5",
                ),
                Line(
                    f"add {count:,} adapters in bulk, {where}",
                    "adapters a second of CPU",
                    Spread(rate, rate, rate),
                    reach=20_000,
                    better="high",
                ),
            ]
    return lines


def main() -> None:
    """Measure in the database that is named, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--database", required=True, help="URL of an empty database")
    given = parser.parse_args()
    for line in registry_lines(SMALL, given.database, tuple(given.sizes)):
        print(f"{line.what}: {line.ours.median:,.2f} {line.unit}  {line.note}")


if __name__ == "__main__":
    main()
