"""A base's config, read without running anything that came with the base.

transformers asks on the standard input whether code of a repository may run, unless it is told; a
line of the user's own data is then taken for the answer.  So every call says it outright, and a
base that needs code is refused here, before anything else of it is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapterhub_lite.errors import AhlError, HomeError
from adapterhub_lite.foreign.text import command

ADAPTER_CONFIG = "adapter_config.json"
"""transformers takes a folder with this file for an adapter, and loads the base it names."""


def read_config(place: str, *, code: bool = False) -> Any:
    """Return the config of the base at a folder or Hub id.

    Args:
        code: whether Python code that comes with the base may run.

    Raises:
        HomeError: the base needs code and `code` is false, or names code of another repository;
            it is an adapter; or the config cannot be read (transformers' own errors pass).
    """
    import transformers

    _refuse_adapter(place)
    if code:
        _refuse_code_elsewhere(place)
    try:
        config = transformers.AutoConfig.from_pretrained(place, trust_remote_code=code)
    except ValueError:
        if not code:
            refuse_code(place)
        raise
    _refuse_kernels(config, place)
    return config


def refuse_code(place: str) -> None:
    """Raise `HomeError` if the base at `place` needs code of its own."""
    if classes := _classes(place):
        raise HomeError(
            f"base `{place}` needs Python code that comes with it ({', '.join(classes[:3])}), and "
            "such code does not run unasked",
            hint=f"read that code; {_add(place)} lets it run",
            code=classes,
        )


def _add(place: str) -> str:
    hub = () if Path(place).is_dir() else ("--hub",)
    name = Path(place).name or "NAME"
    return command("ahl", "add", place, *hub, "--name", name, "--trust-remote-code")


def _refuse_code_elsewhere(place: str) -> None:
    for name in _classes(place):
        if "--" in name:
            raise HomeError(
                f"base `{place}` names code of another repository: `{name}`",
                hint="copy that code beside the base's config, where its digest is recorded",
            )


def _refuse_adapter(place: str) -> None:
    if Path(place, ADAPTER_CONFIG).is_file():
        raise HomeError(
            f"`{place}` is an adapter of peft: it has `{ADAPTER_CONFIG}`",
            hint=f"{command('ahl', 'import', place, '--name', 'NAME')} takes it in; a base model "
            "has no such file",
        )


def _refuse_kernels(config: Any, place: str) -> None:
    """Refuse a config that names a repository of compiled code for its attention."""
    for field in ("_attn_implementation", "_experts_implementation"):
        value = getattr(config, field, None)
        if isinstance(value, str) and "/" in value:
            raise HomeError(
                f"the config of base `{place}` asks for compiled code from `{value}`, and such "
                "code does not run unasked",
                hint=f"remove `{field.strip('_')}` from its `config.json`",
            )


def _classes(place: str) -> list[str]:
    """Return the classes that a base's configs name as code of their own."""
    import transformers
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    configs: list[Callable[[str], Any]] = [
        transformers.PreTrainedConfig.get_config_dict,
        get_tokenizer_config,
    ]
    names: list[str] = []
    for read in configs:
        try:
            values = read(place)
        except (OSError, ValueError, AhlError):
            continue
        stated = values[0] if isinstance(values, tuple) else values
        names += _named(stated.get("auto_map") if isinstance(stated, dict) else None)
    return list(dict.fromkeys(names))


def _named(auto_map: Any) -> list[str]:
    if isinstance(auto_map, dict):
        return [name for value in auto_map.values() for name in _named(value)]
    if isinstance(auto_map, (list, tuple)):
        return [name for value in auto_map for name in _named(value)]
    return [auto_map] if isinstance(auto_map, str) else [json.dumps(auto_map)] if auto_map else []
