"""Train the starter adapters.  Resumable: what is finished is passed over.

    python starter/train.py --data DATA --home HOME            all of them
    python starter/train.py --data DATA --home HOME --only gv wo  these, by name

DATA has `text_general/LANG.txt.gz` (text), `text/LANG.{txt,refs}.gz` (verses and their references)
and `pos/LANG/{train,dev,test}.tsv.gz` (words and UPOS tags).  None of it goes into the tree.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import adapterhub_lite as ahl
import nametype
import pairs
import recipe
from adapterhub_lite.errors import RefError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Maker:
    """Where data comes from and adapters go, and the base they are trained on."""

    data: Path
    home: ahl.Home
    base: ahl.Base

    @property
    def work(self) -> Path:
        """Where data files made here go."""
        return self.home.path / "runs" / "data"

    def text(self, language: str) -> Path:
        """Return a language's text."""
        return self.data / "text_general" / f"{language}.txt.gz"

    def parallel(self, language: str) -> Path:
        """Return a language's pairs with English, made on first use."""
        path = self.work / f"en-{language}.tsv"
        if not path.exists():
            pairs.write(pairs.pairs(self.data, language, self.base), path)
        return path

    def train_file(self, task: str) -> Path:
        """Return the English training data of a task."""
        if task == "pos":
            return self.data / "pos" / "en" / "train.tsv.gz"
        return nametype.write(nametype.split("en")[0], self.work / "nametype" / "en-train.jsonl")

    def language(self, language: str) -> ahl.Adapter:
        """Train a language adapter."""
        return ahl.train_language(
            language,
            self.text(language),
            parallel=self.parallel(language),
            config=recipe.LANGUAGE_CONFIG,
            settings=recipe.LANGUAGE,
            **self._common(language),
        )

    def bilingual(self, source: str, target: str) -> ahl.Adapter:
        """Train a bilingual adapter."""
        return ahl.train_bilingual(
            source,
            target,
            text={tag: self.text(tag) for tag in (source, target)},
            parallel={tag: self.parallel(tag) for tag in (source, target)},
            config=recipe.LANGUAGE_CONFIG,
            settings=recipe.BILINGUAL,
            **self._common(f"{source}-{target}"),
        )

    def task(self, task: str, over: str | None, seed: int) -> ahl.Adapter:
        """Train a task adapter on English labels over an adapter, or over nothing."""
        return ahl.train_task(
            task,
            train=self.train_file(task),
            source="en",
            over=over,
            task_type=recipe.TASKS[task],
            dataset="ewt" if task == "pos" else "cldr",
            config=recipe.TASK_CONFIG,
            method="bottleneck",
            settings=recipe.TASK,
            seed=seed,
            **self._common(task_name(task, over, seed)),
        )

    def _common(self, name: str) -> dict[str, Any]:
        return {"base": self.base, "home": self.home, "name": name, "licence": recipe.LICENCE}

    def jobs(self) -> Iterator[tuple[str, Callable[[], ahl.Adapter]]]:
        """Yield names and trainings, in an order in which each finds what it needs."""
        for language in recipe.LANGUAGES:
            yield language, partial(self.language, language)
        for source, target in recipe.PAIRS:
            yield f"{source}-{target}", partial(self.bilingual, source, target)
        for seed in recipe.SEEDS:
            for task in recipe.TASKS:
                for over in recipe.OVER[task]:
                    yield task_name(task, over, seed), partial(self.task, task, over, seed)


def task_name(task: str, over: str | None, seed: int) -> str:
    """Return a task adapter's name: `pos-en`, `pos-en-gv`, `pos-bare`, with the seed if not 0."""
    return f"{task}-{over or 'bare'}" + (f"-seed{seed}" if seed else "")


def open_home(path: Path) -> tuple[ahl.Home, ahl.Base]:
    """Return a home that knows the base (made if it is not there), and the base."""
    home = ahl.Home.init(path)
    place = Path("bases") / recipe.BASE
    if not (path / place).exists():
        shutil.copytree(ROOT / place, path / place)
    base = ahl.load_base(path / place)
    try:
        home.registry.base(recipe.BASE)
    except RefError:
        home.registry.add_base(base.identity, place.as_posix())
    return home, base


def main() -> None:
    """Train what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="train these and no others")
    arguments = parser.parse_args()
    home, base = open_home(arguments.home)
    for name, job in Maker(arguments.data, home, base).jobs():
        if not arguments.only or name in arguments.only:
            print(job().ref, flush=True)


if __name__ == "__main__":
    main()
