"""Prediction: labels for sentences and files, several languages in one batch.

ahl.predict(["Ta mee goll dys y thie."], source="en", target="gv", task="pos")
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import disk, languages
from adapterhub_lite.errors import DataError, RefError, UsageError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.tasks import annotating, memory
from adapterhub_lite.tasks.base import Prediction
from adapterhub_lite.tasks.inference import BATCH, head_of, predict_examples
from adapterhub_lite.tasks.predicted import Predicted, predicted, say_cut
from adapterhub_lite.tasks.reading import read_examples, read_inputs
from adapterhub_lite.tasks.suitability import Checks
from adapterhub_lite.tasks.tables import columns_of

if TYPE_CHECKING:
    from adapterhub_lite.composition import Composition
    from adapterhub_lite.home import Home
    from adapterhub_lite.lock import Lock
    from adapterhub_lite.model.attach import Attachment
    from adapterhub_lite.model.base import Base
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.tasks.base import Columns, Example, Long, TaskType

__all__ = [
    "Compositions",
    "Predicted",
    "attach_all",
    "attach_locked",
    "check_output",
    "predict",
    "predict_file",
    "resolve_all",
    "task_type_of",
    "write_predictions",
]

Compositions = Mapping[str, "Composition | str"]


def predict(
    inputs: Any,
    *,
    source: str | None = None,
    target: str | Sequence[str] | None = None,
    task: str | None = None,
    composition: Composition | Lock | str | None = None,
    attachment: Attachment | None = None,
    rows: Sequence[str] | None = None,
    columns: Columns | None = None,
    long: Long = "cut",
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    batch_size: int = BATCH,
    allow_unsuitable: bool = False,
) -> list[Predicted]:
    """Predict labels for sentences, texts or questions.

    What to run is given in one of three ways: a request (`source`, `target`, `task`), which is
    resolved; a `composition` or a lock; or an `attachment`.

    Args:
        inputs: for tagging texts or lists of words; for classification texts or pairs of texts;
            for question answering pairs of question and context.  One text may stand alone.
            Anything that can be gone through once will do; also a data frame, a split of a data
            set, or dictionaries, with the columns that files have.
        target: one language, or one for every item; of records it may be in a column `language`.
        rows: with an attachment of several compositions, the name of one for every item.
        columns: of records, the names of the columns that are looked for.
        long: whether texts that the base cannot read at once are read without their end (`cut`),
            in parts (`split`), or refused (`refuse`).
        base: a loaded base or its name; left out, as the resolver or the adapters have it.
        allow_unsuitable: predict even if the base's vocabulary cannot read the text.

    Returns:
        A prediction for every input, in their order.

    Raises:
        NoResolutionError: nothing in the home fits the request.
        UsageError: too little or too much is said about what to run, or an item of a wrong kind.
        DataError: an item that is `None`, or (with `refuse`) too long, or text that the base's
            vocabulary cannot read.
    """
    ways = [attachment is not None, composition is not None, task is not None]
    if sum(ways) != 1:
        raise UsageError(
            "what to run? give one of: an attachment, a composition, or a request",
            hint="a request is `source`, `target` and `task`",
        )
    items = [inputs] if isinstance(inputs, str) else memory.items(inputs, "inputs")
    if not items:
        return []
    checks = Checks(allow_unsuitable)
    reading = _Inputs(items, columns or {}, long, batch_size, checks)
    if attachment is not None:
        plugins = _plugins(home)
        names = list(rows) if rows is not None else [_only(attachment)] * len(items)
        return reading.predict(attachment, plugins, names)
    home = _home(home)
    if composition is not None:
        with _attach_one(composition, base, home) as attached:
            names = ["default"] * len(items)
            return reading.predict(attached, home.plugins(), names)
    tags = _tags(items, target, columns or {})
    plan, base = resolve_all(source, tags, task, base, home)
    with attach_all(plan, base, home) as attached:
        return reading.predict(attached, home.plugins(), tags, tags=tags)


def predict_file(
    path: str | Path,
    *,
    source: str | None = None,
    task: str | None = None,
    target: str | None = None,
    composition: Composition | Lock | str | None = None,
    columns: Columns | None = None,
    language_column: str | None = None,
    format: str | None = None,
    long: Long = "cut",
    output: str | Path | None = None,
    as_json: bool = False,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    batch_size: int = BATCH,
    allow_unsuitable: bool = False,
) -> list[Predicted]:
    """Predict labels for a whole file, in any of the formats that `evaluate` and training read.

    What to run is a request (`source`, `task`), which is resolved, or a `composition` or a lock.

    Args:
        target: language of the file; left out, every record names its own.
        language_column: the field in which it does; `language` when left out.
        format: one of `tasks.formats.FORMATS`; left out, it is told from the content.
        output: file to write: the one at `path` with predictions in the place of labels.
        as_json: write JSON lines to `output` instead.

    The other arguments are those of `predict`.

    Raises:
        UsageError: both `target` and `language_column`, or both a request and a composition.
        DataError: a bad line, or one that names no language where `target` is left out.
    """
    home = _home(home)
    if (composition is None) == (task is None) or (composition is not None and source is not None):
        raise UsageError(
            "what to run? give one of: a composition, or a request",
            hint="a request is `source`, `target` and `task`",
        )
    if target is not None and language_column is not None:
        raise UsageError(
            f"either the whole file is `{target}`, or `{language_column}` says it for each record"
        )
    if output is not None:
        check_output(output)
    file = _File(
        Path(path),
        columns or {},
        language_column,
        format,
        long,
        Path(output) if output is not None else None,
        as_json,
        batch_size,
        Checks(allow_unsuitable),
    )
    if composition is not None:
        return file.composed(composition, base, home)
    return file.requested(source, str(task), target, base, home)


@dataclass(frozen=True, slots=True)
class _File:
    """A file to predict labels for."""

    path: Path
    columns: Columns
    language_column: str | None
    format: str | None
    long: Long
    output: Path | None
    as_json: bool
    batch_size: int
    checks: Checks

    def read(self, task_type: TaskType) -> list[Example]:
        """Return the file's examples."""
        columns = dict(self.columns)
        if self.language_column is not None:
            columns["language"] = self.language_column
        return read_examples(task_type, self.path, columns, gold=False, format=self.format)

    def composed(
        self, composition: Composition | Lock | str, base: Base | str | Path | None, home: Home
    ) -> list[Predicted]:
        """Run a composition."""
        with _attach_one(composition, base, home) as attached:
            spec, _ = head_of(attached, "default")
            task_type = home.plugins().task_type(spec.type)
            examples = self.read(task_type)
            return self._run(attached, task_type, examples, ["default"] * len(examples))

    def requested(
        self,
        source: str | None,
        task: str,
        target: str | None,
        base: Base | str | Path | None,
        home: Home,
    ) -> list[Predicted]:
        """Run what the resolver answers for each language in the file."""
        task_type = task_type_of(task, home)
        examples = self.read(task_type)
        first = languages.normalise(target) if target is not None else None
        field = self.language_column or "language"
        tags = [_language(example, first, field) for example in examples]
        plan, base = resolve_all(source, tags, task, base, home)
        with attach_all(plan, base, home) as attached:
            return self._run(attached, task_type, examples, tags, tags=tags)

    def _run(
        self,
        attached: Attachment,
        task_type: TaskType,
        examples: Sequence[Example],
        names: Sequence[str],
        *,
        tags: Sequence[str] | None = None,
    ) -> list[Predicted]:
        annotated = self.output is not None and not self.as_json
        for name in dict.fromkeys(names) if annotated else ():
            labels = head_of(attached, name)[0].labels
            task_type.check_annotated(self.path, labels, self.columns, self.format)
        task_type = task_type.with_long(self.long)
        _check_readable(attached.base, examples, names, self.checks, str(self.path))
        predictions = _run(
            attached, task_type, examples, names, batch_size=self.batch_size, tags=tags
        )
        if self.output is not None:
            content = (
                task_type.annotated(self.path, predictions, self.columns, self.format)
                if annotated
                else None
            )
            write_predictions(predictions, self.output, content=content, as_json=self.as_json)
        return predictions


