"""The registry's tables.

Rows never leave this package: values go in and come out as the frozen types of `adapter.py`.  The
manifest is stored whole, as the canonical JSON whose digest is the adapter's identity; the other
columns are copies of what is searched for.  `languages` repeats the columns that a search narrows
by, so that one index answers "which adapters for this language, base and task" in a registry of
any size.  Integer keys are internal and given out by the one writer at a time (`database.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts by code point in both databases, so that prefixes are ranges of an index."""

KEY = BigInteger().with_variant(Integer(), "sqlite")


def only_where(condition: str) -> dict[str, Any]:
    """Return the arguments of an index over those rows only that hold `condition`.

    PostgreSQL's index has it too, made by the migration; naming that dialect here would import it
    into every command.
    """
    return {"sqlite_where": text(condition)}


class Moment(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as the database stores it."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return the moment with its time zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = MetaData()


def _key(name: str, *constraints: ForeignKey, primary: bool = False) -> Column[int]:
    return Column(name, KEY, *constraints, primary_key=primary, autoincrement=False, nullable=False)


def _text(name: str, *, primary: bool = False, nullable: bool = False) -> Column[str]:
    return Column(name, TEXT, primary_key=primary, nullable=nullable)


def _number(name: str, *, primary: bool = False) -> Column[int]:
    return Column(name, Integer, primary_key=primary, autoincrement=False, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _moment(name: str) -> Column[datetime]:
    return Column(name, Moment, nullable=False)


def _adapter(*, primary: bool = False) -> Column[int]:
    return _key("adapter_id", ForeignKey("adapters.id", ondelete="CASCADE"), primary=primary)


BASES = Table(
    "bases",
    METADATA,
    _key("id", primary=True),
    _text("name"),
    _text("architecture"),
    _number("hidden_size"),
    _number("layers"),
    _number("vocab_size"),
    _text("fingerprint"),
    _text("revision"),
    _text("location", nullable=True),
    _flag("registered"),
    _text("files", nullable=True),
    UniqueConstraint(
        "name", "fingerprint", "revision", "architecture", "hidden_size", "layers", "vocab_size"
    ),
    Index("bases_fingerprint", "fingerprint"),
)
"""A base model, as adapters name it; `registered` ones were added by themselves.

`files` is JSON: the digests by name of the files that decide its output (`base_files.py`).
"""

ADAPTERS = Table(
    "adapters",
    METADATA,
    _key("id", primary=True),
    _text("digest"),
    _text("name"),
    _text("kind"),
    _key("base_id", ForeignKey("bases.id")),
    _text("method"),
    _text("config_digest"),
    _text("task", nullable=True),
    _text("dataset", nullable=True),
    _flag("remote"),
    _moment("added"),
    _text("manifest"),
    UniqueConstraint("digest"),
    Index("adapters_name", "name", "digest"),
    Index("adapters_base", "base_id", "kind"),
    Index("adapters_task", "task", "base_id", **only_where("task IS NOT NULL")),
)
"""An adapter; `name` is the one it was added under, which stays when the name moves on."""

NAMES = Table(
    "names",
    METADATA,
    _text("name", primary=True),
    _adapter(),
    _flag("is_alias"),
    Index("names_adapter", "adapter_id"),
    sqlite_with_rowid=False,
)
"""A name or alias, and the adapter that it means now."""

LANGUAGES = Table(
    "languages",
    METADATA,
    _adapter(primary=True),
    _number("position", primary=True),
    _text("tag"),
    _text("macro"),
    _text("role"),
    _text("kind"),
    _key("base_id"),
    _text("task", nullable=True),
    Index("languages_tag", "tag", "kind", "base_id"),
    Index("languages_macro", "macro", "kind", "base_id", **only_where("macro <> tag")),
    Index("languages_task", "task", "tag", "base_id", **only_where("task IS NOT NULL")),
    sqlite_with_rowid=False,
)
"""A language of an adapter; the columns after `role` are copies of the adapter's."""

UNDERNEATH = Table(
    "underneath",
    METADATA,
    _adapter(primary=True),
    _text("digest", primary=True),
    Index("underneath_digest", "digest"),
    sqlite_with_rowid=False,
)
"""An adapter (by digest, in this registry or not) that was frozen underneath in training."""

SCORES = Table(
    "scores",
    METADATA,
    _text("identity", primary=True),
    _text("composition_digest"),
    _text("composition"),
    _text("task"),
    _text("dataset"),
    _text("split"),
    _text("language"),
    _text("source_language"),
    _text("metric"),
    Column("value", Float(53), nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("seed", BigInteger, nullable=False),
    _moment("when"),
    _text("origin"),
    Index("scores_task", "task", "language", "dataset"),
    Index("scores_composition", "composition_digest"),
)
"""A measured result; `identity` is a digest over all that tells two scores apart."""
