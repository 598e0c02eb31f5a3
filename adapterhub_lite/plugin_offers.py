"""What each hook may return: one row a hook, and the check that a plugin's answer fits it.

A plugin's mistake is told in the plugin author's words here, once, instead of as an attribute
error somewhere in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Offer:
    """A hook: what its items are called, their class (`module:name`), their names, more checks."""

    hook: str
    what: str
    type: str
    names: Callable[[Any], tuple[str, ...]] = lambda item: (item.name,)
    fault: Callable[[Any], str | None] = lambda _item: None


def _config_fault(method: Any) -> str | None:
    """Return what is wrong with a method's config, if anything."""
    from adapterhub_lite.methods.config import MethodConfig

    config = getattr(method, "Config", None)
    if not (isinstance(config, type) and issubclass(config, MethodConfig)):
        return "has no `Config` that is a `MethodConfig`"
    if "__annotations__" in vars(config) and "__dataclass_fields__" not in vars(config):
        return f"has a config `{config.__name__}` that is not marked with `@dataclass(frozen=True)`"
    return None


OFFERS = {
    offer.hook: offer
    for offer in (
        Offer("ahl_methods", "method", "adapterhub_lite.methods.base:Method", fault=_config_fault),
        Offer(
            "ahl_families",
            "family",
            "adapterhub_lite.families:Family",
            lambda family: tuple(family.model_types),
        ),
        Offer("ahl_tasks", "task type", "adapterhub_lite.tasks.base:TaskType"),
        Offer("ahl_strategies", "strategy", "adapterhub_lite.resolver.strategies:Strategy"),
        Offer("ahl_converters", "converter", "adapterhub_lite.exchange.converter:Converter"),
        Offer("ahl_commands", "command", "click:Command"),
    )
}
"""The hooks, in the order in which `ahl plugins` calls them."""


def checked(offer: Offer, answer: Any) -> tuple[list[Any], list[str]]:
    """Return the items of a hook's answer that fit, and what is wrong with the others."""
    if answer is None:
        return [], [f"{offer.hook} returned nothing; return a list"]
    wanted = _class(offer.type)
    if isinstance(answer, (wanted, type, str)) or not hasattr(answer, "__iter__"):
        return [], [f"{offer.hook} returned {_called(answer)}; return a list: `[...]`"]
    items = list(answer)
    faults = {number: _fault(offer, wanted, item) for number, item in enumerate(items)}
    good = [item for number, item in enumerate(items) if faults[number] is None]
    return good, [f"{offer.hook}: {fault}" for fault in faults.values() if fault]


def _fault(offer: Offer, wanted: type, item: Any) -> str | None:
    if isinstance(item, type):
        return f"`{item.__name__}` is a class; return an instance: `{item.__name__}()`"
    if not isinstance(item, wanted):
        return f"{_called(item)} is no `{wanted.__name__}`"
    try:
        names = offer.names(item)
    except AttributeError:
        names = ()
    if not names or not all(isinstance(name, str) and name for name in names):
        return f"{_called(item)} has no name"
    fault = offer.fault(item)
    return None if fault is None else f"{_called(item)} {fault}"


def _called(item: Any) -> str:
    return f"`{item.__name__}`" if isinstance(item, type) else f"a `{type(item).__name__}`"


def _class(spelt: str) -> type:
    module, _, name = spelt.partition(":")
    found: type = getattr(import_module(module), name)
    return found
