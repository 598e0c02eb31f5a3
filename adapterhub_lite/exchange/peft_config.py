"""Configs of peft folders: every value has a known type, and a known meaning or is refused by name.

What peft adds in a later version comes as a new key; where its value says "off" it is passed over,
anything else is refused, since it may change what is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from adapterhub_lite.errors import ExchangeError

Kinds = Mapping[str, tuple[type, ...]]

_NAMES = (list, str, NoneType)
_TEXT = (str, NoneType)
COMMON: dict[str, tuple[type, ...]] = {
    "auto_mapping": (dict, NoneType),
    "base_model_name_or_path": _TEXT,
    "exclude_modules": _NAMES,
    "fan_in_fan_out": (bool,),
    "inference_mode": (bool,),
    "layers_pattern": _NAMES,
    "layers_to_transform": (list, int, NoneType),
    "modules_to_save": (list, NoneType),
    "peft_type": (str,),
    "peft_version": _TEXT,
    "revision": _TEXT,
    "target_modules": _NAMES,
    "task_type": _TEXT,
}
"""Keys that several methods have.  Most say nothing about what is computed."""

_OFF: tuple[Any, ...] = (None, False, "", 0)


def check(
    config: Mapping[str, Any], kinds: Kinds, refused: Mapping[str, str], *, method: str
) -> None:
    """Check a config's keys and types.

    Args:
        kinds: the types that every known key may have, besides those of `COMMON`.
        refused: keys that change what is computed in a way that has no form here, and what it is.

    Raises:
        ExchangeError: a wrong type, a refused key that is on, or an unknown key that is on.
    """
    known = {**COMMON, **kinds}
    for key, value in config.items():
        if key in refused:
            if not _is_off(value):
                raise ExchangeError(
                    f"`{key}` of peft's {method} ({refused[key]}) has no form here", key=key
                )
        elif key not in known:
            if not _is_off(value):
                raise ExchangeError(
                    f"peft's {method} config has `{key}`, which is not known here", key=key
                )
        elif not isinstance(value, known[key]) or (
            isinstance(value, bool) and bool not in known[key]
        ):
            wanted = " or ".join(kind.__name__ for kind in known[key])
            raise ExchangeError(
                f"`{key}` in peft's {method} config must be {wanted}, found {value!r}", key=key
            )
    for key in ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern"):
        check_texts(config, key)


def check_texts(config: Mapping[str, Any], key: str) -> None:
    """Raise `ExchangeError` where a list holds something else than texts."""
    value = config.get(key)
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise ExchangeError(f"`{key}` in peft's config must hold names, found {value!r}", key=key)


def positive(config: Mapping[str, Any], key: str, default: float) -> float:
    """Return a number above zero; raises `ExchangeError` for any other."""
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ExchangeError(
            f"`{key}` in peft's config must be a number above 0, found {value!r}", key=key
        )
    return float(value)


def _is_off(value: Any) -> bool:
    return value in _OFF if not isinstance(value, (list, dict)) else not value
