"""Options that say of an adapter what another library's files do not; `import` and `pull` share."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from adapterhub_lite import languages
from adapterhub_lite.adapter import Kind, LanguageUse, Role
from adapterhub_lite.cli.records import KINDS

if TYPE_CHECKING:
    from adapterhub_lite.exchange import Details

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--kind", type=click.Choice(KINDS), help="What the adapter is for."),
    click.option("--lang", help="Language of a language adapter."),
    click.option("--source", "sources", multiple=True, help="Language of the labels; repeatable."),
    click.option("--target", help="Target of a bilingual adapter."),
    click.option("--task", help="Task of a task adapter."),
    click.option("--dataset", help="Data set that it was trained on."),
    click.option("--over", multiple=True, help="Ref of an adapter underneath, bottom first."),
    click.option("--seen", multiple=True, help="Ref of an adapter that training cycled through."),
    click.option("--labels", help="Labels of the head, in order, with commas between."),
    click.option("--task-type", help="Task type of the head, where the files do not say."),
    click.option("--licence", help="Licence of the weights."),
)


def detail_options(function: F) -> F:
    """Add the options to a command, which gets them by keyword for `details_of`."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), function)


def details_of(
    *,
    kind: str | None,
    lang: str | None,
    sources: tuple[str, ...],
    target: str | None,
    labels: str | None,
    **said: Any,
) -> Details:
    """Return what the options say."""
    from adapterhub_lite.exchange import Details

    return Details(
        kind=Kind(kind) if kind else None,
        languages=_language_uses(lang, sources, target),
        labels=tuple(labels.split(",")) if labels else (),
        **said,
    )


def _language_uses(
    lang: str | None, sources: tuple[str, ...], target: str | None
) -> tuple[LanguageUse, ...]:
    named = [(lang, Role.LANGUAGE), *((s, Role.SOURCE) for s in sources), (target, Role.TARGET)]
    return tuple(LanguageUse(languages.normalise(tag), role) for tag, role in named if tag)
