"""The command `lang`, and how the other commands read a language: as a tag or by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import echo, print_json, table
from adapterhub_lite.cli.output import facts as print_facts

if TYPE_CHECKING:
    from adapterhub_lite.relatedness import Relatedness

    _Parameter = click.ParamType[str]
else:
    _Parameter = click.ParamType  # older click has it without a type argument

NEAREST = 10
ALL = 10**9
"""More adapters than any registry has."""


class Language(_Parameter):
    """A language tag, or the English name of a language; becomes its normal tag."""

    name = "language"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002  # click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str:
        """Return the normal tag, or say which languages may have been meant."""
        return read(str(value))


LANGUAGE = Language()


def read(text: str) -> str:
    """Return the normal tag of a tag or name."""
    from adapterhub_lite import languages

    return languages.understand(text)


MODES = Modes(
    (
        Mode("LANGUAGE", uses=("limit",)),
        Mode("LANGUAGE --to LANGUAGE", when=("others",)),
        Mode("LANGUAGE --task TASK", uses=("limit",), when=("task",)),
    ),
    always=("language", "base"),
)


@command(
    "lang",
    modes=MODES,
    examples=(
        "ahl lang sw",
        "ahl lang Swahili --base xlm-roberta-base",
        "ahl lang gv --to en --to cy",
        "ahl lang sr-Latn --json",
    ),
)
@click.argument("language", type=LANGUAGE)
@click.option("--base", metavar="NAME", help="Only adapters on this base.")
@click.option("--to", "others", multiple=True, type=LANGUAGE, help="Compare with this language.")
@click.option("--task", metavar="NAME", help="Rank the languages with labels for it.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=NEAREST,
    show_default=True,
    help="Languages to list.",
)
def lang(
    language: str, base: str | None, others: tuple[str, ...], task: str | None, limit: int
) -> None:
    """Show facts about a language, and relatives with adapters.

    LANGUAGE is a tag (BCP 47) or a name. Related languages are those of this registry's language
    adapters, the nearest first, with the terms of the score (`docs/languages.md`). With `--to`, the
    languages named instead. With `--task`, the languages of its labels, and how well they did on
    other targets: the most promising first.
    """
    from adapterhub_lite.relatedness import nearest

    known = _known(language)
    if task is not None:
        _sources(language, known, task, base, limit)
        return
    there = others or _with_adapters(base)
    near = nearest(language, [tag for tag in there if tag != language])
    shown = near if others else [r for r in near if r.related][:limit]
    if settings().json:
        rows = [r.to_json() | {"adapters": _count(r.tag, base)._asdict()} for r in shown]
        counts = _count(language, base)._asdict()
        print_json(known | {"adapters": counts, "nearest": rows})
        return
    print_facts(_lines(known, _count(language, base)))
    _print_nearest(language, shown, base, searched=not others)


def _sources(tag: str, known: dict[str, Any], task: str, base: str | None, limit: int) -> None:
    """Print the languages of a task's labels, ranked."""
    from adapterhub_lite import languages
    from adapterhub_lite.adapter import Kind
    from adapterhub_lite.resolver.sources import rank_sources, recorded_sources

    registry = settings().open_home().registry
    adapters = registry.find(kind=Kind.TASK, task=task, base_name=base)
    labelled = {own for adapter in adapters for own in adapter.manifest.tags()}
    every = labelled | recorded_sources(tag, task=task, registry=registry)
    ranked = rank_sources(tag, every - {tag, languages.MULTIPLE}, task=task, registry=registry)[
        :limit
    ]
    if settings().json:
        rows = [
            {**r.relatedness.to_json(), "recorded": r.recorded, "labels": r.tag in labelled}
            for r in ranked
        ]
        print_json(known | {"task": task, "sources": rows})
        return
    head = ("source", "name", "score", "by relatedness", "record", "by record", "adapters")
    table(
        head,
        (
            (
                r.tag,
                languages.name(r.tag),
                f"{r.relatedness.score:.2f}",
                str(r.place + 1),
                "-" if r.recorded is None else f"{r.recorded:+.2f}",
                "-" if r.record_place is None else f"{r.record_place + 1:.0f}",
                "yes" if r.tag in labelled else "no",
            )
            for r in ranked
        ),
    )
    settings().say(
        f"languages of labels for {task}, the most promising for `{tag}` first; record: standard "
        "deviations above other sources, on other targets"
    )