def check_output(output: str | Path) -> None:
    """Raise `UsageError` if no file can be written to a path, before the work begins."""
    path = Path(output)
    if path.is_dir() or not path.absolute().parent.is_dir():
        there = "it is a folder" if path.is_dir() else f"there is no folder `{path.parent}`"
        raise UsageError(f"cannot write to `{path}`: {there}")


def write_predictions(
    predictions: Sequence[Predicted],
    output: str | Path,
    *,
    content: bytes | None = None,
    as_json: bool = False,
) -> None:
    """Write predictions to a file, which is there whole or as it was.

    Args:
        content: what to write; left out, a table, or JSON lines with `as_json`.
        output: a name that ends in `.gz` is written compressed.

    Raises:
        HomeError: it cannot be written.
    """
    path = Path(output)
    if content is None:
        form = annotating.json_lines if as_json else annotating.table
        content = form(predictions).encode()
    disk.write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def attach_all(plan: Compositions, base: Base | str | Path | None, home: Home) -> Attachment:
    """Attach compositions by name to the base they are for."""
    from adapterhub_lite.composition import parse, refs
    from adapterhub_lite.model.attach import attach
    from adapterhub_lite.model.base import Base, load_base

    if base is None:
        first = parse(str(next(iter(plan.values()))))
        base = home.registry.get(refs(first)[0]).manifest.base.name
    if not isinstance(base, Base):
        base = load_base(base, home=home)
    return attach(base, dict(plan), home=home)


