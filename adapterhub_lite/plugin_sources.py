"""Where plugins come from: the package, installed distributions, the files of a home.

The package is its own modules and, in a wheel, the files of the repository's `plugins/`.

Each is found without running any of its code, with a function that loads it.  Kept from
`plugins.py` so that the command line can see, cheaply, that there is nothing to load.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from adapterhub_lite.digests import SHORT
from adapterhub_lite.errors import PluginError
from adapterhub_lite.version import VERSION

GROUP = "adapterhub_lite"
"""The entry point group of installed plugins."""

SHIPPED = "shipped"
"""The folder of a wheel that has the repository's plugins."""
LARGEST = 1_000_000
"""Bytes of a plugin file that is looked into before it may run."""
_WORDS, _LETTERS = 12, 80
"""Tokens of a statement, and letters of a version, that are kept."""

BUILT_IN = ("adapterhub_lite.methods", "adapterhub_lite.tasks", "adapterhub_lite.built_in")


@dataclass(slots=True)
class PluginInfo:
    """One plugin: where it is from, what it offers, and what went wrong with it.

    `slow` lists heavy libraries that it imports at its top.
    """

    name: str
    version: str
    origin: str
    built_in: bool = False
    offers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that its author should look at."""
        if not self.slow:
            return self.failures
        heavy = f"slow: imports {', '.join(self.slow)} at its top; import it inside functions"
        return [*self.failures, heavy]

    def __str__(self) -> str:
        return f"`{self.name}` {self.version} ({self.origin})"


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin that was found but not loaded."""

    info: PluginInfo
    load: Callable[[], ModuleType]


def built_in() -> Iterator[Found]:
    """Yield what comes with the package."""
    for name in BUILT_IN:
        info = PluginInfo(name, VERSION, "built in", built_in=True)
        yield Found(info, partial(importlib.import_module, name))


def installed() -> Iterator[Found]:
    """Yield the plugins of installed distributions, by name."""
    if not _may_be_installed():
        return
    import importlib.metadata

    points = importlib.metadata.entry_points(group=GROUP)
    for point in sorted(points, key=lambda p: (p.name, p.value)):
        origin = point.dist.name if point.dist else point.value
        version = point.dist.version if point.dist else "unknown"
        yield Found(PluginInfo(point.name, version, f"installed: {origin}"), point.load)


def _may_be_installed() -> bool:
    """Whether any distribution could name our group: a question that every start pays for.

    `importlib.metadata` takes 40 ms to say no, most of it for parsing what belongs to others. It is
    asked where something else than a folder is on the path, or finds distributions.
    """
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    folders = [Path(entry) for entry in sys.path]
    if finders != [PathFinder] or any(f.is_file() or f.suffix == ".egg" for f in folders):
        return True
    header = f"[{GROUP}]".encode()
    stated = (path for f in folders for path in f.glob("*.*-info/entry_points.txt"))
    try:
        return any(header in path.read_bytes() for path in stated)
    except OSError:
        return True


def shipped() -> Iterator[Found]:
    """Yield the plugin files that a wheel brings along; in a checkout they are in `plugins/`."""
    folder = Path(__file__).with_name(SHIPPED)
    for path in sorted(folder.glob("*.py")) if folder.is_dir() else ():
        version = f"sha256:{_digest(path.read_bytes())}"
        info = PluginInfo(path.stem, version, "comes with the package")
        name = f"{__package__}.{SHIPPED}.{path.stem}"
        yield Found(info, partial(importlib.import_module, name))


def files_of(folder: Path | None) -> Iterator[Found]:
    """Yield the plugin files in a folder that are not, byte for byte, those of the package."""
    own = {found.info.name: found.info.version for found in shipped()}
    for found in files(folder):
        if own.get(found.info.name) != stated_version(Path(found.info.origin)):
            yield found


def files(folder: Path | None) -> Iterator[Found]:
    """Yield the plugin files in a folder, by name; those that start with `_` are none.

    A pipe or a folder that is called `x.py` is not a file, and reading a pipe would never end.
    """
    for path in sorted(folder.glob("*.py")) if folder and folder.is_dir() else ():
        if not path.name.startswith("_") and path.is_file():
            yield Found(PluginInfo(path.stem, "unknown", str(path)), partial(load_file, path))


def stated_version(path: Path) -> str:
    """Return a plugin file's version without running it: what `load_file` would say it is.

    Nobody has trusted the file, so it is not parsed either: its tokens are looked through, which
    takes no more memory or depth than the text has.  A `__version__` that is worked out, and not
    written out, cannot be read like that.
    """
    import tokenize

    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return "unknown"
        content = path.read_bytes()
        stated = list(_stated(content)) if b"__version__" in content else []
    except (OSError, SyntaxError, ValueError, tokenize.TokenError):
        return "unknown"
    return one_line(stated[-1]) if stated else f"sha256:{_digest(content)}"


def _stated(content: bytes) -> Iterator[str]:
    """Yield the value of each `__version__ = ...` at the top level of a file."""
    import io
    import tokenize

    layout = (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.tokenize(io.BytesIO(content).readline):
        if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER):
            words = [t.string for t in statement]
            if words[:1] == ["__version__"] and "=" in words and statement[0].start[1] == 0:
                value = statement[words.index("=") + 1 :]
                plain = len(value) == 1 and value[0].type in (tokenize.STRING, tokenize.NUMBER)
                yield value[0].string.strip("\"'") if plain else "unknown until it runs"
            statement = []
        elif token.type not in layout and len(statement) <= _WORDS:
            statement.append(token)


def one_line(version: str) -> str:
    """Return a version as it can stand in a table: one line, of bounded length."""
    return "".join(c if c.isprintable() else " " for c in version)[:_LETTERS] or "unknown"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:SHORT]


class _FromSource(SourceFileLoader):
    """Runs the file itself, never compiled code beside it, which nobody trusted."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def load_file(path: Path) -> ModuleType:
    """Run a plugin file and return its module, whose `__version__` is its digest if it has none.

    The module's name holds the digest, so that files of one name in two homes do not meet.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PluginError(f"cannot read plugin file `{path}`: {error.strerror}") from None
    digest, where = _digest(content), _digest(str(path.absolute()).encode())
    name = f"ahl_plugin_{path.stem}_{digest}_{where}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    if spec is None or spec.loader is None:
        raise PluginError(f"`{path}` is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    if not hasattr(module, "__version__"):
        module.__version__ = f"sha256:{digest}"  # type: ignore[attr-defined]  # set for provenance
    return module
