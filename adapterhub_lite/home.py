"""A home: the folder with a registry, an object store and plugins.

Finding and opening one touches no database.  Adding goes to the object store first and to the
registry second, so what the registry names is always there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from adapterhub_lite import home_settings, trust
from adapterhub_lite import manifest as manifests
from adapterhub_lite.errors import AhlError, HomeError, UsageError, WeightsError
from adapterhub_lite.foreign.reading import Reader
from adapterhub_lite.foreign.text import command
from adapterhub_lite.names import check_name

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Adapter
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.registry import BaseEntry, Registry
    from adapterhub_lite.registry.garbage import Garbage
    from adapterhub_lite.registry.objects import ObjectStore, Problem
    from adapterhub_lite.registry.owners import Owner
    from adapterhub_lite.registry.rebuilding import Rebuilt
    from adapterhub_lite.registry.rows import Addition

DATABASE = trust.DATABASE
OBJECTS = trust.OBJECTS
PLUGINS = "plugins"
VARIABLE = "AHL_HOME"
_FINISHED = Reader(HomeError)


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
        return cls._at(path, named=named)

    @classmethod
    def _at(cls, path: Path, *, named: bool) -> Home:
        settings = home_settings.read(path)
        folder = path.absolute()
        return cls(
            path=folder,
            named=named,
            database_url=settings.database or _url(folder / DATABASE),
            objects_url=settings.objects or str(folder / OBJECTS),
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
        home._claim_store()  # noqa: SLF001  # its own class
        with suppress(HomeError):  # where nothing can be remembered, the found home will ask
            trust.remember_reach(home.path, home.urls)
        return home

    @classmethod
    def lost(cls, path: str | Path | None = None) -> Home:
        """Return a home for `rebuild`, also if only its objects are left.

        Args:
            path: its folder; the working directory if it has an `objects` folder, else the home
                that `find` finds, when left out.

        Raises:
            HomeError: neither settings nor a registry nor objects are there.
        """
        named = path or os.environ.get(VARIABLE)
        if not named and not Path(OBJECTS).is_dir():
            return cls.find()
        folder = Path(named or ".")
        if not _is_home(folder) and not (folder / OBJECTS).is_dir():
            raise HomeError(
                f"there is nothing to rebuild at `{folder}`: no registry, no objects",
                hint=f"{command('ahl', 'init', folder)} makes a new home",
            )
        return cls._at(folder, named=bool(named))

    def rebuild(self, fill: Callable[[Registry], object] | None = None) -> Rebuilt:
        """Give every object of the store a record again, and return what was done.

        A sound registry only gets what it lacks.  A damaged one is kept beside the new one, which
        holds what could be read of it: names, bases, scores, remote adapters.

        Args:
            fill: called with the registry before it is in place, to add what is not in objects.

        Raises:
            RegistryError: the database is another program's, newer, locked or out of reach.
            HomeError: the store or the registry cannot be written.
        """
        from adapterhub_lite.registry import rebuilding

        if not self.named and self.database_url != _url(self.path / DATABASE):
            raise HomeError(
                f"the home `{self.path}` was found, not named, and has its database elsewhere",
                hint=f"{command('ahl', '--home', self.path, 'rebuild')} names it",
            )
        self._check_reach(DATABASE)
        self.__dict__.pop("registry", None)  # a connection to the old file is of no use any more
        inside = self.path / DATABASE
        url = inside if self.database_url == _url(inside) else self.database_url
        return rebuilding.rebuild(url, self.store, hints=self._names_elsewhere(), fill=fill)

    def _names_elsewhere(self) -> dict[str, str]:
        """Return names of adapters, by digest, that finished runs of this home recorded."""
        names = {}
        for path in sorted((self.path / "runs").glob("*/finished.json")):
            try:
                values = _FINISHED.json_object_file(path)
                names[str(values["adapter"])] = check_name(values["name"])
            except (OSError, TypeError, KeyError, AhlError):
                continue  # a record that only helps
        return names

    @cached_property
    def registry(self) -> Registry:
        """The registry, opened and brought to the current format on first use."""
        from adapterhub_lite.registry import Registry

        self._check_reach(DATABASE)
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

        self._check_reach(OBJECTS)
        return open_store(self.objects_url)

    @property
    def urls(self) -> dict[str, str]:
        """Where the database and the objects are, by their names in a home."""
        return {DATABASE: self.database_url, OBJECTS: self.objects_url}

    def _check_reach(self, part: str) -> None:
        """Refuse what a home that was merely found keeps outside its folder, unless trusted."""
        if not self.named:
            trust.check_reach(self.path, part, self.urls[part])

    @property
    def plugin_folder(self) -> Path | None:
        """The folder whose files may run: of a named home, or of one trusted as it is now."""
        folder = self.path / PLUGINS
        if not folder.is_dir():
            return None
        return folder if self.named or trust.is_trusted(self.path, folder) else None

    def trust(self) -> tuple[Path, ...]:
        """Let what needs trust act as it is now, and return its files.

        That is: plugins run, and the database and objects that this home keeps elsewhere are used.
        """
        return trust.remember(self.path, self.path / PLUGINS, self.urls)

    trust_plugins = trust

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

        A crash at any point leaves it added, or not, or as an orphan that `gc` sets aside.
        """
        from adapterhub_lite.registry.rows import Addition

        manifest = manifests.read(Path(folder))
        return self._add([(Path(folder), Addition(manifest, name, tuple(aliases), added=added))])[0]

    def add_all(self, folders: Mapping[str, str | Path]) -> list[Adapter]:
        """Add the adapters in several folders, by name, all of them or none.

        A crash at any point leaves all added, or none, or orphans that `gc` sets aside.
        """
        from adapterhub_lite.registry.rows import Addition

        return self._add(
            [(Path(f), Addition(manifests.read(Path(f)), name)) for name, f in folders.items()]
        )

    def _add(self, additions: Sequence[tuple[Path, Addition]]) -> list[Adapter]:
        registry = self.registry
        registry.check_writable()
        with self.store.adding():
            self._claim_store()
            for folder, addition in additions:
                self.store.put(folder, addition.manifest)
            return registry.add_all([addition for _, addition in additions])

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
        self._check_reach(OBJECTS)
        from adapterhub_lite.registry import bases, upkeep

        problems = upkeep.verify(self.registry, self.store)
        return [*problems, *bases.problems(self.registry.bases(), self)]

    def gc(
        self,
        *,
        keep_days: int | None = None,
        confirmed: bool = False,
        shared: bool = False,
        dry_run: bool = False,
    ) -> list[Garbage]:
        """Set objects without record aside, and remove what has been aside for long.

        Args:
            keep_days: days that an object stays in the store's trash; 14 when left out.
            confirmed: also if the registry names no object of the store, or most would go.
            shared: keep what any of the homes needs that the store serves.
            dry_run: change nothing.

        Returns:
            What was moved or removed, or with `dry_run` would be.

        Raises:
            HomeError: the store serves other homes (without `shared`), or one of them cannot be
                opened; or it has to be confirmed.
            RegistryError: the registry does not pass its check.
        """
        self._check_reach(OBJECTS)
        from adapterhub_lite.registry import garbage

        others = self.other_owners()
        elsewhere: frozenset[str] = frozenset()
        if shared:
            elsewhere, others = self._needed_elsewhere(others), []
        if not dry_run:
            self._claim_store()
        return garbage.collect(
            self.registry,
            self.store,
            others=others,
            needed_elsewhere=elsewhere,
            keep_days=garbage.KEEP_DAYS if keep_days is None else keep_days,
            confirmed=confirmed,
            dry_run=dry_run,
        )

    def unrecorded(self) -> int:
        """Return how many objects of this home's own store have no record in an empty registry.

        That is what the loss of a registry looks like.
        """
        if not self._store_is_inside or self.registry.find(remote=False, limit=1):
            return 0
        return sum(1 for _ in self.store.digests())

    @cached_property
    def owner(self) -> Owner:
        """This home as the object store knows it."""
        from adapterhub_lite.registry import owners

        return owners.owner(self.path, self.registry.database.url)

    def other_owners(self) -> list[Owner]:
        """Return the other homes that use this object store, also those that vanished."""
        around = self._home_around_store()
        marked = {owner.key: owner for owner in (*around, *self.store.owners())}
        return [owner for key, owner in sorted(marked.items()) if key != self.owner.key]

    def forget_owner(self, folder: str | Path) -> None:
        """Take a home that does not use the object store any more off the store's list.

        Raises:
            HomeError: no such home is on it.
        """
        path = str(Path(folder).absolute())
        others = self.other_owners()
        for other in others:
            if other.folder in {str(folder), path, str(Path(folder).resolve())}:
                self.store.forget_owner(other)
                return
        names = ", ".join(map(str, others)) or "no other home"
        raise HomeError(
            f"`{folder}` is not on the list of the object store `{self.store.label}`, which has "
            f"{names}",
            hint="give the folder as the list has it",
        )

    def _claim_store(self) -> None:
        """Leave this home's file in a store outside of the home."""
        if not self._store_is_inside:
            self.store.note_owner(self.owner)

    @property
    def _store_is_inside(self) -> bool:
        return _same_folder(self.objects_url, self.path / OBJECTS)

    def _home_around_store(self) -> list[Owner]:
        """Return the home whose `objects` folder the store is, if that is another one."""
        folder = _local_folder(self.objects_url)
        if folder is None or self._store_is_inside:
            return []
        around = folder.resolve().parent
        if not _is_home(around):
            return []
        other = Home._open(around, named=True)  # its own class
        return [other.owner] if other._store_is_inside else []  # noqa: SLF001

    def _needed_elsewhere(self, others: Sequence[Owner]) -> frozenset[str]:
        from adapterhub_lite.registry import upkeep

        digests: frozenset[str] = frozenset()
        for other in others:
            try:
                opened = Home._open(Path(other.folder), named=True)
                problems = upkeep.check_registry(opened.registry)
            except AhlError as error:
                raise HomeError(
                    f"cannot read what the home {other} needs of the store: {error.message}",
                    hint=f"{command('ahl', 'gc', '--forget', other.folder)} if it does not use the "
                    "store any more",
                ) from error
            if problems or opened.owner.key != other.key:
                reason = problems[0].message if problems else "it has another registry now"
                raise HomeError(f"cannot tell what the home {other} needs: {reason}")
            digests |= upkeep.needed(opened.registry)
        return digests


def _is_home(folder: Path) -> bool:
    return (folder / DATABASE).is_file() or (folder / home_settings.FILE).is_file()


def _user_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("adapterhub_lite", appauthor=False)


def _make_registry(url: str | Path) -> None:
    from adapterhub_lite.registry import Registry

    Registry(url, create=True).close()


def _local_folder(url: str) -> Path | None:
    """Return the folder of a store on this machine."""
    if "://" not in url:
        return Path(url)
    return Path(unquote(urlsplit(url).path)) if url.startswith(("file://", "local://")) else None


def _same_folder(url: str, folder: Path) -> bool:
    local = _local_folder(url)
    return local is not None and local.resolve() == folder.resolve()


def _url(path: Path) -> str:
    return f"sqlite:///{path}"