def _known(tag: str) -> dict[str, Any]:
    from adapterhub_lite import facts, languages

    found = facts.about(tag)
    return {
        "tag": tag,
        "name": languages.name(tag),
        "other_names": list(facts.names().get(tag.partition("-")[0], ())[1:]),
        "iso639_3": found.code if found else None,
        "glottocode": found.glottocode if found else None,
        "macrolanguage": found.macro if found else None,
        "families": list(found.families) if found else [],
        "isolate": bool(found) and not found.families if found else None,
        "latitude": found.place[0] if found and found.place else None,
        "longitude": found.place[1] if found and found.place else None,
        "scripts": list(facts.scripts(tag)),
    }


def _with_adapters(base: str | None) -> list[str]:
    from adapterhub_lite.adapter import Kind

    registry = settings().open_home().registry
    if base is None:
        return registry.tags(Kind.LANGUAGE)
    return registry.tags_if_few(Kind.LANGUAGE, registry.base(base).identity, ALL) or []


class _Count(NamedTuple):
    """How many language adapters there are, by where their weights are."""

    here: int
    remote: int

    def words(self) -> str:
        """Return both numbers in words; one that is 0 is left out if the other is not."""
        counts = ((self.here, "here"), (self.remote, "remote"))
        return ", ".join(f"{n} {where}" for n, where in counts if n) or "none"


def _count(tag: str, base: str | None) -> _Count:
    from adapterhub_lite.adapter import Kind

    registry = settings().open_home().registry
    adapters = registry.find(kind=Kind.LANGUAGE, language=tag, base_name=base)
    remote = sum(adapter.remote and not adapter.manifest.built_in for adapter in adapters)
    return _Count(len(adapters) - remote, remote)


def _lines(known: dict[str, Any], count: _Count) -> list[tuple[str, str]]:
    place = known["latitude"], known["longitude"]
    family = " > ".join(known["families"]) or ("none: an isolate" if known["isolate"] else "")
    return [
        ("tag", known["tag"]),
        ("name", known["name"]),
        ("also", ", ".join(known["other_names"])),
        ("codes", " ".join(filter(None, (known["iso639_3"], known["glottocode"])))),
        ("part of", f"macrolanguage `{known['macrolanguage']}`" if known["macrolanguage"] else ""),
        ("family", family or "nothing is known of it"),
        ("place", f"{place[0]:.2f}, {place[1]:.2f}" if place[0] is not None else ""),
        ("scripts", " ".join(known["scripts"])),
        ("language adapters", count.words()),
    ]


def _print_nearest(
    tag: str, related: list[Relatedness], base: str | None, *, searched: bool
) -> None:
    from adapterhub_lite import languages

    run = settings()
    if not related:
        run.say(f"no relative of `{tag}` has a language adapter, here or remote")
        return
    echo()
    head = ("language", "name", "score", "genealogy", "km", "script", "typology", "level")
    rows = ((*_row(r, languages.name(r.tag)), _count(r.tag, base).words()) for r in related)
    table((*head, "adapters"), rows, prose=("name", "adapters"))
    if searched:
        run.say("related languages with a language adapter, the nearest first")


def _row(related: Relatedness, name: str) -> tuple[str, ...]:
    script = "-" if related.script is None else ("same" if related.script else "other")
    return (
        related.tag,
        name,
        f"{related.score:.2f}",
        f"{related.genealogy:.2f}",
        "-" if related.km is None else f"{related.km:,.0f}",
        script,
        "-" if related.typology is None else f"{related.typology:.2f}",
        related.level.name.lower(),
    )


COMMANDS = (lang,)
