"""Score one composition, or one fully fine-tuned model, on labelled data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from adapterhub_lite import digests, languages
from adapterhub_lite.adapter import HeadSpec, Kind
from adapterhub_lite.composition import Composition, parse, refs, rename
from adapterhub_lite.errors import CompositionError, DataError
from adapterhub_lite.evaluation.bootstrap import interval, main_metric
from adapterhub_lite.evaluation.results import Result
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
    what: Composition | str | Request | Resolution | Tuned,
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
    batch_size: int = BATCH,
    allow_unsuitable: bool = False,
    checks: Checks | None = None,
) -> Result:
    """Score a composition on a labelled file and record the score.

    Args:
        what: a composition; a request or its resolution; or a fully fine-tuned model.
        data: labelled file, or what a program holds: a data frame, a split of a data set,
            dictionaries.
        language: of the data; that of the request where there is one.
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
        allow_unsuitable: score even if the base's vocabulary cannot read the text.
        checks: the checks of several measurements, which make each warning once.

    Raises:
        DataError: a bad line, nothing with a label in the file, no label that the head knows, or
            text that the base's vocabulary cannot read.
        CompositionError: no head on top of the composition.
    """
    from adapterhub_lite.home import Home

    home = home if isinstance(home, Home) else Home.find(home)
    if isinstance(what, Request):
        what = answer(what, home.registry, home.plugins())
    if isinstance(what, Resolution):
        language = language or what.request.target
        base = base or what.base.name
        what = what.composition
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
    )
    if isinstance(what, Tuned):
        result = measured.tuned(what, home)
    else:
        composition = parse(what) if isinstance(what, str) else what
        result = measured.composition(composition, home, base, task=task, source=source)
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

    @property
    def name(self) -> str:
        """What messages call the data."""
        return str(self.data) if memory.is_path(self.data) else "data"

    def composition(
        self,
        composition: Composition,
        home: Home,
        base: Base | str | Path | None,
        *,
        task: str | None,
        source: str | None,
    ) -> Result:
        """Score a composition of the home's adapters."""
        from adapterhub_lite.prediction import attach_all

        exact = rename(composition, lambda ref: str(home.registry.get(ref).digest))
        top = _top(exact, home)
        assert top.head is not None
        labelled = top.tags()
        task_type = home.plugins().task_type(top.head.type).with_long(self.long)
        examples = self._examples(task_type)
        unknown = self.checks.gold(task_type, self.name, examples, top.head.labels)
        with attach_all({"default": exact}, base, home) as attachment:
            self.checks.readable_examples(attachment.base, examples, self.name)
            head = head_of(attachment, "default")
            predictions = self._predictions(attachment, task_type, examples, head)
        return self._result(
            task_type,
            head[0].labels,
            examples,
            predictions,
            composition=str(exact),
            task=task or top.task or "",
            source_language=languages.normalise(source) if source else labelled[0],
            seed=top.training.seed if top.training else 0,
            unknown=unknown,
        )

    def tuned(self, model: Tuned, home: Home) -> Result:
        """Score a fully fine-tuned model."""
        from adapterhub_lite.model.attach import attach

        task_type = home.plugins().task_type(model.head.type).with_long(self.long)
        examples = self._examples(task_type)
        unknown = self.checks.gold(task_type, self.name, examples, model.head.labels)
        self.checks.readable_examples(model.base, examples, self.name)
        with attach(model.base, {"default": None}, home=home) as attachment:
            head = (model.head, model.head_weights)
            predictions = self._predictions(attachment, task_type, examples, head)
        return self._result(
            task_type,
            model.head.labels,
            examples,
            predictions,
            composition=FULL,
            task=model.task,
            source_language=model.source,
            seed=model.seed,
            unknown=unknown,
        )

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
            ["default"] * len(examples),
            heads={"default": head},
            batch_size=self.batch_size,
        )

    def _result(
        self,
        task_type: TaskType,
        labels: tuple[str, ...],
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        **facts: Any,
    ) -> Result:
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
