"""Train language and bilingual adapters: language modelling on text, the base frozen.

MAD-X (Pfeiffer et al. 2020) for one language; BAD-X (Parovic et al. 2022) for a pair: one adapter,
whole batches of the two languages in turn, and the checkpoint that models the target best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from adapterhub_lite import languages
from adapterhub_lite.adapter import Adapter, Kind, LanguageUse, Role
from adapterhub_lite.errors import UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.model.base import Base
from adapterhub_lite.tasks.suitability import Checks
from adapterhub_lite.training import setup
from adapterhub_lite.training.language_run import TextRun
from adapterhub_lite.training.parallel import Pairs, read_pairs
from adapterhub_lite.training.reporting import check_trackers
from adapterhub_lite.training.settings import LanguageSettings
from adapterhub_lite.training.setup import Config, Paths, Place
from adapterhub_lite.training.text import Reading, Text, read_text


def train_language(
    language: str,
    text: Paths,
    *,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    parallel: Paths | None = None,
    name: str | None = None,
    method: str | None = None,
    config: Config = None,
    leave_out: Sequence[int] | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    settings: LanguageSettings | None = None,
    licence: str | None = None,
    resume: bool = True,
    output: str | Path | None = None,
    skip_bad: bool = False,
    extract_text: bool = False,
    allow_unsuitable: bool = False,
    report_to: Sequence[str] = (),
    quiet: bool = False,
) -> Adapter:
    """Train a language adapter and add it to the home.

    Args:
        language: BCP 47 tag of the text.
        text: files of plain text, one sentence or paragraph a line; `.gz` as well.
        base: a loaded base or its name; the home's only one when left out.
        home: a home or its folder; the nearest one when left out.
        parallel: files of translated sentences, `translation TAB sentence` a line, the translation
            in a language that the base knows (most often the source); see `training/parallel.py`.
        name: the adapter's name; `LANGUAGE` when left out, with the seed where that is not 0.
        method: when method, config and leave_out are all left out, they are as in the home's other
            language adapters of this base, so that one can take the place of the other.
        config: the method's config, or the values that differ from its defaults.
        leave_out: layers (0-based) without adapter.
        steps, batch_size, lr, seed: as in `settings`, which they override.
        settings: everything else that can be set.
        licence: of the weights, for the manifest.
        resume: go on with a run that was interrupted; `False` starts afresh.
        output: run folder; `HOME/runs/NAME` when left out.
        skip_bad: leave out lines that cannot be read, instead of refusing the file.
        extract_text: take the sentences out of annotated files (CoNLL-U, columns, JSON lines, CSV).
        allow_unsuitable: train even if the data do not look like text that the base can read.
        report_to: `tensorboard`, `wandb`: where losses and measurements are reported as well.
        quiet: no progress bar.

    Raises:
        DataError: an empty or garbled file, one that is no running text, or text in a script that
            the base's vocabulary cannot read.
        TrainingError, UsageError, MethodError, HomeError: see the message.
    """
    tag = languages.normalise(language)
    chosen = (settings or LanguageSettings()).changed(
        steps=steps, batch_size=batch_size, lr=lr, seed=seed
    )
    where = setup.place(home, base)
    setup.check_device(where.base, chosen)
    check_trackers(report_to)
    reading = Reading(Checks(allow_unsuitable), skip_bad, extract_text)
    job = TextRun(
        where,
        setup.language_shape(where, method, config, leave_out),
        chosen,
        Kind.LANGUAGE,
        (LanguageUse(tag, Role.LANGUAGE),),
        _read(where, {tag: text}, chosen, reading),
        (1,),
        _pairs(where, {tag: parallel} if parallel is not None else {}, chosen, reading),
        extracted=extract_text,
        reports=tuple(report_to),
    )
    name = name or setup.seeded(tag, chosen)
    return job.run(name, output, licence, resume=resume, quiet=quiet)


def train_bilingual(
    source: str,
    target: str,
    *,
    text: Mapping[str, Paths],
    ratio: tuple[int, int] = (1, 1),
    parallel: Mapping[str, Paths] | None = None,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    name: str | None = None,
    method: str | None = None,
    config: Config = None,
    leave_out: Sequence[int] | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    settings: LanguageSettings | None = None,
    licence: str | None = None,
    resume: bool = True,
    output: str | Path | None = None,
    skip_bad: bool = False,
    extract_text: bool = False,
    allow_unsuitable: bool = False,
    report_to: Sequence[str] = (),
    quiet: bool = False,
) -> Adapter:
    """Train one adapter on the text of two languages and add it to the home.

    Args:
        source: BCP 47 tag of the language of the labels.
        target: of the language of use; the checkpoint with the lowest loss on it is kept.
        text: files by language tag, for both.
        ratio: batches of the source, batches of the target, in turn.
        parallel: files of translated sentences by language tag, as for `train_language`.
        name: the adapter's name; `SOURCE-TARGET` when left out.

    The other arguments and errors are those of `train_language`.
    """
    tags = (languages.normalise(source), languages.normalise(target))
    files = {languages.normalise(tag): paths for tag, paths in text.items()}
    if tags[0] == tags[1]:
        raise UsageError(f"a bilingual adapter needs two languages, found `{tags[0]}` twice")
    if set(files) != set(tags):
        raise UsageError(
            f"text is needed for `{tags[0]}` and `{tags[1]}`, found {', '.join(files) or 'none'}"
        )
    if len(ratio) != 2 or min(ratio) < 1:
        raise UsageError(f"a ratio is two numbers of at least 1, found {ratio}")
    chosen = (settings or LanguageSettings()).changed(
        steps=steps, batch_size=batch_size, lr=lr, seed=seed
    )
    where = setup.place(home, base)
    setup.check_device(where.base, chosen)
    check_trackers(report_to)
    reading = Reading(Checks(allow_unsuitable), skip_bad, extract_text)
    job = TextRun(
        where,
        setup.language_shape(where, method, config, leave_out),
        chosen,
        Kind.BILINGUAL,
        (LanguageUse(tags[0], Role.SOURCE), LanguageUse(tags[1], Role.TARGET)),
        _read(where, {tag: files[tag] for tag in tags}, chosen, reading),
        tuple(ratio),
        _pairs(where, parallel or {}, chosen, reading),
        extracted=extract_text,
        reports=tuple(report_to),
    )
    name = name or setup.seeded("-".join(tags), chosen)
    return job.run(name, output, licence, resume=resume, quiet=quiet)


def _pairs(
    where: Place, files: Mapping[str, Paths], settings: LanguageSettings, reading: Reading
) -> Pairs | None:
    """Return the pairs of all files as one, so that every batch is of any of the languages."""
    read = [
        read_pairs(
            languages.normalise(tag),
            setup.path_list(paths),
            where.base,
            longest=settings.block,
            reading=reading,
        )
        for tag, paths in files.items()
    ]
    if not read:
        return None
    return Pairs(
        tuple(ids for pairs in read for ids in pairs.sentences),
        tuple(ids for pairs in read for ids in pairs.translations),
        tuple(corpus for pairs in read for corpus in pairs.corpora),
        sum(pairs.skipped for pairs in read),
    )


def _read(
    where: Place, files: Mapping[str, Paths], settings: LanguageSettings, reading: Reading
) -> tuple[Text, ...]:
    return tuple(
        read_text(
            tag,
            setup.path_list(paths),
            where.base,
            block=settings.block,
            held_out=settings.held_out,
            reading=reading,
        )
        for tag, paths in files.items()
    )