def attach_locked(lock: Lock, base: Base | str | Path | None, home: Home) -> Attachment:
    """Attach what a lock names to its base; raises `LockError` at the first difference."""
    from adapterhub_lite.model.attach import attach
    from adapterhub_lite.model.base import Base, load_base

    loaded = base if isinstance(base, Base) else load_base(base or lock.base.name, home=home)
    return attach(loaded, lock, home=home)


def _attach_one(
    composition: Composition | Lock | str, base: Base | str | Path | None, home: Home
) -> Attachment:
    from adapterhub_lite.lock import Lock

    if isinstance(composition, Lock):
        return attach_locked(composition, base, home)
    return attach_all({"default": composition}, base, home)


def resolve_all(
    source: str | None,
    tags: Sequence[str],
    task: str | None,
    base: Base | str | Path | None,
    home: Home,
) -> tuple[Compositions, Base | str | Path]:
    """Return a composition for every language, and the base they agree on.

    Raises:
        NoResolutionError: nothing in the home fits one of them.
    """
    from adapterhub_lite.model.base import Base, check_name
    from adapterhub_lite.resolver import resolve

    if source is None or task is None:
        raise UsageError("a request needs `source`, `target` and `task`")
    name: str | None = None
    if base is not None:
        if not isinstance(base, Base):
            check_name(base)
        name = base.identity.name if isinstance(base, Base) else str(base)
    plan: dict[str, Composition | str] = {}
    for tag in dict.fromkeys(tags):
        resolution = resolve(source, tag, task=task, base=name, home=home)
        plan[tag] = resolution.composition
        name = resolution.base.name
    return plan, base if isinstance(base, Base) else (name or "")


def task_type_of(task: str, home: Home) -> TaskType:
    """Return the type of a task: that of the home's adapters for it.

    Raises:
        RefError: the home has none.
    """
    from adapterhub_lite.adapter import Kind

    for adapter in home.registry.find(kind=Kind.TASK, task=task):
        if adapter.manifest.head is not None:
            return home.plugins().task_type(adapter.manifest.head.type)
    raise RefError(
        f"no task adapter for `{task}` in this home",
        hint="train one: "
        + command("ahl", "train", "task", task, "--train", "FILE", "--source", "LANGUAGE"),
    )


