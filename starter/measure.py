"""Measure the starter adapters: dev scores into the registry, test tables into docs/.

    python starter/measure.py --data DATA --home HOME --out docs/starter

Scores on development data are recorded, and steer the resolver from then on; scores on test data go
into the tables and are not recorded.  For languages whose treebank has no development data (Manx,
Faroese) no score is recorded, so there the resolver goes by its assumptions.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping
from pathlib import Path

import nametype
import recipe
from adapterhub_lite import languages
from adapterhub_lite.errors import LanguageTagError
from adapterhub_lite.evaluation import Cell, Table, evaluate_table, picture
from adapterhub_lite.evaluation.measure import Tuned
from adapterhub_lite.training import train_full
from train import Maker, open_home

LIMIT = 400
DEV_LIMIT = 300


def full_models(maker: Maker, task: str) -> list[Tuned]:
    """Return fully fine-tuned copies of the base, one a seed."""
    return [
        train_full(
            task,
            train=maker.train_file(task),
            source="en",
            task_type=recipe.TASKS[task],
            base=maker.base,
            home=maker.home,
            settings=recipe.FULL,
            seed=seed,
            name=f"full-{task}-{seed}",
        )
        for seed in recipe.SEEDS
    ]


def pos_files(maker: Maker, split: str) -> dict[str, Path]:
    """Return the tagged files of one split that there are."""
    named = {tag: maker.data / "pos" / tag / f"{split}.tsv.gz" for tag in recipe.LANGUAGES}
    return {tag: path for tag, path in named.items() if path.exists()}


def name_files(maker: Maker, split: str) -> dict[str, Path]:
    """Return the names of every locale, halved into development and test; English kept-out ones."""
    files = {}
    for tag in ["en", *filter(is_registered, nametype.locales())]:
        pairs = nametype.split("en")[1] if tag == "en" else nametype.unseen(tag)
        random.Random(0).shuffle(pairs)  # so that the first few hundred are a sample
        half = pairs[1::2] if split == "dev" else pairs[::2]
        path = maker.work / "nametype" / f"{tag}-{split}.jsonl"
        files[tag.replace("_", "-")] = nametype.write(half, path)
    return files


def is_registered(locale: str) -> bool:
    """Whether langcodes knows a locale's language; CLDR is ahead of it by one (Toki Pona)."""
    try:
        languages.normalise(locale)
    except LanguageTagError:
        return False
    return True


def with_adapters(files: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files of the languages that have an adapter of their own."""
    return {tag: path for tag, path in files.items() if tag in recipe.LANGUAGES}


def table(maker: Maker, task: str, files: Mapping[str, Path], **settings: object) -> Table:
    """Score everything there is for a task on every file."""
    return evaluate_table(
        task,
        files,
        source="en",
        base=maker.base,
        home=maker.home,
        progress=lambda line: print(line, flush=True),
        **settings,  # type: ignore[arg-type]  # names and types are those of `evaluate_table`
    )


def markdown(made: Table) -> str:
    """Return a table as Markdown: mean over seeds and their standard deviation, in per cent."""
    head = ["target", "n", *made.strategies]
    rows = [head, ["---"] * len(head)]
    for target in made.targets:
        cells = [made.cell(target, strategy) for strategy in made.strategies]
        count = next(cell.n for cell in cells if cell is not None)
        rows.append([target, str(count), *map(_shown, cells)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    spread = "" if cell.spread is None else f" ± {100 * cell.spread:.1f}"
    return f"{100 * cell.mean:.1f}{spread}"


def main() -> None:
    """Measure both tasks and write tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "home", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--only", default="", help="part of a table's name")
    arguments = parser.parse_args()
    maker = Maker(arguments.data, *open_home(arguments.home))
    arguments.out.mkdir(parents=True, exist_ok=True)

    def keep(name: str, made: Table, *, draw: bool = True) -> None:
        (arguments.out / f"{name}.json").write_text(json.dumps(made.to_json(), indent=1) + "\n")
        (arguments.out / f"{name}.md").write_text(markdown(made))
        if draw:
            picture(made, arguments.out / f"{name}.svg")

    for task, files in (("pos", pos_files), ("nametype", name_files)):
        dev, test = files(maker, "dev"), files(maker, "test")
        if arguments.only in f"{task}-dev":
            own = with_adapters(dev)
            table(maker, task, own, split="dev", limit=DEV_LIMIT, dataset=task)
        if arguments.only in f"{task}-test":
            full = full_models(maker, task)
            own = with_adapters(test) if task == "nametype" else test
            made = table(maker, task, own, full=full, limit=LIMIT, record=False)
            keep(f"{task}-test", made)
        if task == "nametype" and arguments.only in "nametype-all":
            names = ("no-language-adapter", "source-kept")
            made = table(maker, task, test, strategies=names, record=False)
            keep("nametype-all", made, draw=False)  # some 150 rows


if __name__ == "__main__":
    main()
