"""Strategies and methods of plugins at work: one that fails is named, and harms no other answer.

What comes with the package is not guarded: a fault of ours must be seen as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from adapterhub_lite.errors import MethodError
from adapterhub_lite.resolver.proposals import Proposal

if TYPE_CHECKING:
    from adapterhub_lite.methods.base import Method, MethodConfig
    from adapterhub_lite.resolver.candidates import Pool
    from adapterhub_lite.resolver.resolution import Missing
    from adapterhub_lite.resolver.strategies import Strategy

T = TypeVar("T")
OWN = __name__.partition(".")[0] + "."


def propose(strategy: Strategy, pool: Pool) -> list[Proposal]:
    """Return what a strategy proposes; nothing, with a problem noted in the pool, if it fails."""
    return _guarded(strategy, pool, lambda: _proposals(strategy, pool), [])


def lift(strategy: Strategy, pool: Pool) -> Missing | None:
    """Return what would lift the answer to a strategy; as `propose` if that fails."""
    return _guarded(strategy, pool, lambda: strategy.lift(pool), None)


def _proposals(strategy: Strategy, pool: Pool) -> list[Proposal]:
    proposals = list(strategy.propose(pool))
    for proposal in proposals:
        if not isinstance(proposal, Proposal):
            raise TypeError(f"it proposed a `{type(proposal).__name__}`, not a `Proposal`")
        pool.judge.stack(proposal)
    return proposals


def _guarded(strategy: Strategy, pool: Pool, call: Callable[[], T], instead: T) -> T:
    if _own(strategy):
        return call()
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way, and harms only itself
        reason = _in_words(error)
        pool.note(f"the plugin strategy `{strategy.name}` failed and is left out: {reason}")
        return instead


def config_of(method: Method, values: Mapping[str, Any]) -> MethodConfig:
    """Return an adapter's config.

    Raises:
        MethodError: the config is refused, or the plugin's method fails on it.
    """
    try:
        return method.Config.from_mapping(values)
    except Exception as error:
        if isinstance(error, MethodError) or _own(method):
            raise
        raise MethodError(
            f"the plugin method `{method.name}` failed on the config: {_in_words(error)}"
        ) from error


def follows(
    method: Method, config: MethodConfig, below: Method, below_config: MethodConfig
) -> str | None:
    """Return why an adapter cannot stand on another, a failure of the plugin's method included."""
    try:
        return method.follows(config, below, below_config)
    except Exception as error:
        if _own(method):
            raise
        return f"the plugin method `{method.name}` failed: {_in_words(error)}"


def _own(item: object) -> bool:
    return type(item).__module__.startswith(OWN)


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
