"""Commands that take adapters from and to other libraries: `import`, `export`."""

from __future__ import annotations

from pathlib import Path

import click

from adapterhub_lite import languages
from adapterhub_lite.adapter import Kind, LanguageUse, Role
from adapterhub_lite.cli.command import command, settings, to_json
from adapterhub_lite.cli.records import KINDS, summary


def language_uses(
    lang: str | None, sources: tuple[str, ...], target: str | None
) -> tuple[LanguageUse, ...]:
    """Return the languages that the options `--lang --source --target` name."""
    named = [(lang, Role.LANGUAGE), *((s, Role.SOURCE) for s in sources), (target, Role.TARGET)]
    return tuple(LanguageUse(languages.normalise(tag), role) for tag, role in named if tag)


@command(
    "import",
    examples=(
        "ahl import downloads/sw-wiki --name sw-wiki --kind language --lang sw",
        "ahl import runs/ner-lora --name ner-en --kind task --task ner --source en",
        "ahl import old/tr-wiki --name tr-wiki --kind language --lang tr --allow-pickle",
    ),
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name in this registry.")
@click.option("--alias", "aliases", multiple=True, help="Another name; may be repeated.")
@click.option("--kind", type=click.Choice(KINDS), help="What the adapter is for.")
@click.option("--lang", help="Language of a language adapter.")
@click.option("--source", "sources", multiple=True, help="Language of the labels; repeatable.")
@click.option("--target", help="Target of a bilingual adapter.")
@click.option("--task", help="Task of a task adapter.")
@click.option("--dataset", help="Data set that it was trained on.")
@click.option("--over", multiple=True, help="Ref of an adapter underneath, bottom first.")
@click.option("--seen", multiple=True, help="Ref of an adapter that training cycled through.")
@click.option("--labels", help="Labels of the head, in order, with commas between.")
@click.option("--task-type", help="Task type of the head, where the files do not say.")
@click.option("--without-head", is_flag=True, help="Leave the folder's head behind.")
@click.option("--base", help="Base model, where the files name none or a path.")
@click.option("--licence", help="Licence of the weights.")
@click.option("--allow-pickle", is_flag=True, help="Read old `.bin` weights (restricted loader).")
def import_(
    folder: Path,
    name: str,
    aliases: tuple[str, ...],
    kind: str | None,
    lang: str | None,
    sources: tuple[str, ...],
    target: str | None,
    task: str | None,
    dataset: str | None,
    over: tuple[str, ...],
    seen: tuple[str, ...],
    labels: str | None,
    task_type: str | None,
    without_head: bool,
    base: str | None,
    licence: str | None,
    allow_pickle: bool,
) -> None:
    """Import an adapter of another library from FOLDER.

    The format is found by itself. What the folder does not say of languages, task and what the
    adapter was trained over is taken from the options; nothing is guessed. Whatever has no exact
    form here is refused by name, and nothing loads half.
    """
    from adapterhub_lite.exchange import Details, import_folder

    run = settings()
    details = Details(
        kind=Kind(kind) if kind else None,
        languages=language_uses(lang, sources, target),
        task=task,
        dataset=dataset,
        over=over,
        seen=seen,
        labels=tuple(labels.split(",")) if labels else (),
        task_type=task_type,
        licence=licence,
    )
    adapter, notes = import_folder(
        folder,
        home=run.open_home(),
        name=name,
        details=details,
        base=base,
        allow_pickle=allow_pickle,
        with_head=not without_head,
        aliases=aliases,
    )
    click.echo(to_json({**summary(adapter), "notes": notes}) if run.json else adapter.ref)
    run.say(f"imported {adapter.manifest.kind} adapter `{name}`")
    for note in notes:
        run.say(f"note: {note}")


@command(
    "export",
    examples=(
        "ahl export sw-wiki exported/sw-wiki --to adapterhub",
        "ahl export ner-en exported/ner-en --to peft",
    ),
)
@click.argument("ref")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", required=True, help="Format that is written: peft, adapterhub or lt-sft.")
def export_(ref: str, folder: Path, to: str) -> None:
    """Write adapter REF to FOLDER for another library.

    That library's own loader takes the folder as it stands.
    """
    from adapterhub_lite.exchange import export

    run = settings()
    exported = export(ref, folder, home=run.open_home(), to=to)
    click.echo(to_json(exported) if run.json else "\n".join(exported.files))
    for note in exported.notes:
        run.say(f"note: {note}")


COMMANDS = (import_, export_)
