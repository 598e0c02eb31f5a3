"""A home: the folder with a registry, an object store and plugins.

Finding and opening one touches no database.  Adding goes to the object store first and to the
registry second, so what the registry names is always there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from adapterhub_lite import home_settings, trust
from adapterhub_lite import manifest as manifests
from adapterhub_lite.errors import HomeError, UsageError, WeightsError
from adapterhub_lite.foreign.text import command

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Adapter
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.registry import BaseEntry, Registry
    from adapterhub_lite.registry.objects import ObjectStore, Problem

DATABASE = "registry.db"
OBJECTS = "objects"
PLUGINS = "plugins"
VARIABLE = "AHL_HOME"


@dataclass(frozen=True)
class Home:
    """A home by its settings; `named` ones were given outright, others merely found."""

    path: Path
    named: bool
    database_url: str
    objects_url: str

    @classmethod
    def find(cls, path: Home | str | Path | None = None) -> Home:
        """Return the home at `path`, else `AHL_HOME`, else the nearest upwards, else the user's.

        A home that is open already is returned as it is, so whoever takes a home takes all three.

        Raises:
            HomeError: there is none.
            UsageError: something else than a home or the path of its folder.
        """
        if isinstance(path, Home):
            return path
        if path is not None and not isinstance(path, str | Path):
            raise UsageError(
                f"a home is a `Home` or the path of its folder, found {type(path).__name__}",
                hint="`Home.find(path)` opens one",
            )
        if named := path or os.environ.get(VARIABLE):
            return cls._open(Path(named), named=True)
        here = Path.cwd()
        for folder in (here, *here.parents, _user_folder()):
            if _is_home(folder):
                return cls._open(folder, named=False)
        raise HomeError(
            f"no home in `{here}` or above it",
            hint=f"name the folder of yours with `--home` (`home=` in Python) or {VARIABLE}, "
            "or make a new one here: `ahl init`",
        )

    @classmethod
    def _open(cls, path: Path, *, named: bool) -> Home:
        if not _is_home(path):
            found = "is there, but holds no registry" if path.exists() else "does not exist"
            raise HomeError(
                f"no home at `{path}`: it {found}",
                hint=f"{command('ahl', 'init', path)} makes one",
            )
        given = home_settings.read(path)
        folder = path.absolute()
        return cls(
            path=folder,
            named=named,
            database_url=given.database or _url(folder / DATABASE),
            objects_url=given.objects or str(folder / OBJECTS),
        )

    @classmethod
    def init(
        cls, path: str | Path, *, database: str | None = None, objects: str | None = None
    ) -> Home:
        """Make a home, or open the one that is there if it has these settings.

        This is the only call that makes a registry; all others open one or say what is there.

        Raises:
            HomeError: it cannot be written, or is there with other settings.
            RegistryError: the database is damaged or another program's.
        """
        folder = Path(path)
        asked = home_settings.HomeSettings(database, objects)
        home_settings.check(folder, asked)
        if database is not None:  # before anything is written here: it may be refused
            _make_registry(database)
        home_settings.create(folder, asked)
        if database is None:
            _make_registry(folder.absolute() / DATABASE)
        home = cls._open(folder, named=True)
        home.registry.count()
        return home

    @cached_property
    def registry(self) -> Registry:
        """The registry, opened and brought to the current format on first use."""
        from adapterhub_lite.registry import Registry

        inside = self.path / DATABASE  # as a path, because a URL cannot spell a `?` in it
        return Registry(inside if self.database_url == _url(inside) else self.database_url)

    def close(self) -> None:
        """Close the registry, if it was opened; it opens again when it is used again."""
        if "registry" in self.__dict__:
            self.registry.close()

    @cached_property
    def store(self) -> ObjectStore:
        """The object store."""
        from adapterhub_lite.registry.places import open_store

        return open_store(self.objects_url)

    @property
    def plugin_folder(self) -> Path | None:
        """The folder whose files may run: of a named home, or of one trusted as it is now."""
        folder = self.path / PLUGINS
        if not folder.is_dir():
            return None
        return folder if self.named or trust.is_trusted(self.path, folder) else None

    def trust_plugins(self) -> tuple[Path, ...]:
        """Let the files in `plugins/` run as they are now, and return them."""
        return trust.remember(self.path, self.path / PLUGINS)

    @cached_property
    def _plugins(self) -> Plugins:
        from adapterhub_lite import plugins

        folder = self.path / PLUGINS
        if self.plugin_folder is not None or not folder.is_dir():
            return plugins.load(self.plugin_folder)
        return plugins.load(untrusted=(folder, trust.difference(self.path, folder)))

    def plugins(self) -> Plugins:
        """Return the plugins of this home, loaded once."""
        return self._plugins

    def add(
        self,
        folder: str | Path,
        *,
        name: str,
        aliases: Sequence[str] = (),
        added: datetime | None = None,
    ) -> Adapter:
        """Add the adapter in `folder` (`adapter.json`, `weights.safetensors`).

        A crash at any point leaves it added, or not, or as an orphan that `gc` removes.
        """
        from adapterhub_lite.registry.rows import Addition

        manifest = manifests.read(Path(folder))
        Addition(manifest, name, tuple(aliases), added=added)
        registry = self.registry
        registry.check_writable()
        with self.store.adding():
            self.store.put(Path(folder), manifest)
            return registry.add(manifest, name=name, aliases=aliases, added=added)

    def folder_of(self, adapter: Adapter) -> Path:
        """Return the local folder with an adapter's two files.

        Raises:
            WeightsError: it is remote, or its object is missing or truncated.
        """
        if adapter.remote:
            source = adapter.manifest.source
            raise WeightsError(
                f"`{adapter.ref}` is remote: it is known, but its weights are not here",
                hint=f"{command('ahl', 'pull', source.hub_id)} gets it" if source else None,
            )
        return self.store.folder(adapter.digest, adapter.manifest)

    def place_of(self, entry: BaseEntry) -> str:
        """Return where a registered base is: a folder (which may be gone), or a Hub id."""
        if not entry.location:
            return entry.identity.name
        outermost = self.path / Path(entry.location).parts[0]
        return str(self.path / entry.location) if outermost.is_dir() else entry.location

    def verify(self) -> list[Problem]:
        """Read every record and every byte, also of bases, and return what is wrong."""
        from adapterhub_lite.registry import bases, upkeep

        problems = upkeep.verify(self.registry, self.store)
        return [*problems, *bases.problems(self.registry.bases(), self)]

    def gc(self, *, dry_run: bool = False) -> list[str]:
        """Remove objects without record and what interrupted writes left; return what it was."""
        from adapterhub_lite.registry import upkeep

        return upkeep.collect(self.registry, self.store, dry_run=dry_run)


def _is_home(folder: Path) -> bool:
    return (folder / DATABASE).is_file() or (folder / home_settings.FILE).is_file()


def _user_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("adapterhub_lite", appauthor=False)


def _make_registry(url: str | Path) -> None:
    from adapterhub_lite.registry import Registry

    Registry(url, create=True).close()


def _url(path: Path) -> str:
    return f"sqlite:///{path}"
