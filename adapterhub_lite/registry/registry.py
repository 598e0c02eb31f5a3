"""The registry: what adapters there are, what they are called, how they scored.

Values go in, values come out.  Opening migrates; every change is one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from sqlalchemy import BindParameter, bindparam, func, or_, select

from adapterhub_lite import base_names, languages
from adapterhub_lite.adapter import Adapter, BaseIdentity, Kind, Manifest, Role, Score
from adapterhub_lite.composition import Composition
from adapterhub_lite.errors import RefError, close, near
from adapterhub_lite.names import check_name
from adapterhub_lite.registry import migrations, rows, scores, search, tags, text, writing
from adapterhub_lite.registry.database import Database
from adapterhub_lite.registry.rows import Addition, BaseEntry
from adapterhub_lite.registry.tables import ADAPTERS, BASES, NAMES


class Registry:
    """An open registry; close it, or use it in a `with` block, where the process goes on for long.

    Args:
        url: path of an SQLite file, or a URL: `postgresql+psycopg://user@host/name`.
        create: make a registry of an SQLite file that is not there or empty, or in a PostgreSQL
            database; without it, only a registry is opened.
        timeout: seconds to wait for another process that is writing.
    """

    def __init__(self, url: str | Path, *, create: bool = False, timeout: float = 30.0) -> None:
        self.database = Database(url, create=create, timeout=timeout)
        try:
            migrations.bring_up(self.database, create=create)
        except BaseException:
            self.database.close()
            raise

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def check_writable(self) -> None:
        """Raise `HomeError` where the database is known to be read-only, before work is done."""
        self.database.check_writable()

    def snapshot(self) -> AbstractContextManager[None]:
        """Within, every question of this thread is answered from one state, and faster."""
        return self.database.snapshot()

    def add(
        self,
        manifest: Manifest,
        *,
        name: str,
        aliases: Sequence[str] = (),
        remote: bool = False,
        added: datetime | None = None,
    ) -> Adapter:
        """Add an adapter; one that is known already gets the names, and stays what it is.

        A name that meant another adapter means this one from now on.
        """
        (adapter,) = self.add_all([Addition(manifest, name, tuple(aliases), remote, added)])
        return adapter

    def add_all(self, additions: Sequence[Addition]) -> list[Adapter]:
        """Add several adapters in one transaction, and return them as they then are."""
        digests = [rows.spell(addition.manifest)[0] for addition in additions]
        with self.database.write() as connection:
            writing.Adder(connection).add(additions)
            return [rows.adapter(search.get(connection, digest)) for digest in digests]

    def add_many(self, items: Iterable[Addition]) -> int:
        """Add many adapters in one transaction, and return how many were new."""
        with self.database.write() as connection:
            return writing.Adder(connection).add(items)

    def get(self, ref: str) -> Adapter:
        """Return the adapter that a ref means: name, alias, `name@digest`, digest or its beginning.

        Raises:
            RefError: none, with the names that are close; or several, with what tells them apart.
        """
        with self.database.read() as connection:
            return rows.adapter(search.get(connection, ref))

    def find(
        self,
        *,
        kind: Kind | str | None = None,
        base: BaseIdentity | None = None,
        base_name: str | None = None,
        method: str | None = None,
        language: str | Sequence[str] | None = None,
        role: Role | str | None = None,
        task: str | None = None,
        dataset: str | None = None,
        config_digest: str | None = None,
        remote: bool | None = None,
        limit: int | None = None,
    ) -> list[Adapter]:
        """Return the adapters that fit every filter, by name, then digest.

        `language` (normalised; of several, any) fits an adapter's tag or its macrolanguage: `sw`
        finds `swh`, but `swh` does not find `sw`.  `role` asks for that role of the language.
        """
        filters = {
            "kind": Kind(kind).value if kind else None,
            "base": base,
            "base_name": base_name,
            "method": method,
            "tags": _tags(language),
            "role": Role(role).value if role else None,
            "task": task,
            "dataset": dataset,
            "config_digest": config_digest,
            "remote": remote,
        }
        with self.database.read() as connection:
            return search.find(connection, filters, limit)

    def replace_remote(self, items: Iterable[Addition]) -> int:
        """Put newly described remote adapters in the place of those of their names, all at once.

        Only remote adapters are replaced; the others' names stay where they are.  Returns how many
        records changed.
        """
        with self.database.write() as connection:
            return writing.replace_remote(connection, items)

    def remove(self, ref: str, *, force: bool = False) -> Adapter:
        """Remove an adapter and its names, and return it; scores of compositions with it stay.

        Raises:
            RegistryError: other adapters were trained over it, or its record was changed, unless
                `force` is given.
        """
        with self.database.write() as connection:
            row = search.get(connection, ref)
            removed = rows.adapter(row, damaged=force)
            writing.remove(connection, row, force=force)
            return removed

    def alias(self, alias: str, ref: str) -> Adapter:
        """Let `alias` mean the adapter of `ref` from now on, and return that adapter."""
        check_name(alias)
        with self.database.write() as connection:
            row = search.get(connection, ref)
            writing.point(connection, alias, row)
            return rows.adapter(search.get(connection, row.digest))

    def names(self) -> list[str]:
        """Return every name and alias, sorted."""
        with self.database.read() as connection:
            return list(connection.scalars(select(NAMES.c.name).order_by(NAMES.c.name)))

    def add_base(
        self,
        base: BaseIdentity,
        location: str | None = None,
        files: Mapping[str, str] | None = None,
    ) -> BaseEntry:
        """Register a base model.

        Args:
            base: its identity.
            location: a path below the home, or a Hub id.
            files: digests of its files by name, as `base_files.at(PLACE).digests()` has them; the
                base is compared with them whenever it is loaded.
        """
        with self.database.write() as connection:
            return writing.add_base(connection, base, location, files)

    def bases(self) -> list[BaseEntry]:
        """Return every base that was registered or that an adapter names: registered ones first."""
        with self.database.read() as connection:
            query = select(BASES).order_by(*_BASE_ORDER)
            return [rows.base_entry(row) for row in connection.execute(query)]

    def base(self, name_or_fingerprint: str) -> BaseEntry:
        """Return a base; of several records under one name, the registered, then the fullest.

        A Hub id that was moved is known by its old and its current name (`base_names.py`).

        Raises:
            RefError: no such base, or one name for bases with different weights.
        """
        return _one_base(self.database, name_or_fingerprint)

    def record_scores(self, scores: Iterable[Score]) -> None:
        """Record scores; an earlier one of the same identity is replaced."""
        with self.database.write() as connection:
            writing.record_scores(connection, scores)

    def remove_scores(self, scores: Iterable[Score]) -> int:
        """Remove recorded scores, all or none, and return how many there were."""
        with self.database.write() as connection:
            return writing.remove_scores(connection, scores)

    def scores(
        self,
        *,
        task: str | None = None,
        language: str | None = None,
        dataset: str | None = None,
        composition: Composition | str | None = None,
        split: str | None = None,
        source_language: str | None = None,
        metric: str | None = None,
        seed: int | None = None,
        origin: str | None = None,
    ) -> list[Score]:
        """Return the recorded scores that fit every filter, in the order of their identity.

        A `composition` is by whole digests, as scores are recorded.
        """
        asked = {
            "task": task,
            "language": language,
            "dataset": dataset,
            "split": split,
            "source_language": source_language,
            "metric": metric,
            "seed": seed,
            "origin": origin,
        }
        with self.database.read() as connection:
            return scores.find(connection, asked, composition)

    def tags(self, kind: Kind | str) -> list[str]:
        """Return every language of a kind's adapters, sorted; the time grows with the registry."""
        with self.database.read() as connection:
            return tags.every(connection, Kind(kind).value)

    def tags_if_few(self, kind: Kind | str, base: BaseIdentity, limit: int) -> list[str] | None:
        """Return the languages of a kind's adapters on a base; `None` if those are over `limit`."""
        with self.database.read() as connection:
            return tags.few(connection, Kind(kind).value, base, limit)

    def tags_among(
        self, kind: Kind | str, base: BaseIdentity, among: Sequence[str], *, language: str
    ) -> list[str]:
        """Return those of `among` that adapters are for, and those of `language` with a script."""
        with self.database.read() as connection:
            return tags.among(connection, Kind(kind).value, base, among, language)

    def count_scores(self, *, task: str, limit: int) -> int:
        """Return how many scores there are for a task; `limit` for that many and more."""
        with self.database.read() as connection:
            return scores.count(connection, task, limit)

    def count(self) -> int:
        """Return how many adapters there are."""
        with self.database.read() as connection:
            return int(connection.scalar(select(func.count()).select_from(ADAPTERS)) or 0)

    def dump(self) -> str:
        """Return the whole content as text: the same content gives the same text."""
        with self.database.read() as connection:
            return text.dump(connection)


