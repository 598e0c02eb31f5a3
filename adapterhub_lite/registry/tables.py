"""The registry's tables.

Rows never leave this package: values go in and come out as the frozen types of `adapter.py`.  The
manifest is stored whole, as the canonical JSON whose digest is the adapter's identity; the other
columns are copies of what is searched for.  `languages` repeats the columns that a search narrows
by, so that one index answers "which adapters for this language, base and task" in a registry of
any size.  Integer keys are internal and given out by the one writer at a time (`database.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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


class Table(DeclarativeBase):
    """Base class of all tables."""

    type_annotation_map: ClassVar = {str: TEXT, datetime: Moment}


class BaseRow(Table):
    """A base model, as adapters name it; `registered` ones were added by themselves."""

    __tablename__ = "bases"
    __table_args__ = (
        UniqueConstraint(
            "name", "fingerprint", "revision", "architecture", "hidden_size", "layers", "vocab_size"
        ),
        Index("bases_fingerprint", "fingerprint"),
    )

    id: Mapped[int] = mapped_column(KEY, primary_key=True, autoincrement=False)
    name: Mapped[str]
    architecture: Mapped[str]
    hidden_size: Mapped[int]
    layers: Mapped[int]
    vocab_size: Mapped[int]
    fingerprint: Mapped[str]
    revision: Mapped[str]
    location: Mapped[str | None]
    registered: Mapped[bool]


class AdapterRow(Table):
    """An adapter; `name` is the one it was added under, which stays when the name moves on."""

    __tablename__ = "adapters"
    __table_args__ = (
        UniqueConstraint("digest"),
        Index("adapters_name", "name", "digest"),
        Index("adapters_base", "base_id", "kind"),
        Index("adapters_task", "task", "base_id", **only_where("task IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(KEY, primary_key=True, autoincrement=False)
    digest: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    base_id: Mapped[int] = mapped_column(KEY, ForeignKey("bases.id"))
    method: Mapped[str]
    config_digest: Mapped[str]
    task: Mapped[str | None]
    dataset: Mapped[str | None]
    remote: Mapped[bool]
    added: Mapped[datetime]
    manifest: Mapped[str]


class NameRow(Table):
    """A name or alias, and the adapter that it means now."""

    __tablename__ = "names"
    __table_args__ = (Index("names_adapter", "adapter_id"), {"sqlite_with_rowid": False})

    name: Mapped[str] = mapped_column(primary_key=True)
    adapter_id: Mapped[int] = mapped_column(KEY, ForeignKey("adapters.id", ondelete="CASCADE"))
    is_alias: Mapped[bool]


class LanguageRow(Table):
    """A language of an adapter; the columns after `role` are copies of the adapter's."""

    __tablename__ = "languages"
    __table_args__ = (
        Index("languages_tag", "tag", "kind", "base_id"),
        Index("languages_macro", "macro", "kind", "base_id", **only_where("macro <> tag")),
        Index("languages_task", "task", "tag", "base_id", **only_where("task IS NOT NULL")),
        {"sqlite_with_rowid": False},
    )

    adapter_id: Mapped[int] = mapped_column(
        KEY, ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[str]
    macro: Mapped[str]
    role: Mapped[str]
    kind: Mapped[str]
    base_id: Mapped[int] = mapped_column(KEY)
    task: Mapped[str | None]


class UnderneathRow(Table):
    """An adapter (by digest, in this registry or not) that was frozen underneath in training."""

    __tablename__ = "underneath"
    __table_args__ = (Index("underneath_digest", "digest"), {"sqlite_with_rowid": False})

    adapter_id: Mapped[int] = mapped_column(
        KEY, ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True
    )
    digest: Mapped[str] = mapped_column(primary_key=True)


class ScoreRow(Table):
    """A measured result; `identity` is a digest over all that tells two scores apart."""

    __tablename__ = "scores"
    __table_args__ = (
        Index("scores_task", "task", "language", "dataset"),
        Index("scores_composition", "composition_digest"),
    )

    identity: Mapped[str] = mapped_column(primary_key=True)
    composition_digest: Mapped[str]
    composition: Mapped[str]
    task: Mapped[str]
    dataset: Mapped[str]
    split: Mapped[str]
    language: Mapped[str]
    source_language: Mapped[str]
    metric: Mapped[str]
    value: Mapped[float] = mapped_column(Float(53))
    n: Mapped[int] = mapped_column(BigInteger)
    seed: Mapped[int] = mapped_column(BigInteger)
    when: Mapped[datetime]
    origin: Mapped[str]
