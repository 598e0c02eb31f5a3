"""Score one composition, or one fully fine-tuned model, on labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from adapterhub_lite import digests, languages
from adapterhub_lite import lock as locks
from adapterhub_lite.adapter import HeadSpec, Kind
from adapterhub_lite.composition import Composition, parse, refs, rename
from adapterhub_lite.errors import CompositionError, DataError
from adapterhub_lite.evaluation import report as reports
from adapterhub_lite.evaluation.bootstrap import interval, main_metric
from adapterhub_lite.evaluation.results import Result
from adapterhub_lite.lock import Lock
from adapterhub_lite.resolver import Request, Resolution, answer
from adapterhub_lite.tasks import memory
from adapterhub_lite.tasks.inference import BATCH, Head, head_of, predict_examples
from adapterhub_lite.tasks.predicted import say_cut
from adapterhub_lite.tasks.reading import read_examples
from adapterhub_lite.tasks.scoring import add_up, tallies_of
from adapterhub_lite.tasks.suitability import Checks

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.home import Home
    from adapterhub_lite.model.attach import Attachment
    from adapterhub_lite.model.base import Base
    from adapterhub_lite.tasks.base import Columns, Example, Long, Prediction, TaskType

_NAME = "default"
"""What the composition is attached as."""

FULL = "full-fine-tuning"
"""What stands for the composition in scores of fully fine-tuned models."""


@runtime_checkable
class Tuned(Protocol):
    """A fully fine-tuned model, as `training.train_full` returns it."""

    @property
    def base(self) -> Base:
        """The tuned copy of the base."""
        ...

    @property
    def head(self) -> HeadSpec:
        """What the head is for."""
        ...

    @property
    def head_weights(self) -> dict[str, Tensor]:
        """The head's weights by their own names."""
        ...

    @property
    def task(self) -> str:
        """The task's name."""
        ...

    @property
    def source(self) -> str:
        """The language of the labels."""
        ...

    @property
    def seed(self) -> int:
        """The seed it was trained with."""
        ...


def evaluate(
    what: Composition | str | Request | Resolution | Lock | Tuned,
    data: Any,
    *,
    language: str | None = None,
    source: str | None = None,
    task: str | None = None,
    dataset: str | None = None,
    split: str = "test",
    columns: Columns | None = None,
    format: str | None = None,
    long: Long = "cut",
    base: Base | str | Path | None = None,
    home: Home | str | Path | None = None,
    limit: int | None = None,
    record: bool = True,
    report: bool = False,
    batch_size: int = BATCH,
    allow_unsuitable: bool = False,
    checks: Checks | None = None,
) -> Result:
    """Score a composition on a labelled file and record the score.

    Args:
        what: a composition; a request or its resolution; a lock, whose adapters and base are
            compared with what is here first; or a fully fine-tuned model.
        data: labelled file, or what a program holds: a data frame, a split of a data set,
            dictionaries.
        language: of the data; left out, that of the request or the lock.
        source: language of the labels trained on; left out, that of the task adapter.
        task: left out, that of the adapter with the head.
        dataset: name of the data; left out, the file's name with the start of its SHA-256, so
            that scores are only ever compared on equal data.
        columns: the data's names or numbers of its columns, `{"tags": "4"}`.
        format: of the file, one of `tasks.formats.FORMATS`; left out, it is told from the content.
        long: whether texts that the base cannot read at once are read in parts (`split`), without
            their end (`cut`), or refused (`refuse`).
        limit: use only the first so many examples.
        record: keep the scores in the home's registry, where the resolver finds them.
        report: also return scores by label and the confusion matrix.
        allow_unsuitable: score even if the base's vocabulary cannot read the text.
        checks: the checks of several measurements, which make each warning once.

    Raises:
        UsageError: a report on a task type without labels.
        DataError: a bad line, nothing with a label in the file, no label that the head knows, or
            text that the base's vocabulary cannot read.
        CompositionError: no head on top of the composition.
        LockError: the first thing in which a lock differs from what is here.
    """
    from adapterhub_lite.home import Home

    home = home if isinstance(home, Home) else Home.find(home)
    if isinstance(what, Request):
        what = answer(what, home.registry, home.plugins())
    strategy, lock = "", None
    if isinstance(what, Resolution):
        language = language or what.request.target
        base = base or what.base.name
        strategy = what.strategy
        what = what.composition
    elif isinstance(what, Lock):
        lock, strategy = what, what.strategy
        language = language or lock.request.get("target")
        source, task = source or lock.request.get("source"), task or lock.request.get("task")
        what = locks.check(lock, home)
    if language is None:
        name = data if memory.is_path(data) else "data"
        raise DataError(f"{name}: in which language is it?", hint="add `--target LANGUAGE`")
    if not memory.is_path(data):
        data = [record.fields for record in memory.records(data)]
    measured = _Measurement(
        data,
        languages.normalise(language),
        (dataset or data_name(data))
        + (f"-first{limit}" if limit else "")
        + ("-split" if long == "split" else ""),
        split,
        columns,
        format,
        long,
        limit,
        batch_size,
        checks or Checks(allow_unsuitable),
        report,
    )
    if isinstance(what, Tuned):
        result = measured.tuned(what, home)
    else:
        composition = parse(what) if isinstance(what, str) else what
        result = measured.composition(
            composition, home, base, lock, task=task, source=source, strategy=strategy
        )
    if record:
        home.registry.record_scores(result.scores())
    return result