def _tags(language: str | Sequence[str] | None) -> list[str] | None:
    if language is None:
        return None
    given = (language,) if isinstance(language, str) else tuple(language)
    return [_normal(tag) for tag in given]


_normal = lru_cache(maxsize=10_000)(languages.normalise)

_BASE_ORDER = (
    BASES.c.registered.desc(),
    BASES.c.name,
    (BASES.c.fingerprint == "").asc(),
    BASES.c.fingerprint,
    BASES.c.hidden_size.desc(),
    BASES.c.revision,
    BASES.c.architecture,
    BASES.c.layers,
    BASES.c.vocab_size,
)


_WANTED: BindParameter[str] = bindparam("wanted")
_NAMED = BASES.c.name.in_((_WANTED, bindparam("other")))
_MARKED = (BASES.c.fingerprint == _WANTED) & (BASES.c.fingerprint != "")
_ONE_BASE = select(BASES).where(or_(_NAMED, _MARKED)).order_by(*_BASE_ORDER)


def _base_hint(wanted: str, known: Sequence[tuple[str, str]]) -> str:
    """Return what to do about an unknown base; bases without fingerprint are the catalogue's."""
    names = [name for name, _ in known]
    if close(wanted, names):
        return near(wanted, names)
    ways = ["`ahl add FOLDER --name NAME` adds one of yours"]
    if all(fingerprint for _, fingerprint in known):
        ways.insert(0, "`ahl catalog load` adds public adapters and their bases")
    return "; ".join([*([near(wanted, names)] if names else []), *ways])


def _one_base(database: Database, wanted: str) -> BaseEntry:
    with database.read() as connection:
        spelt = {"wanted": wanted, "other": base_names.other(wanted)}
        rows_found = connection.execute(_ONE_BASE, spelt)
        found = [rows.base_entry(row) for row in rows_found]
        query = select(BASES.c.name, BASES.c.fingerprint)
        known = [] if found else [(row.name, row.fingerprint) for row in connection.execute(query)]
    if not found:
        raise RefError(f"no base model `{wanted}` in the registry", hint=_base_hint(wanted, known))
    different = sorted({e.identity.fingerprint for e in found if e.identity.fingerprint})
    if len(different) > 1:
        shown = ", ".join(fingerprint[:12] for fingerprint in different)
        raise RefError(
            f"`{wanted}` is the name of {len(different)} bases with different weights: {shown}",
            hint="give the fingerprint",
        )
    return found[0]
