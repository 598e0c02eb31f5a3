"""Commands that take adapters from and to other libraries: `import`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from adapterhub_lite.cli.command import command, settings
from adapterhub_lite.cli.details import detail_options, details_of
from adapterhub_lite.cli.output import echo, print_json
from adapterhub_lite.cli.records import summary


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
@detail_options
@click.option("--without-head", is_flag=True, help="Leave the folder's head behind.")
@click.option("--base", help="Base model, where the files name none or a path.")
@click.option("--allow-pickle", is_flag=True, help="Read old `.bin` weights (restricted loader).")
def import_(
    folder: Path,
    name: str,
    aliases: tuple[str, ...],
    without_head: bool,
    base: str | None,
    allow_pickle: bool,
    **said: Any,
) -> None:
    """Import an adapter of another library from FOLDER.

    The format is found by itself. What the folder does not say of languages, task and what the
    adapter was trained over is taken from the options; nothing is guessed. Whatever has no exact
    form here is refused by name, and nothing loads half.
    """
    from adapterhub_lite.exchange import import_folder

    run = settings()
    adapter, notes = import_folder(
        folder,
        home=run.open_home(),
        name=name,
        details=details_of(**said),
        base=base,
        allow_pickle=allow_pickle,
        with_head=not without_head,
        aliases=aliases,
    )
    if run.json:
        print_json({**summary(adapter), "notes": notes})
    else:
        echo(adapter.ref)
    run.say(f"imported {adapter.manifest.kind} adapter `{name}`")
    for note in notes:
        run.say(f"note: {note}")


@command(
    "export",
    examples=(
        "ahl export sw-wiki exported/sw-wiki --to adapterhub",
        "ahl export ner-en exported/ner-en --to peft",
        "ahl export sw-wiki exported/sw-wiki --to adapterhub --without-head",
    ),
)
@click.argument("ref")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", required=True, help="Format that is written: peft, adapterhub or lt-sft.")
@click.option("--without-head", is_flag=True, help="Write the adapter alone.")
def export_(ref: str, folder: Path, to: str, without_head: bool) -> None:
    """Write adapter REF to FOLDER for another library.

    That library's own loader takes the folder as it stands. A head that it cannot hold is refused;
    `--without-head` leaves it out. A language adapter has one too: the bias over the vocabulary
    that `ahl train language` adds unless told not to (`--setting output_bias=false`).
    """
    from adapterhub_lite.exchange import export

    run = settings()
    exported = export(ref, folder, home=run.open_home(), to=to, with_head=not without_head)
    if run.json:
        print_json(exported)
    else:
        for file in exported.files:
            echo(file)
    for note in exported.notes:
        run.say(f"note: {note}")


COMMANDS = (import_, export_)
