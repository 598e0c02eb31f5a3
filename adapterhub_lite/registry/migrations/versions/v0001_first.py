"""Format 1: bases, adapters, names, languages, what was underneath, scores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make all tables and indexes."""
    _bases()
    _adapters()
    _names()
    _languages()
    _underneath()
    _scores()


def _bases() -> None:
    op.create_table(
        "bases",
        sa.Column("id", _KEY, primary_key=True, autoincrement=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("architecture", _TEXT, nullable=False),
        sa.Column("hidden_size", sa.Integer(), nullable=False),
        sa.Column("layers", sa.Integer(), nullable=False),
        sa.Column("vocab_size", sa.Integer(), nullable=False),
        sa.Column("fingerprint", _TEXT, nullable=False),
        sa.Column("revision", _TEXT, nullable=False),
        sa.Column("location", _TEXT),
        sa.Column("registered", sa.Boolean(), nullable=False),
        sa.UniqueConstraint(
            "name", "fingerprint", "revision", "architecture", "hidden_size", "layers", "vocab_size"
        ),
    )
    op.create_index("bases_fingerprint", "bases", ["fingerprint"])


def _adapters() -> None:
    op.create_table(
        "adapters",
        sa.Column("id", _KEY, primary_key=True, autoincrement=False),
        sa.Column("digest", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("base_id", _KEY, sa.ForeignKey("bases.id"), nullable=False),
        sa.Column("method", _TEXT, nullable=False),
        sa.Column("config_digest", _TEXT, nullable=False),
        sa.Column("task", _TEXT),
        sa.Column("dataset", _TEXT),
        sa.Column("remote", sa.Boolean(), nullable=False),
        sa.Column("added", _MOMENT, nullable=False),
        sa.Column("manifest", _TEXT, nullable=False),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("adapters_name", "adapters", ["name", "digest"])
    op.create_index("adapters_base", "adapters", ["base_id", "kind"])
    _partial("adapters_task", "adapters", ["task", "base_id"], "task IS NOT NULL")


def _names() -> None:
    op.create_table(
        "names",
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column(
            "adapter_id", _KEY, sa.ForeignKey("adapters.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("is_alias", sa.Boolean(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("names_adapter", "names", ["adapter_id"])


def _languages() -> None:
    op.create_table(
        "languages",
        sa.Column(
            "adapter_id", _KEY, sa.ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("position", sa.Integer(), primary_key=True),
        sa.Column("tag", _TEXT, nullable=False),
        sa.Column("macro", _TEXT, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("base_id", _KEY, nullable=False),
        sa.Column("task", _TEXT),
        sqlite_with_rowid=False,
    )
    op.create_index("languages_tag", "languages", ["tag", "kind", "base_id"])
    _partial("languages_macro", "languages", ["macro", "kind", "base_id"], "macro <> tag")
    _partial("languages_task", "languages", ["task", "tag", "base_id"], "task IS NOT NULL")


def _underneath() -> None:
    op.create_table(
        "underneath",
        sa.Column(
            "adapter_id", _KEY, sa.ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("digest", _TEXT, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("underneath_digest", "underneath", ["digest"])


def _scores() -> None:
    op.create_table(
        "scores",
        sa.Column("identity", _TEXT, primary_key=True),
        sa.Column("composition_digest", _TEXT, nullable=False),
        *(
            sa.Column(name, _TEXT, nullable=False)
            for name in (
                "composition",
                "task",
                "dataset",
                "split",
                "language",
                "source_language",
                "metric",
            )
        ),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("when", _MOMENT, nullable=False),
        sa.Column("origin", _TEXT, nullable=False),
    )
    op.create_index("scores_task", "scores", ["task", "language", "dataset"])
    op.create_index("scores_composition", "scores", ["composition_digest"])


def _partial(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
