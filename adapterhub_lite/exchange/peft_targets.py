"""Which modules a peft config names, by peft's own rules, and whether the folder holds just those.

peft drops tensors that the config does not name and starts afresh where tensors are missing, with a
warning at most; both are errors here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from adapterhub_lite.errors import ExchangeError, near
from adapterhub_lite.families import LINEAR_PARTS
from adapterhub_lite.methods import places
from adapterhub_lite.patterns import bounded_fullmatch

if TYPE_CHECKING:
    from adapterhub_lite.exchange.bases import BaseShape
    from adapterhub_lite.exchange.converter import Reading, Tensors

ALL_LINEAR = "all-linear"
_PLAIN = re.compile(r"[\w.\\^$-]*")
_NAME = re.compile(r"[\w.]+")
_FIRST_NUMBER = re.compile(r".*?\.[^.]*\.(?P<at>\d+)\.")


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """Return the names that a pattern matches as a whole, in bounded time.

    Raises:
        ExchangeError: no regular expression, or one that does not come to an end.
    """
    if _PLAIN.fullmatch(pattern):  # nothing in it repeats
        try:
            return [name for name in names if re.fullmatch(pattern, name)]
        except re.error as error:
            raise ExchangeError(f"`{pattern}` is no regular expression: {error}") from None
    found = bounded_fullmatch(pattern, names)
    return [name for name, hit in zip(names, found, strict=True) if hit]


def stored_modules(tensors: Tensors, suffixes: Iterable[str]) -> list[str]:
    """Return the paths of the modules that have a tensor with one of the suffixes."""
    found = {
        key.removesuffix(f".{suffix}"): None
        for suffix in suffixes
        for key in tensors.keys()  # noqa: SIM118  # not a mapping
        if key.endswith(f".{suffix}")
    }
    return sorted(found, key=_natural)


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in path.split(".")]


def placed(reading: Reading, suffixes: Iterable[str]) -> list[str]:
    """Return the paths that hold tensors, checked against the base and against the config.

    Raises:
        ExchangeError: a module that the base lacks, or that only one of config and tensors names.
    """
    stored = stored_modules(reading.tensors, suffixes)
    for path in stored:
        if not reading.base.sites_at(path):
            raise ExchangeError(
                f"{reading.tensors.where} has tensors for `{path}`, which base "
                f"`{reading.base.identity.name}` does not have",
                hint=near(path, _changeable(reading.base)),
                path=path,
            )
    named = targets(reading, stored)
    missing = [path for path in named if path not in stored]
    if missing:
        raise ExchangeError(
            f"{reading.tensors.where} lacks tensors for {_few(missing)}, which its config targets"
        )
    surplus = [path for path in stored if path not in named]
    if surplus:
        raise ExchangeError(
            f"{reading.tensors.where} has tensors for {_few(surplus)}, "
            "which its config does not target"
        )
    if not stored:
        raise ExchangeError(f"{reading.tensors.where} holds no tensors of its method")
    return stored


def targets(reading: Reading, stored: Collection[str]) -> list[str]:
    """Return the paths that a config targets, of those that the base has.

    Modules outside the trunk (a language-modelling head) count where the folder has tensors for
    them: which head class the adapter was made on is not written down.  The pooler is a head's.
    """
    config, base = reading.config, reading.base
    full = {
        full_name(reading, path): path
        for path in _changeable(base)
        if (path in base.trunk_names and not path.startswith("pooler.")) or path in stored
    }
    names = sorted(full)
    wanted = config.get("target_modules")
    if wanted is None:
        raise ExchangeError("peft's config has no `target_modules`")
    if isinstance(wanted, str) and wanted.lower() == ALL_LINEAR:
        linear = _linear(base)
        found = [name for name in names if full[name] in linear]
    elif isinstance(wanted, str):
        found = matching(wanted, names)
    else:
        found = _in_layers(config, _ending(wanted, names))
    excluded = _excluded(config, names)
    return [full[name] for name in found if name not in excluded]


def full_name(reading: Reading, path: str) -> str:
    """Return the name that a module had in the class that the adapter was made on."""
    return reading.prefix + path if path in reading.base.trunk_names else path


def by_pattern(
    patterns: Mapping[str, float], names: Sequence[str], default: float
) -> dict[str, float]:
    """Return a number for every name: that of the first pattern that matches it from a dot on."""
    tails = {
        name: [name, *(name[at + 1 :] for at, c in enumerate(name) if c == ".")] for name in names
    }
    all_tails = sorted({tail for some in tails.values() for tail in some})
    found = dict.fromkeys(names, default)
    for pattern, number in reversed(list(patterns.items())):
        hits = set(matching(pattern, all_tails))
        found |= {name: float(number) for name in names if not hits.isdisjoint(tails[name])}
    return found


def _excluded(config: Mapping[str, Any], names: Sequence[str]) -> set[str]:
    excluded = config.get("exclude_modules")
    if isinstance(excluded, str):
        out = set(matching(excluded, names)) if excluded else set()
    else:
        out = set(_ending(excluded or (), names))
    for saved in config.get("modules_to_save") or ():
        out |= set(matching(rf"(.*\.)?{saved}(\..*)?", names))
    return out


def _ending(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    ends = tuple(f".{end}" for end in wanted)
    return [name for name in names if name in wanted or name.endswith(ends)]


def _in_layers(config: Mapping[str, Any], names: list[str]) -> list[str]:
    layers = config.get("layers_to_transform")
    if layers is None or layers == []:
        return names
    numbers = [layers] if isinstance(layers, int) else layers
    patterns = config.get("layers_pattern") or []
    patterns = [patterns] if isinstance(patterns, str) else patterns
    for pattern in patterns:
        if not _NAME.fullmatch(pattern):
            raise ExchangeError(f"`layers_pattern` must be a name here, found `{pattern}`")
    forms = [re.compile(rf"(?:^|.*?\.){re.escape(p)}\.(?P<at>\d+)\.") for p in patterns]
    return [name for name in names if _layer(name, forms or [_FIRST_NUMBER]) in numbers]


def _layer(name: str, forms: Sequence[re.Pattern[str]]) -> int | None:
    matches = [match for form in forms if (match := form.match(name))]
    return int(matches[0]["at"]) if matches else None


def _changeable(base: BaseShape) -> list[str]:
    from torch import nn

    linear = _linear(base)
    output = base.model.get_output_embeddings()
    return [
        path
        for path, module in base.modules.items()
        if isinstance(module, nn.Embedding) or path in linear or module is output
    ]


def _linear(base: BaseShape) -> set[str]:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output = base.model.get_output_embeddings()
    return {
        path
        for path, module in base.modules.items()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not output
    }


def _few(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(f"`{path}`" for path in paths[:3]) + more


def normal_form(
    keys: Sequence[str], base: BaseShape
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """Return parts, single sites and layers left out that together name just these sites.

    Where the sites are some linear parts in some layers, all combinations of them, there are no
    single sites; that is the form that adapters trained here have.
    """
    split = [places.split(key) for key in keys]
    parts = tuple(part for part in LINEAR_PARTS if any(part == p for p, _ in split))
    layers = {layer for _, layer in split if layer is not None}
    product = {f"{part}.{layer}" for part in parts for layer in layers}
    if product == set(keys):
        return parts, (), tuple(n for n in range(base.anatomy.layers) if n not in layers)
    return parts or ("query",), tuple(keys), ()


def short_names(paths: Sequence[str], base: BaseShape) -> list[str]:
    """Return the fewest endings that name just these modules, as `target_modules` takes them."""
    wanted = set(paths)
    others = [p for p in (*base.modules, "pooler.dense", "classifier.dense") if p not in wanted]
    found: dict[str, None] = {}
    for path in paths:
        pieces = path.split(".")
        ends = (".".join(pieces[-count:]) for count in range(1, len(pieces)))
        free = (end for end in ends if not any(other.endswith(end) for other in others))
        found[next((end for end in free if not end[0].isdecimal()), path)] = None
    return list(found)
