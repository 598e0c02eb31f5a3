"""Format 2: the digests of a base's files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column; what is there was added without digests."""
    op.add_column("bases", sa.Column("files", _TEXT))
