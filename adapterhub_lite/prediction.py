"""Prediction: labels for sentences and files, several languages in one batch.

ahl.predict(["Ta mee goll dys y thie."], source="en", target="gv", task="pos")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite import languages
from adapterhub_lite.errors import DataError, RefError, UsageError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.tasks.inference import BATCH, head_of, predict_examples

if TYPE_CHECKING:
    from adapterhub_lite.composition import Composition
    from adapterhub_lite.home import Home
    from adapterhub_lite.lock import Lock
    from adapterhub_lite.model.attach import Attachment
    from adapterhub_lite.model.base import Base
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.tasks.base import Columns, Example, TaskType

Compositions = Mapping[str, "Composition | str"]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What was predicted of one item: a label a unit, and how sure the head is of each.

    For tagging, `inputs` are the words and there is a label a word; for a text there is one label.
    """

    inputs: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    language: str | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Words and labels side by side (a text's only label beside the text)."""
        return list(zip(self.inputs, self.labels, strict=False))

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as JSON values."""
        return {
            "inputs": list(self.inputs),
            "labels": list(self.labels),
            "probabilities": [round(p, 4) for p in self.probabilities],
            "language": self.language,
        }


def predict(
    inputs: Sequence[Any],
    *,
    source: str | None = None,
    target: str | Sequence[str] | None = None,
    task: str | None = None,
    composition: Composition | Lock | str | None = None,
    attachment: Attachment | None = None,
    rows: Sequence[str] | None = None,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    batch_size: int = BATCH,
) -> list[Predicted]:
    """Predict labels for sentences, texts or questions.

    What to run is given in one of three ways: a request (`source`, `target`, `task`), which is
    resolved; a `composition` or a lock; or an `attachment`.

    Args:
        inputs: for tagging texts or lists of words; for classification texts or pairs of texts;
            for question answering pairs of question and context.
        target: one language, or one for every item.
        rows: with an attachment of several compositions, the name of one for every item.
        base: a loaded base or its name; left out, as the resolver or the adapters have it.

    Raises:
        NoResolutionError: nothing in the home fits the request.
        UsageError: too little or too much is said about what to run.
    """
    ways = [attachment is not None, composition is not None, task is not None]
    if sum(ways) != 1:
        raise UsageError(
            "what to run? give one of: an attachment, a composition, or a request",
            hint="a request is `source`, `target` and `task`",
        )
    if not inputs:
        return []
    if attachment is not None:
        plugins = _plugins(home)
        names = list(rows) if rows is not None else [_only(attachment)] * len(inputs)
        return _predict(attachment, plugins, inputs, names, batch_size)
    home = _home(home)
    if composition is not None:
        with _attach_one(composition, base, home) as attached:
            names = ["default"] * len(inputs)
            return _predict(attached, home.plugins(), inputs, names, batch_size)
    tags = _tags(inputs, target)
    plan, base = resolve_all(source, tags, task, base, home)
    with attach_all(plan, base, home) as attached:
        found = _predict(attached, home.plugins(), inputs, tags, batch_size)
    return [replace(item, language=tag) for item, tag in zip(found, tags, strict=True)]


def predict_file(
    path: str | Path,
    *,
    source: str,
    task: str,
    target: str | None = None,
    columns: Columns | None = None,
    language_column: str | None = None,
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    batch_size: int = BATCH,
) -> list[Predicted]:
    """Predict labels for a whole file: text, CoNLL-U, two columns, CSV or JSON lines.

    Args:
        target: language of the file; left out, every record names its own.
        language_column: the field in which it does; `language` when left out.

    Raises:
        UsageError: both `target` and `language_column`.
        DataError: a bad line, or one that names no language where `target` is left out.
    """
    home = _home(home)
    task_type = task_type_of(task, home)
    if target is not None and language_column is not None:
        raise UsageError(
            f"either the whole file is `{target}`, or `{language_column}` says it for each record"
        )
    field = language_column or "language"
    named = {"language": field} if language_column is not None else {}
    examples = task_type.read(Path(path), {**(columns or {}), **named}, gold=False)
    first = languages.normalise(target) if target is not None else None
    tags = [_language(example, first, field) for example in examples]
    plan, base = resolve_all(source, tags, task, base, home)
    with attach_all(plan, base, home) as attached:
        found = predict_examples(attached, task_type, examples, tags, batch_size=batch_size)
    return [
        Predicted(e.inputs, p.labels, p.probabilities, tag)
        for e, p, tag in zip(examples, found, tags, strict=True)
    ]


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
    from adapterhub_lite.model.base import Base
    from adapterhub_lite.resolver import resolve

    if source is None or task is None:
        raise UsageError("a request needs `source`, `target` and `task`")
    name: str | None = None
    if base is not None:
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


def _predict(
    attachment: Attachment,
    plugins: Plugins,
    inputs: Sequence[Any],
    names: Sequence[str],
    batch_size: int,
) -> list[Predicted]:
    if len(names) != len(inputs):
        raise UsageError(f"{len(inputs)} items need as many rows, found {len(names)}")
    spec, _ = head_of(attachment, names[0])
    task_type = plugins.task_type(spec.type)
    examples = task_type.examples(inputs)
    found = predict_examples(attachment, task_type, examples, names, batch_size=batch_size)
    return [
        Predicted(example.inputs, prediction.labels, prediction.probabilities)
        for example, prediction in zip(examples, found, strict=True)
    ]


def _only(attachment: Attachment) -> str:
    if len(attachment.names) != 1:
        raise UsageError(
            f"several compositions are attached ({', '.join(attachment.names)})",
            hint="say which item gets which: `rows=[...]`, one name an item",
        )
    return attachment.names[0]


def _tags(inputs: Sequence[Any], target: str | Sequence[str] | None) -> list[str]:
    if target is None:
        raise UsageError("a request needs `source`, `target` and `task`")
    if isinstance(target, str):
        return [languages.normalise(target)] * len(inputs)
    if len(target) != len(inputs):
        raise UsageError(f"{len(inputs)} items need as many targets, found {len(target)}")
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