def head_of_topmost(what: Composition | str | Tuned, home: Home) -> HeadSpec:
    """Return what the head of a composition, or of a fully fine-tuned model, is for.

    Raises:
        CompositionError: no head on top of the composition.
    """
    if isinstance(what, Tuned):
        return what.head
    head = _top(parse(what) if isinstance(what, str) else what, home).head
    assert isinstance(head, HeadSpec)
    return head


def data_name(data: Any) -> str:
    """Return a name that only equal data has: the file's, and the start of its SHA-256."""
    if not memory.is_path(data):
        return f"records-{memory.digest(memory.records(data))[: digests.SHORT]}"
    path = Path(data)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    return f"{path.name.partition('.')[0]}-{digests.of_file(path)[: digests.SHORT]}"


@dataclass(frozen=True, slots=True)
class _Measurement:
    """One file, or records, to score on."""

    data: Any
    language: str
    dataset: str
    split: str
    columns: Columns | None
    format: str | None
    long: Long
    limit: int | None
    batch_size: int
    checks: Checks
    report: bool

    @property
    def name(self) -> str:
        """What messages call the data."""
        return str(self.data) if memory.is_path(self.data) else "data"

    def composition(
        self,
        composition: Composition,
        home: Home,
        base: Base | str | Path | None,
        lock: Lock | None,
        *,
        task: str | None,
        source: str | None,
        strategy: str,
    ) -> Result:
        """Score a composition of the home's adapters; that of a lock, if there is one."""
        from adapterhub_lite.prediction import attach_all, attach_locked

        exact = rename(composition, lambda ref: str(home.registry.get(ref).digest))
        top = _top(exact, home)
        assert top.head is not None
        task_type = home.plugins().task_type(top.head.type).with_long(self.long)
        examples, unknown = self._checked(task_type, top.head)
        attached = (
            attach_all({_NAME: exact}, base, home)
            if lock is None
            else attach_locked(lock, base, home)
        )
        with attached as attachment:
            return self._result(
                attachment,
                task_type,
                head_of(attachment, _NAME),
                examples,
                composition=str(exact),
                task=task or top.task or "",
                source_language=languages.normalise(source) if source else top.tags()[0],
                seed=top.training.seed if top.training else 0,
                strategy=strategy,
                unknown=unknown,
            )

    def tuned(self, model: Tuned, home: Home) -> Result:
        """Score a fully fine-tuned model."""
        from adapterhub_lite.model.attach import attach

        task_type = home.plugins().task_type(model.head.type).with_long(self.long)
        examples, unknown = self._checked(task_type, model.head)
        with attach(model.base, {_NAME: None}, home=home) as attachment:
            return self._result(
                attachment,
                task_type,
                (model.head, model.head_weights),
                examples,
                composition=FULL,
                task=model.task,
                source_language=model.source,
                seed=model.seed,
                strategy=FULL,
                unknown=unknown,
            )

    def _checked(self, task_type: TaskType, head: HeadSpec) -> tuple[list[Example], Any]:
        """Return the examples, and what `Checks.gold` says of their labels."""
        if self.report:
            reports.check(task_type)
        examples = self._examples(task_type)
        return examples, self.checks.gold(task_type, self.name, examples, head.labels)

    def _examples(self, task_type: TaskType) -> list[Example]:
        read = read_examples(task_type, self.data, self.columns, format=self.format)
        examples = read[: self.limit]
        if not any(task_type.size(example) for example in examples):
            raise DataError(f"{self.name}: nothing in it has a label to compare with")
        return examples

    def _predictions(
        self,
        attachment: Attachment,
        task_type: TaskType,
        examples: Sequence[Example],
        head: Head,
    ) -> list[Prediction]:
        return predict_examples(
            attachment,
            task_type,
            examples,
            [_NAME] * len(examples),
            heads={_NAME: head},
            batch_size=self.batch_size,
        )

    def _result(
        self,
        attachment: Attachment,
        task_type: TaskType,
        head: Head,
        examples: Sequence[Example],
        **facts: Any,
    ) -> Result:
        """Predict, and return what the predictions score."""
        labels = head[0].labels
        self.checks.readable_examples(attachment.base, examples, self.name)
        predictions = self._predictions(attachment, task_type, examples, head)
        tallies = tallies_of(task_type, examples, predictions, labels)
        metrics = task_type.metrics(add_up(tallies), labels)
        metric = main_metric(task_type, metrics, labels)
        low, high = interval([tallies], task_type, labels)
        return Result(
            dataset=self.dataset,
            split=self.split,
            language=self.language,
            metric=metric,
            value=metrics[metric],
            low=low,
            high=high,
            n=sum(task_type.size(example) for example in examples),
            metrics={metric: metrics[metric], **metrics},
            tallies=tuple(tallies),
            labels=labels,
            task_type=task_type.name,
            cut=say_cut([prediction.lost for prediction in predictions]),
            report=reports.report(task_type, examples, predictions, labels)
            if self.report
            else None,
            **facts,
        )


def _top(composition: Composition, home: Home) -> Any:
    """Return the manifest of the task adapter whose head is used: the topmost one."""
    for ref in reversed(refs(composition)):
        manifest = home.registry.get(ref).manifest
        if manifest.head is not None and manifest.kind is Kind.TASK:
            return manifest
    raise CompositionError(
        f"`{composition}` has no task adapter with a head: there is nothing to score",
        hint="put a task adapter on top: `stack(LANGUAGE, TASK)`",
    )
