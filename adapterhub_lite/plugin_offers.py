"""What each hook may return: one row a hook, and the check that a plugin's answer fits it.

A plugin's mistake is told in the plugin author's words here, once, instead of as an attribute
error somewhere in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from adapterhub_lite.errors import AhlError, near

HARMLESS = (Exception, SystemExit)
"""What a plugin may raise without harming anything but itself."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A hook: what its items are called, their class (`module:name`), their names, more checks.

    `fault` uses an item the way its callers will, and returns what is wrong; what it raises is a
    fault as well, so that a broken item is named here and not met in the middle of a command.
    """

    hook: str
    what: str
    type: str
    names: Callable[[Any], tuple[str, ...]] = lambda item: (item.name,)
    fault: Callable[[Any], str | None] = lambda _item: None


def _method_fault(method: Any) -> str | None:
    """Return what is wrong with a method: its config is built and described, as commands do."""
    import json

    from adapterhub_lite.methods.base import MEANS
    from adapterhub_lite.methods.config import MethodConfig

    config = getattr(method, "Config", None)
    if not (isinstance(config, type) and issubclass(config, MethodConfig)):
        return "has no `Config` that is a `MethodConfig`"
    if "__annotations__" in vars(config) and "__dataclass_fields__" not in vars(config):
        return f"has a config `{config.__name__}` that is not marked with `@dataclass(frozen=True)`"
    if method.averages not in MEANS:
        return f"has `averages` {method.averages!r}; it is one of {', '.join(map(repr, MEANS))}"
    config.describe()
    json.dumps(config().to_mapping())
    return None


def _family_fault(family: Any) -> str | None:
    """Return what is wrong with a row: parts that no method could name."""
    from adapterhub_lite import families

    rows = {
        "parts": (family.parts, families.LINEAR_PARTS),
        "blocks": (family.blocks, families.BLOCK_PARTS),
        "norms": (family.norms, families.NORM_PARTS),
        "fused": (family.fused, tuple(family.parts)),
        "outside": (family.outside, (*families.LOOKUP_PARTS, *families.OUTER_NORM_PARTS)),
    }
    for field, (values, allowed) in rows.items():
        unknown = sorted(set(values) - set(allowed))
        if unknown:
            return f"has `{unknown[0]}` in `{field}`: {near(unknown[0], allowed)}"
    paths = {"layers": family.layers, "attention": family.attention, "output": family.output}
    empty = [field for field, path in paths.items() if not isinstance(path, str) or not path]
    return f"has no path for `{empty[0]}`" if empty else None


def _strategy_fault(strategy: Any) -> str | None:
    """Return what is wrong with a strategy: what the resolver reads before it proposes."""
    from adapterhub_lite.resolver.request import POLICIES

    if not isinstance(getattr(strategy, "claim", None), str):
        return "has no `claim`: what it puts together, as the end of a sentence"
    ranks = [strategy.rank, *(strategy.rank_under(policy) for policy in POLICIES)]
    odd = [rank for rank in ranks if isinstance(rank, bool) or not isinstance(rank, (int, float))]
    return f"has a `rank` that is no number: {odd[0]!r}" if odd else None


def _converter_fault(converter: Any) -> str | None:
    """Return what is wrong with a converter: names that formats look it up by."""
    fields = ("name", "format", "method")
    empty = [field for field in fields if not isinstance(getattr(converter, field, None), str)]
    return f"has no `{empty[0]}`" if empty else None


def _command_fault(command: Any) -> str | None:
    """Return what is wrong with a command: its help is made, as `ahl --help` makes it."""
    import click

    context = click.Context(command, info_name=command.name)
    command.get_short_help_str()
    command.get_help(context)
    return None


OFFERS = {
    offer.hook: offer
    for offer in (
        Offer("ahl_methods", "method", "adapterhub_lite.methods.base:Method", fault=_method_fault),
        Offer(
            "ahl_families",
            "family",
            "adapterhub_lite.families:Family",
            lambda family: tuple(family.model_types),
            _family_fault,
        ),
        Offer("ahl_tasks", "task type", "adapterhub_lite.tasks.base:TaskType"),
        Offer(
            "ahl_strategies",
            "strategy",
            "adapterhub_lite.resolver.strategies:Strategy",
            fault=_strategy_fault,
        ),
        Offer(
            "ahl_converters",
            "converter",
            "adapterhub_lite.exchange.converter:Converter",
            fault=_converter_fault,
        ),
        Offer("ahl_commands", "command", "click:Command", fault=_command_fault),
    )
}
"""The hooks, in the order in which `ahl plugins` calls them."""


def checked(offer: Offer, answer: Any, *, trusted: bool = False) -> tuple[list[Any], list[str]]:
    """Return the items of a hook's answer that fit, and what is wrong with the others.

    What comes with the package (`trusted`) is not exercised: its own tests do that, and every
    start would pay for it.
    """
    if answer is None:
        return [], [f"{offer.hook} returned nothing; return a list"]
    wanted = _class(offer.type)
    if isinstance(answer, (wanted, type, str)) or not hasattr(answer, "__iter__"):
        return [], [f"{offer.hook} returned {_called(answer)}; return a list: `[...]`"]
    items = list(answer)
    faults = {
        number: _fault(offer, wanted, item, trusted=trusted) for number, item in enumerate(items)
    }
    good = [item for number, item in enumerate(items) if faults[number] is None]
    return good, [f"{offer.hook}: {fault}" for fault in faults.values() if fault]


def _fault(offer: Offer, wanted: type, item: Any, *, trusted: bool) -> str | None:
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
    if trusted:
        return None
    try:
        fault = offer.fault(item)
    except HARMLESS as error:
        fault = f"(`{names[0]}`) cannot be used: {in_words(error)}"
    return None if fault is None else f"{_called(item)} {fault}"


def in_words(error: BaseException) -> str:
    """Return what a plugin raised, in one line."""
    message = error.message if isinstance(error, AhlError) else f"{type(error).__name__}: {error}"
    return " ".join(message.split())


def _called(item: Any) -> str:
    return f"`{item.__name__}`" if isinstance(item, type) else f"a `{type(item).__name__}`"


def _class(spelt: str) -> type:
    module, _, name = spelt.partition(":")
    found: type = getattr(import_module(module), name)
    return found
