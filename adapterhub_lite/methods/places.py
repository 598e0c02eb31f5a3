"""Sites named one by one, and numbers that differ from site to site.

Adapters of other libraries touch what their patterns say: single layers of a part, the embedding of
token ids, a linear part that no row of the anatomy table has.  Configs keep that as texts:
`query.0` (part and layer), `words` (outside the layers), `@pooler.dense` (a path), `query.0=16`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from adapterhub_lite.errors import MethodError
from adapterhub_lite.families import BY_PATH, LINEAR_PARTS, LOGITS, WORDS

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.methods.base import ModelShape, Site


def split(key: str) -> tuple[str, int | None]:
    """Return part and layer of a site's key."""
    part, dot, last = key.rpartition(".")
    return (part, int(last)) if dot and last.isdecimal() else (key, None)


def site_named(shape: ModelShape, key: str, method: str) -> Site:
    """Return the site with this key; raises `MethodError` where the model has none."""
    part, layer = split(key)
    site = shape.site(part, layer) if layer is None or layer < shape.layers else None
    if site is None:
        raise MethodError(f"method `{method}` needs site `{key}`, which this model lacks")
    return site


def sites_named(
    shape: ModelShape, keys: Sequence[str], leave_out: Sequence[int], method: str
) -> list[Site]:
    """Return the sites with these keys, but for layers that are left out."""
    return [site_named(shape, key, method) for key in keys if split(key)[1] not in leave_out]


def parts_of(keys: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that sites are of, each once, in order."""
    return tuple(dict.fromkeys(split(key)[0] for key in keys))


def check_sites(keys: Sequence[str], method: str, *, outside: bool = False) -> None:
    """Raise `MethodError` for keys that name no linear part, or that are there twice.

    Args:
        outside: parts other than the layers' are allowed: `words`, `logits`, paths.
    """
    for key in keys:
        part, layer = split(key)
        linear = part in LINEAR_PARTS and layer is not None
        if not (linear or (outside and (part in (WORDS, LOGITS) or part.startswith(BY_PATH)))):
            raise MethodError(
                f"`{method}` has no site `{key}`",
                hint=f"part and layer, such as `query.0`; parts: {', '.join(LINEAR_PARTS)}",
            )
    twice = [key for key in keys if list(keys).count(key) > 1] if len(set(keys)) < len(keys) else []
    if twice:
        raise MethodError(f"`{method}` names site `{twice[0]}` twice")


@lru_cache(maxsize=256)
def numbers(texts: tuple[str, ...], method: str) -> dict[str, float]:
    """Return the numbers that texts such as `query.0=16` give to sites."""
    found = {}
    for text in texts:
        key, equals, number = text.rpartition("=")
        try:
            found[key] = float(number)
        except ValueError:
            equals = ""
        if not equals or not key or not 0 < found[key] < float("inf"):
            raise MethodError(f"`{method}` needs `SITE=NUMBER`, a positive one, found `{text}`")
    return found


def texts(values: dict[str, float]) -> tuple[str, ...]:
    """Return numbers by site as texts, in order of site."""
    return tuple(f"{key}={value:.17g}" for key, value in sorted(values.items()))


def copied(tensor: Tensor) -> Tensor:
    """Return a copy of a base's weight to start from: float32, on the CPU (a meta tensor stays)."""
    copy = tensor.detach().float().clone()
    return copy if copy.is_meta else copy.cpu()
