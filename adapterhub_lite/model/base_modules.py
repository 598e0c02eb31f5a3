"""Put the language modules of a base into the registry, so that the resolver can choose them.

One small adapter a module: its weights are its name (`methods/xmod.py`).  The same base gives the
same digests, wherever and whenever it is added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from adapterhub_lite import languages
from adapterhub_lite.adapter import BUILT_IN, Adapter, Kind, LanguageUse, Manifest, Role, Source
from adapterhub_lite.errors import LanguageTagError, RefError, UsageError
from adapterhub_lite.methods.xmod import NAME, Xmod, XmodConfig, naming
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.model.module_tables import module_names

if TYPE_CHECKING:
    from adapterhub_lite.home import Home

_VERSION = "1"
"""Of what these adapters hold; the package's own version would change their digests."""

_NOWHERE = "_XX"
"""How X-MOD's names of languages say that no region is meant."""


def add_modules(home: Home, base: Base) -> list[Adapter]:
    """Add an adapter for each language module of a base, called `BASE-TAG`; return them.

    Raises:
        UsageError: another adapter has such a name; nothing was added then.
        LanguageTagError: the base has a language that is no registered tag.
        MethodError: its modules are not as published.
    """
    anatomy = Anatomy(base.model, home.plugins().families)
    tags = tags_of(module_names(anatomy))
    if not tags:
        return []
    config = XmodConfig(
        reduction=float(base.model.config.adapter_reduction_factor),
        activation=base.model.config.hidden_act,
    )
    with TemporaryDirectory() as folder:
        made = {
            f"{base.identity.name}-{tag}": _write(Path(folder, tag), name, tag, base, config, home)
            for name, tag in tags.items()
        }
        for name, (_, manifest) in made.items():
            _check_free(home, name, manifest)
        return home.add_all({name: place for name, (place, _) in made.items()})


def tags_of(names: Sequence[str]) -> dict[str, str]:
    """Return the language tag of each of a base's names: `sw_KE` is `sw`, `zh_TW` is `zh-TW`.

    A region stays only where the base has several modules for the language: it tells the text that
    a module saw from other text of that language, not from another language.

    Raises:
        LanguageTagError: a name that is no registered tag.
    """
    whole = {name: languages.normalise(name.removesuffix(_NOWHERE)) for name in names}
    plain = {name: _without_region(tag) for name, tag in whole.items()}
    shared = Counter(plain.values())
    tags = {name: plain[name] if shared[plain[name]] == 1 else whole[name] for name in names}
    if len(set(tags.values())) < len(tags):
        twice = next(tag for tag, count in Counter(tags.values()).items() if count > 1)
        raise LanguageTagError(f"this base has several modules for `{twice}`", tag=twice)
    return tags


def _without_region(tag: str) -> str:
    import langcodes

    parts = langcodes.get(tag)
    return str(langcodes.Language.make(language=parts.language, script=parts.script))


def _write(
    folder: Path, name: str, tag: str, base: Base, config: XmodConfig, home: Home
) -> tuple[Path, Manifest]:
    method = Xmod()
    manifest = Manifest(
        kind=Kind.LANGUAGE,
        languages=(LanguageUse(tag, Role.LANGUAGE),),
        base=base.identity,
        method=method.name,
        config=config.to_mapping(),
        provider=replace(home.plugins().provider(method.name), version=_VERSION),
        source=Source(hub_id="", format=BUILT_IN),
    )
    weights = {NAME: naming(name)}
    adapter = LoadedAdapter(name, Kind.LANGUAGE, method, config, weights)
    return folder, adapter.save(folder, manifest)


def _check_free(home: Home, name: str, manifest: Manifest) -> None:
    from adapterhub_lite.manifest import digest

    try:
        known = home.registry.get(name)
    except RefError:
        return
    if known.name == name and known.digest != digest(manifest):
        raise UsageError(
            f"`{name}` is an adapter already, and the base has a language module to call that",
            hint="add the base under another name: `--name`",
        )
