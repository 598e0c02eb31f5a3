"""Commands that can be called in several ways: which options go with which way, declared once.

An option that the chosen mode does not use is refused.  Nobody finds out from a wrong result that
`--file` was dropped.  The declaration is checked before the command's function runs, so the
function may rely on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from click.core import ParameterSource

from adapterhub_lite.errors import UsageError


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to call a command.

    Args:
        usage: what is typed after the command's name, for hints.
        uses: names of the parameters that this mode uses, besides those of `when` and `needs`.
        when: parameters that choose this mode if all of them are given.
        needs: parameters that must be given in this mode.
        chosen: chooses this mode from the values instead, for modes that arguments tell apart.
        label: how messages call a mode that is `chosen`.
    """

    usage: str
    uses: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    chosen: Callable[[Mapping[str, Any]], bool] | None = None
    label: str = ""

    @property
    def parameters(self) -> frozenset[str]:
        """The names of all parameters that this mode uses."""
        return frozenset((*self.uses, *self.when, *self.needs))

    def is_chosen(self, typed: frozenset[str], values: Mapping[str, Any]) -> bool:
        """Whether the call is one of this mode."""
        if self.chosen is not None and not self.chosen(values):
            return False
        return typed.issuperset(self.when)


@dataclass(frozen=True, slots=True)
class Modes:
    """All modes of a command; `always` are the parameters that every mode uses.

    `only_with` maps a parameter to the one without which it would do nothing.
    """

    modes: Sequence[Mode]
    always: tuple[str, ...] = ()
    only_with: Mapping[str, str] = field(default_factory=dict)

    def check(self, context: click.Context) -> Mode:
        """Return the chosen mode.

        Raises:
            UsageError: an option was typed that the mode does not use, or one is missing.
        """
        names = _names(context)
        typed = frozenset(
            name
            for name in names
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        )
        mode = self._choose(context, typed, names)
        for name in names:
            if name in typed and name not in {*mode.parameters, *self.always}:
                raise self._surplus(name, mode, names, context)
        for name, other in self.only_with.items():
            if name in typed and other not in typed:
                raise UsageError(f"{names[name]} is used only with {names[other]}")
        for name in mode.needs:
            if context.params.get(name) in (None, (), ""):
                raise UsageError(f"missing {names[name]}", hint=_usage(context, mode))
        return mode

    def _choose(
        self, context: click.Context, typed: frozenset[str], names: Mapping[str, str]
    ) -> Mode:
        """Return the chosen mode with most conditions; two that exclude each other are refused."""
        chosen = [mode for mode in self.modes if mode.is_chosen(typed, context.params)]
        best = max(chosen, key=_conditions)
        for mode in chosen:
            if not best.parameters.issuperset(mode.when) or (
                mode.chosen is not None and best.chosen is not mode.chosen
            ):
                option, other = sorted((mode, best), key=lambda m: bool(m.label))
                raise UsageError(
                    f"{_label(option, names)} cannot be used with {_label(other, names)}",
                    hint=" or ".join(_usage(context, m) for m in (best, mode)),
                )
        return best

    def _surplus(
        self, name: str, mode: Mode, names: Mapping[str, str], context: click.Context
    ) -> UsageError:
        if mode.when or mode.chosen:
            message = f"{names[name]} cannot be used with {_label(mode, names)}"
            return UsageError(message, hint=_usage(context, mode))
        users = [other for other in self.modes if name in other.parameters]
        labels = " or ".join(_label(other, names) for other in users)
        hint = " or ".join(_usage(context, other) for other in users)
        return UsageError(f"{names[name]} is used only with {labels}", hint=hint)


def _names(context: click.Context) -> dict[str, str]:
    """Return the parameters of a command that reach its function, as messages name them."""
    parameters = (p for p in context.command.params if p.expose_value)
    return {str(p.name): _name(p, context) for p in parameters}


def _name(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, click.Option):
        return f"`{parameter.opts[-1]}`"
    values = context.params.get(str(parameter.name))
    if isinstance(values, tuple) and values:  # a metavar of several words names none of them
        return f"argument `{' '.join(values)}`"
    return parameter.make_metavar(context).strip("[].")


def _conditions(mode: Mode) -> int:
    return len(mode.when) + (mode.chosen is not None)


def _label(mode: Mode, names: Mapping[str, str]) -> str:
    return mode.label or " and ".join(names[name] for name in mode.when)


def _usage(context: click.Context, mode: Mode) -> str:
    return f"`{f'{context.command_path} {mode.usage}'.strip()}`"
