"""The database's format: old files keep loading, and the migrations make what `tables.py` says."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from adapterhub_lite.errors import RegistryError
from adapterhub_lite.registry import Registry, migrations
from adapterhub_lite.registry.tables import METADATA
from tests.registry.making import BASE, fill, score

DATA = Path(__file__).parent / "data"


def content(path: Path) -> None:
    """Fill a registry with one of everything; how each stored file was made."""
    with Registry(path, create=True) as made:
        fill(made)
        made.add_base(BASE, "bases/mini")
        made.record_scores([score(), score(seed=1, source_language="en")])


@pytest.mark.parametrize("stored", sorted(DATA.glob("format-*.db")), ids=lambda path: path.stem)
def test_a_stored_registry_of_each_format_loads(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    shutil.copy(stored, path)
    content(tmp_path / "new.db")
    with Registry(path) as old, Registry(tmp_path / "new.db") as new:
        assert old.dump() == new.dump()
        old.alias("still", "sw-wiki")
        assert old.get("still").name == "sw-wiki"


def test_every_format_has_a_stored_registry() -> None:
    formats = [r.revision for r in ScriptDirectory(str(migrations._FOLDER)).walk_revisions()]
    assert sorted(formats) == [path.stem.removeprefix("format-") for path in sorted(DATA.iterdir())]
    assert max(formats) == migrations.HEAD


def test_the_migrations_make_the_tables(registry: Registry) -> None:
    with registry.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_indexes_are_those_of_the_tables(tmp_path: Path) -> None:
    """Alembic does not compare conditions of indexes and tables without row ids; SQL does."""
    from sqlalchemy import create_engine

    Registry(tmp_path / "migrated.db", create=True).close()
    engine = create_engine(f"sqlite:///{tmp_path / 'declared.db'}")
    METADATA.create_all(engine)
    engine.dispose()
    migrated, declared = (_schema(tmp_path / name) for name in ("migrated.db", "declared.db"))
    migrated.pop("alembic_version")
    assert migrated == declared


_PARTS = re.compile(r",\s*(?![^()]*\))|\n|\)$")  # SQLite adds a later column to the last line


def _schema(path: Path) -> dict[str, set[str]]:
    raw = sqlite3.connect(path)
    found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    raw.close()
    plain = {name: sql.replace('"', "").replace("\t", " ").strip() for name, sql in found}
    return {name: set(filter(None, map(str.strip, _PARTS.split(s)))) for name, s in plain.items()}


def test_a_migration_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A format is there whole or not: the folder here has a second file that fails halfway."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrations._FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "v0003_broken.py").write_text(
        "from alembic import op\n"
        "revision, down_revision = '0003', '0002'\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE half (id INTEGER)')\n"
        "    op.execute('INSERT INTO nowhere VALUES (1)')\n"
    )
    path = tmp_path / "registry.db"
    content(path)
    with Registry(path) as before:
        dump = before.dump()
    with monkeypatch.context() as changed:
        changed.setattr(migrations, "_FOLDER", folder)
        changed.setattr(migrations, "HEAD", "0003")
        with pytest.raises(RegistryError, match="no such table: nowhere"):
            Registry(path)
    with Registry(path) as after:
        assert after.dump() == dump
    assert "half" not in _schema(path)


def test_an_older_format_is_brought_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(migrations._FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "v0003_more.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        "revision, down_revision = '0003', '0002'\n"
        "def upgrade():\n"
        "    op.add_column('scores', sa.Column('more', sa.Text()))\n"
    )
    path = tmp_path / "registry.db"
    content(path)
    with Registry(path) as before:
        dump = before.dump()
    with monkeypatch.context() as changed:
        changed.setattr(migrations, "_FOLDER", folder)
        changed.setattr(migrations, "HEAD", "0003")
        with Registry(path) as after:
            assert after.dump() == dump
    with pytest.raises(RegistryError, match="has format 0003, this version reads up to 0002"):
        Registry(path)


def test_opening_a_current_registry_imports_no_alembic(tmp_path: Path) -> None:
    content(tmp_path / "registry.db")
    script = (
        "import sys; from pathlib import Path; from adapterhub_lite.registry import Registry\n"
        "with Registry(Path('registry.db')) as r: print(r.count(), r.get('sw').name)\n"
        "print(*sorted({'alembic', 'psycopg', 'torch', 'fsspec'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "6 sw-wiki\n\n"


def test_reading_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    """`registry.db` may be in git: a look at it must not show up as a change."""
    path = tmp_path / "registry.db"
    content(path)
    before = path.read_bytes()
    with Registry(path) as opened:
        opened.find(language="sw")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["registry.db"]
