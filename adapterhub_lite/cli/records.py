"""Commands about single adapters in a registry: `add`, `list`, `show`, `remove`, `alias`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapterhub_lite.cli.bases import add_base, list_bases
from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.cli.languages import LANGUAGE
from adapterhub_lite.cli.modes import Mode, Modes
from adapterhub_lite.cli.output import echo, facts, print_json, table
from adapterhub_lite.errors import UsageError, close, near
from adapterhub_lite.foreign.text import command as shell

if TYPE_CHECKING:
    from adapterhub_lite.adapter import Adapter, Manifest, Underneath

KINDS = ("language", "bilingual", "task", "domain")


LIST_MODES = Modes(
    (
        Mode("", uses=("kind", "lang", "task", "base", "method", "remote", "limit")),
        Mode("--bases", when=("bases",)),
    )
)
ADD_MODES = Modes(
    (
        Mode("FOLDER --name NAME", uses=("aliases",)),
        Mode("REPO --hub --name NAME", when=("hub",)),
    ),
    always=("folder", "name", "trust_remote_code"),
)


def summary(adapter: Adapter) -> dict[str, Any]:
    """Return what `list --json` prints of an adapter."""
    manifest = adapter.manifest
    return {
        "name": adapter.name,
        "ref": adapter.ref,
        "digest": adapter.digest,
        "aliases": list(adapter.aliases),
        "kind": manifest.kind.value,
        "languages": [{"tag": use.tag, "role": use.role.value} for use in manifest.languages],
        "task": manifest.task,
        "dataset": manifest.dataset,
        "method": manifest.method,
        "base": manifest.base.name,
        "remote": adapter.remote,
        "hub_id": manifest.source.hub_id if manifest.source else None,
        "status": manifest.source.status if manifest.source else None,
        "added": adapter.added.isoformat(),
    }


def _changed(adapter: Adapter, words: str) -> None:
    run = settings()
    if run.json:
        print_json(summary(adapter))
    else:
        echo(adapter.ref)
    run.say(words)


@command(
    "add",
    modes=ADD_MODES,
    examples=(
        "ahl add trained/gv-wiki --name gv-wiki --alias gv",
        "ahl add bases/e5-mmt-6 --name e5-mmt-6",
        "ahl add facebook/xmod-base --hub --name xmod-base",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name in this registry.")
@click.option("--alias", "aliases", multiple=True, help="Another name; may be repeated.")
@click.option("--hub", is_flag=True, help="FOLDER is the Hub id of a base model.")
@click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Let Python code that comes with a base model run, now and whenever it is loaded.",
)
def add(
    folder: Path, name: str, aliases: tuple[str, ...], hub: bool, trust_remote_code: bool
) -> None:
    """Add an adapter from a FOLDER, or a base model.

    An adapter's folder holds `adapter.json` and `weights.safetensors`. The folder of a base model
    holds `config.json` and weights; it stays where it is, and the registry remembers the place.
    Language modules that are built into a base (X-MOD) become adapters, `NAME-sw` and so on.

    The digests of a base's weights, tokenizer and config are recorded, and compared whenever it is
    loaded. A base that needs Python code of its own is refused; `--trust-remote-code` lets that
    code run, records its digest too, and a change of it is refused.
    """
    home = settings().open_home()
    if hub or (not (folder / "adapter.json").exists() and (folder / "config.json").exists()):
        place = folder.as_posix() if hub else folder
        add_base(home, place, name, aliases, trust_remote_code=trust_remote_code)
        return
    if trust_remote_code:
        raise UsageError(
            "--trust-remote-code is for base models, and nothing that comes with an adapter runs"
        )
    adapter = home.add(folder, name=name, aliases=aliases)
    _changed(adapter, f"added {adapter.manifest.kind} adapter `{name}`")


@command(
    "list",
    modes=LIST_MODES,
    brief=True,
    examples=(
        "ahl list",
        "ahl list --kind language --lang gv",
        "ahl list --lang sw --remote",
        "ahl list --task pos --base e5-mmt-6 --json",
        "ahl list --bases",
    ),
)
@click.option("--kind", type=click.Choice(KINDS), help="What they are for.")
@click.option("--lang", type=LANGUAGE, help="Language: tag (BCP 47) or name.")
@click.option("--task", metavar="NAME", help="Task.")
@click.option("--base", metavar="NAME", help="Base model.")
@click.option("--method", metavar="NAME", help="Method (`ahl methods` lists them).")
@click.option("--remote/--local", default=None, help="Known but not on disk, or on disk.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@click.option("--bases", is_flag=True, help="List base models instead.")
def list_(
    kind: str | None,
    lang: str | None,
    task: str | None,
    base: str | None,
    method: str | None,
    remote: bool | None,
    limit: int | None,
    bases: bool,
) -> None:
    """List adapters, by name."""
    from adapterhub_lite.adapter import Kind

    run = settings()
    if bases:
        list_bases(run.open_home())
        return
    found = run.open_home().registry.find(
        kind=Kind(kind) if kind else None,
        language=lang,
        task=task,
        base_name=base,
        method=method,
        remote=remote,
        limit=limit,
    )
    if not found:
        _say_near({"task": task, "method": method, "base": base})
    if run.json:
        print_json([summary(adapter) for adapter in found])
        return
    table(
        ("ref", "kind", "languages", "task", "method", "base", "where"),
        map(row, found),
        prose=("languages",),
    )
    run.say(f"{len(found)} adapter{'s' * (len(found) != 1)}")
    if not found and lang and task:
        _say_what_resolves(lang, task, base)


def _say_near(filters: dict[str, str | None]) -> None:
    """Say which values a filter that nothing has may have been meant for."""
    run = settings()
    adapters = run.open_home().registry.find()
    for name, value in filters.items():
        known = {_field(adapter.manifest, name) for adapter in adapters} - {""}
        if value is not None and value not in known and close(value, known):
            run.say(f"no adapter has {name} `{value}`: {near(value, known)}")


def _field(manifest: Manifest, name: str) -> str:
    fields = {"task": manifest.task or "", "method": manifest.method, "base": manifest.base.name}
    return fields[name]


def _say_what_resolves(lang: str, task: str, base: str | None) -> None:
    """Point from an empty list to the resolver: labels mostly are in another language."""
    run = settings()
    registry = run.open_home().registry
    others = registry.find(kind="task", task=task, base_name=base)
    tags = sorted({tag for adapter in others for tag in adapter.manifest.tags()} - {"mul"})
    if tags:
        source = "en" if "en" in tags else tags[0]
        words = ("ahl", "resolve", source, lang, "--task", task)
        resolve = shell(*words, *(("--base", base) if base else ()))
        run.say(
            f"no adapter for task {task} has labels in {lang}; there are such in "
            f"{', '.join(tags)}: {resolve} says which adapters make one of them work there"
        )


def row(adapter: Adapter) -> tuple[str, ...]:
    """Return the cells of an adapter in a list."""
    manifest = adapter.manifest
    return (
        adapter.ref,
        manifest.kind.value,
        " ".join(manifest.tags()),
        manifest.task or "-",
        manifest.method,
        manifest.base.name,
        _where(adapter),
    )


def _where(adapter: Adapter) -> str:
    source = adapter.manifest.source
    if adapter.manifest.built_in:
        return "in the base"
    if not adapter.remote:
        return "here"
    return f"remote, {source.status}" if source and source.status else "remote"


@command("show", brief=True, examples=("ahl show gv-wiki", "ahl show gv-wiki --json"))
@click.argument("ref")
def show(ref: str) -> None:
    """Show all that is recorded of one adapter.

    REF is a name, an alias, a digest or its first letters, or `name@digest`.
    """
    from adapterhub_lite import manifest as manifests

    run = settings()
    adapter = run.open_home().registry.get(ref)
    if run.json:
        values = summary(adapter) | {"manifest": manifests.to_json(adapter.manifest)}
        print_json(values)
        return
    facts(_facts(adapter))


def _facts(adapter: Adapter) -> list[tuple[str, str]]:
    m = adapter.manifest
    base = f"{m.base.name} ({m.base.layers} layers × {m.base.hidden_size})"
    uses = (f"{use.tag} ({use.role.value})" for use in m.languages)
    weights = f"{m.weights.size / 1e6:.2f} MB" if m.weights else ""
    weights = "part of the base" if m.built_in else weights
    return [
        ("name", adapter.name),
        ("aliases", " ".join(adapter.aliases)),
        ("digest", adapter.digest),
        ("kind", m.kind.value),
        ("languages", ", ".join(uses)),
        ("task", m.task or ""),
        ("dataset", m.dataset or ""),
        ("labels", " ".join(m.head.labels) if m.head else ""),
        ("base", base),
        ("method", f"{m.method} (plugin {m.provider.plugin} {m.provider.version})"),
        ("config", " ".join(f"{key}={value}" for key, value in m.config.items())),
        ("left out", " ".join(map(str, m.leave_out))),
        ("trained over", "; ".join(map(_under, m.trained_over))),
        ("seen", "; ".join(map(_under, m.seen))),
        ("merged from", " ".join(f"{p.weight:g}*{p.digest[:12]}" for p in m.parents)),
        *_training(adapter),
        ("licence", m.licence or ""),
        ("authors", ", ".join(m.authors)),
        *_source(adapter),
        ("weights", weights),
        ("added", f"{adapter.added:%Y-%m-%d %H:%M}"),
    ]


def _source(adapter: Adapter) -> list[tuple[str, str]]:
    source = adapter.manifest.source
    if source is None:
        return [("weights", "remote")] if adapter.remote else []
    size = f"{source.weights.size / 1e6:.3g} MB" if source.weights else "size not known"
    return [
        ("source", " ".join(filter(None, (source.hub_id, source.revision)))),
        ("layout there", source.format),
        ("status", source.status or ""),
        ("not known before a pull", ", ".join(source.unknown)),
        ("inferred, not stated", ", ".join(source.inferred)),
        ("weights", f"remote, {size}" if adapter.remote else ""),
    ]


def _training(adapter: Adapter) -> list[tuple[str, str]]:
    training = adapter.manifest.training
    if training is None:
        return []
    corpora = (f"{c.name} ({c.examples} examples)" for c in training.corpora)
    size = f"{training.steps} steps, {training.tokens} tokens, seed {training.seed}"
    return [("trained on", ", ".join(corpora)), ("training", f"{training.objective}: {size}")]


def _under(adapter: Underneath) -> str:
    tags = "-".join(use.tag for use in adapter.languages)
    which = adapter.digest[:12] or adapter.source or "unknown"
    return f"{adapter.kind.value} {tags} ({which})"


@command("remove", examples=("ahl remove gv-wiki@3f2a9c", "ahl remove en-wiki --force"))
@click.argument("ref")
@click.option("--force", is_flag=True, help="Also if other adapters were trained over it.")
def remove(ref: str, force: bool) -> None:
    """Remove one adapter and all its names."""
    adapter = settings().open_home().registry.remove(ref, force=force)
    _changed(adapter, f"removed `{adapter.name}`; `ahl gc` frees the disk")


@command("alias", examples=("ahl alias manx gv-wiki", "ahl alias manx gv-wiki@3f2a9c"))
@click.argument("alias")
@click.argument("ref")
def alias(alias: str, ref: str) -> None:
    """Let ALIAS mean REF; an alias that is taken moves."""
    adapter = settings().open_home().registry.alias(alias, ref)
    _changed(adapter, f"`{alias}` is {adapter.ref}")


COMMANDS = (add, list_, show, remove, alias)