def _home(home: Home | str | Path | None) -> Home:
    from adapterhub_lite.home import Home

    return home if isinstance(home, Home) else Home.find(home)


def _plugins(home: Home | str | Path | None) -> Plugins:
    from adapterhub_lite import plugins

    return _home(home).plugins() if home is not None else plugins.load()


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a program handed over to predict labels for."""

    items: Sequence[Any]
    columns: Columns
    long: Long
    batch_size: int
    checks: Checks

    def predict(
        self,
        attachment: Attachment,
        plugins: Plugins,
        names: Sequence[str],
        *,
        tags: Sequence[str] | None = None,
    ) -> list[Predicted]:
        """Run the composition that `names` has for each item."""
        if len(names) != len(self.items):
            raise UsageError(f"{len(self.items)} items need as many rows, found {len(names)}")
        spec, _ = head_of(attachment, names[0])
        task_type = plugins.task_type(spec.type).with_long(self.long)
        examples = read_inputs(task_type, self.items, self.columns)
        _check_readable(attachment.base, examples, names, self.checks)
        return _run(attachment, task_type, examples, names, batch_size=self.batch_size, tags=tags)


def _run(
    attachment: Attachment,
    task_type: TaskType,
    examples: Sequence[Example],
    names: Sequence[str],
    *,
    batch_size: int,
    tags: Sequence[str] | None = None,
) -> list[Predicted]:
    """Return a prediction for every example; an empty one for those without content."""
    filled = [number for number, example in enumerate(examples) if example.inputs]
    found = predict_examples(
        attachment,
        task_type,
        [examples[number] for number in filled],
        [names[number] for number in filled],
        batch_size=batch_size,
    )
    by_number = dict(zip(filled, found, strict=True))
    nothing = Prediction((), ())
    predictions = [
        predicted(
            example,
            by_number.get(number, nothing),
            task_type.name,
            tags[number] if tags is not None else None,
        )
        for number, example in enumerate(examples)
    ]
    say_cut([item.cut for item in predictions])
    return predictions


def _check_readable(
    base: Base, examples: Sequence[Example], names: Sequence[str], checks: Checks, file: str = ""
) -> None:
    """Check that the vocabulary can read the texts, those of each language by themselves."""
    groups: dict[str, list[Example]] = {}
    for example, name in zip(examples, names, strict=True):
        groups.setdefault(name, []).append(example)
    for name, group in groups.items():
        data = file or ("the text" if len(groups) == 1 else f"the text for `{name}`")
        checks.readable_examples(base, group, data)


def _only(attachment: Attachment) -> str:
    if len(attachment.names) != 1:
        raise UsageError(
            f"several compositions are attached ({', '.join(attachment.names)})",
            hint="say which item gets which: `rows=[...]`, one name an item",
        )
    return attachment.names[0]


def _tags(items: Sequence[Any], target: str | Sequence[str] | None, columns: Columns) -> list[str]:
    if target is None and all(isinstance(item, Mapping) for item in items):
        records = memory.records(items, "inputs")
        name = columns_of(records, ("language",), columns).get("language")
        target = [record.fields.get(name) or "" for record in records] if name else None
    if target is None:
        raise UsageError("a request needs `source`, `target` and `task`")
    if isinstance(target, str):
        return [languages.normalise(target)] * len(items)
    if len(target) != len(items):
        raise UsageError(f"{len(items)} items need as many targets, found {len(target)}")
    return [languages.normalise(tag) for tag in target]


def _language(example: Example, target: str | None, field: str) -> str:
    if target is not None:
        return target
    if example.language is None:
        raise DataError(
            f"{example.position()}: no field `{field}` here, and no target was given",
            hint="name the field that every record has with `--lang-column`, or one TARGET",
        )
    return languages.normalise(example.language)
