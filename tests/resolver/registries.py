"""Registries written down in a few words: what scenario files and property tests are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from adapterhub_lite import composition, plugins
from adapterhub_lite.adapter import (
    BUILT_IN,
    Adapter,
    BaseIdentity,
    HeadSpec,
    Kind,
    LanguageUse,
    Manifest,
    Provider,
    Role,
    Score,
    Source,
    Training,
    Underneath,
    WeightsFile,
)
from adapterhub_lite.digests import of_json
from adapterhub_lite.manifest import digest as digest_of
from adapterhub_lite.registry import Addition, Registry

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
METHODS = plugins.load(entry_points=False)


def base(text: str) -> BaseIdentity:
    """`mini` has a fingerprint made of its name, `mini#2` is the same name with other weights,
    `mini?` has none, as for a remote adapter."""
    name = text.rstrip("?").split("#")[0]
    fingerprint = "" if text.endswith("?") else of_json(text)
    return BaseIdentity(name, "xlm-roberta", 384, 6, 18000, fingerprint)


def manifest(spec: Mapping[str, Any], below: Mapping[str, Manifest]) -> Manifest:
    """Return the manifest of an adapter as scenario files spell it."""
    kind = Kind(spec["kind"])
    remote = spec.get("remote", False)
    method = spec.get("method", "bottleneck")
    weights = WeightsFile(of_json(spec["name"]), 1000)
    return Manifest(
        kind=kind,
        languages=_uses(kind, spec.get("languages", ())),
        base=base(spec.get("base", "mini?" if remote else "mini")),
        method=method,
        config=spec.get("raw_config") or _config(method, spec.get("config", {})),
        provider=Provider("adapterhub_lite.methods", "1"),
        weights=None if remote else weights,
        leave_out=tuple(spec.get("leave_out", ())),
        task=spec.get("task"),
        dataset=spec.get("dataset"),
        head=_head(spec) if kind is Kind.TASK else None,
        trained_over=tuple(_underneath(name, below) for name in spec.get("over", ())),
        seen=tuple(_underneath(name, below) for name in spec.get("seen", ())),
        training=Training("any", (), spec["tokens"], 1, 0) if "tokens" in spec else None,
        licence=spec.get("licence"),
        source=_source(spec),
    )


def _source(spec: Mapping[str, Any]) -> Source | None:
    if spec.get("built_in", False):
        return Source("", format=BUILT_IN)
    if not spec.get("remote", False):
        return None
    return Source(
        f"hub/{spec['name']}",
        status=spec.get("status"),
        unknown=tuple(spec.get("unknown", ())),
        inferred=tuple(spec.get("inferred", ())),
    )


def _config(method: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    if method not in METHODS.methods:
        return dict(changes)
    return METHODS.method(method).Config.from_mapping(changes).to_mapping()


def _head(spec: Mapping[str, Any]) -> HeadSpec | None:
    labels = spec.get("labels", ["NOUN", "VERB"])
    kind = spec.get("type", "token-classification")
    return HeadSpec(kind, tuple(labels)) if labels else None


def _uses(kind: Kind, tags: Iterable[str]) -> tuple[LanguageUse, ...]:
    roles = {
        Kind.BILINGUAL: (Role.SOURCE, Role.TARGET),
        Kind.TASK: (Role.SOURCE,) * 9,
    }.get(kind, (Role.LANGUAGE,) * 9)
    return tuple(LanguageUse(tag, role) for tag, role in zip(tags, roles, strict=False))


def _underneath(name: str, below: Mapping[str, Manifest]) -> Underneath:
    found = below[name]
    digest = "" if found.source and not found.built_in else digest_of(found)
    return Underneath(
        digest=digest,
        kind=found.kind,
        languages=found.languages,
        method=found.method,
        config_digest=found.config_digest,
        leave_out=found.leave_out,
        source=found.source.hub_id if found.source else None,
    )


def fill(registry: Registry, specs: Iterable[Mapping[str, Any]]) -> dict[str, Adapter]:
    """Add adapters in the order given; `absent` ones are only referred to."""
    given = list(specs)
    manifests: dict[str, Manifest] = {}
    for spec in sorted(
        given, key=lambda spec: len(spec.get("over", ())) + len(spec.get("seen", ()))
    ):
        manifests[spec["name"]] = manifest(spec, manifests)
    present = [spec for spec in given if not spec.get("absent", False)]
    registry.add_many(
        Addition(
            manifests[spec["name"]],
            spec["name"],
            remote=spec.get("remote", False),
            added=FIRST_DAY + timedelta(days=spec.get("day", 0)),
        )
        for spec in present
    )
    return {spec["name"]: registry.get(spec["name"]) for spec in present}


def score(spec: Mapping[str, Any], adapters: Mapping[str, Adapter]) -> Score:
    """Return a score as scenario files spell it: `composition` is by names."""
    named = composition.parse(spec["composition"])
    return Score(
        composition=str(composition.rename(named, lambda name: adapters[name].digest)),
        task=spec.get("task", "pos"),
        dataset=spec.get("dataset", "ud"),
        split=spec.get("split", "test"),
        language=spec.get("language", "gv"),
        metric=spec.get("metric", "accuracy"),
        value=spec["value"],
        n=spec.get("n", 1000),
        seed=spec.get("seed", 0),
        when=FIRST_DAY,
    )


def opened(path: Path) -> Registry:
    """Return an empty registry in a file."""
    return Registry(f"sqlite:///{path}", create=True)


def without_digests(text: str) -> str:
    """Return text with `name@digest` shortened to `name`, so that snapshots say what they mean."""
    return re.sub(r"`[0-9a-f]{12}`", "`...`", re.sub(r"@[0-9a-f]{12}", "", text))
