"""Commands that make or find what is missing, spelt so that they can be run as they stand.

Only the files, which the user alone has, are left open: `FILE`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapterhub_lite import digests
from adapterhub_lite.adapter import BaseIdentity, Underneath
from adapterhub_lite.foreign import text
from adapterhub_lite.resolver.candidates import Candidate, Pool
from adapterhub_lite.resolver.request import Request


def resolve_command(request: Request, **changes: Any) -> str:
    """Return the `ahl resolve` command of a request, with changes."""
    asked = {**request.to_json(), **changes}
    words = ["ahl", "resolve", asked["source"], asked["target"], "--task", asked["task"]]
    for option in ("base", "dataset", "method"):
        words += [f"--{option}", asked[option]] if asked[option] else []
    for licence in asked["licences"]:
        words += ["--licence", licence]
    words += ["--offline"] if asked["offline"] else []
    words += ["--policy", asked["policy"]] if asked["policy"] != "bilingual" else []
    return text.shell(*words)


def train_language(pool: Pool, tag: str, other: Candidate | None, name: str = "") -> str:
    """Return the command that trains a language adapter, with the config of another."""
    words = ["ahl", "train", "language", tag, "--text", "FILE", "--base", pool.base.name]
    return text.shell(*words, *_named(name), *_config(pool, other))


def train_bilingual(pool: Pool, name: str) -> str:
    """Return the command that trains the pair's bilingual adapter, and names it."""
    source, target = pool.request.source, pool.request.target
    words = ["ahl", "train", "bilingual", source, target, "--text", f"{source}=FILE"]
    return text.shell(*words, "--text", f"{target}=FILE", "--base", pool.base.name, *_named(name))


def train_task(request: Request, base: BaseIdentity | None, *over: str) -> str:
    """Return the command that trains the task adapter over others, or over nothing."""
    words = ["ahl", "train", "task", request.task, "--source", request.source, "--train", "FILE"]
    words += ["--base", base.name] if base else []
    return text.shell(*words, *(word for ref in over for word in ("--over", ref)))


def like(pool: Pool, under: Underneath) -> Candidate | None:
    """Return an adapter of the registry that has the config of one underneath."""
    kept = pool.kept(under)
    if isinstance(kept, Candidate):
        return kept
    alike = (c for c in pool.known() if pool.judge.unlike(c.adapter, under) is None)
    return next(alike, None)


def known_config(pool: Pool, under: Underneath) -> bool:
    """Whether a command can repeat the config of an adapter underneath."""
    if like(pool, under) is not None:
        return True
    method = pool.judge.plugins.methods.get(under.method)
    if method is None or under.leave_out:
        return False
    default = {"method": under.method, "config": method.Config().to_mapping()}
    return digests.of_json(default) == under.config_digest


def _named(name: str) -> list[str]:
    return ["--name", name] if name else []


def _config(pool: Pool, other: Candidate | None) -> list[str]:
    """Return the options that repeat another adapter's method, config and left-out layers."""
    if other is None:
        return []
    manifest = other.adapter.manifest
    method, config = pool.judge.method(other.adapter)
    words = ["--method", manifest.method]
    for key, value in _changed(config.to_mapping(), method.Config().to_mapping()).items():
        words += ["--set", f"{key}={value}"]
    for layer in manifest.leave_out:
        words += ["--leave-out", str(layer)]
    return words


def _changed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value != defaults.get(key)
    }
