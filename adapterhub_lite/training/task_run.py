"""One run of task training: attach, train the adapter with its head, score, record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import Adapter, Kind, LanguageUse, Role
from adapterhub_lite.composition import Composition, Ref, Stack
from adapterhub_lite.model.attach import DEFAULT, Attachment, attach
from adapterhub_lite.resolver.scores import LOWER_IS_BETTER
from adapterhub_lite.tasks.inference import score_examples
from adapterhub_lite.training import setup
from adapterhub_lite.training.curves import Curve
from adapterhub_lite.training.loop import Trainee, fit
from adapterhub_lite.training.rounds import in_rounds
from adapterhub_lite.training.runs import Run, run_folder
from adapterhub_lite.training.settings import TaskSettings
from adapterhub_lite.training.setup import NEW, Place
from adapterhub_lite.training.task_data import Data, fresh_head, window_batches
from adapterhub_lite.training.watching import Fitted, Watch

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

DEV = "dev_"
"""Start of the names of metrics on development data."""


@dataclass(frozen=True)
class TaskRun:
    """A run of task training."""

    where: Place
    shape: setup.Shape
    settings: TaskSettings
    data: Data
    below: list[tuple[Adapter, ...]]
    stands_on: list[Composition]
    source: str
    dataset: str | None
    reports: tuple[str, ...] = ()

    def run(
        self,
        name: str,
        output: str | Path | None,
        licence: str | None,
        *,
        resume: bool,
        quiet: bool,
    ) -> Adapter:
        """Train, or go on, or return what is already there."""
        setup.check_dropout(self.shape, self.settings)
        run = Run(
            run_folder(self.where.home, name, output),
            setup.run_identity(
                self.where,
                self.shape,
                self.settings,
                self.data.corpora,
                kind=Kind.TASK.value,
                name=name,
                task=[self.data.task, self.data.task_type.name, self.dataset],
                over=[[a.digest for a in adapters] for adapters in self.below],
                # it decides which weights are kept
                **({"dev": self.data.dev_corpus.sha256} if self.data.dev_corpus else {}),
            ),
        )
        with run.held():
            finished = run.adapter(self.where.home, resume=resume)
            if finished is not None:
                log.info("`%s` is already trained: %s", name, finished.ref)
                return finished
            return self._train(run, name, licence, quiet=quiet)

    def _train(self, run: Run, name: str, licence: str | None, *, quiet: bool) -> Adapter:
        with self._attach() as attachment:
            fitted = self._fit(attachment, run, name, quiet=quiet)
            if words := fitted.words(self.settings.steps):
                log.info("%s: %s, by its score on development data", name, words)
            manifest = setup.manifest_of(
                self.where,
                self.shape,
                Kind.TASK,
                (LanguageUse(self.source, Role.SOURCE),),
                task=self.data.task,
                dataset=self.dataset,
                head=self.data.head,
                licence=licence,
                training=setup.training_record(
                    self.data.task,
                    self.data.corpora,
                    fitted,
                    self.settings,
                    self._dev_metrics(attachment),
                ),
                **self._over(),
            )
            adapter = setup.store(self.where, attachment, manifest, run.folder, name)
        run.finish(adapter=adapter.digest, name=adapter.name)
        return adapter

    def _over(self) -> dict[str, Any]:
        """Return the manifest's fields on what was underneath."""
        records = [tuple(a.underneath() for a in adapters) for adapters in self.below]
        if len(records) > 1:
            return {"seen": tuple(record for found in records for record in found)}
        return {"trained_over": records[0] if records else ()}

    def _attach(self) -> Attachment:
        loaded = self.where.fresh(self.shape, Kind.TASK, self.settings.seed)
        loaded.head = self.data.head
        loaded.weights |= fresh_head(self.data, self.where.base, self.settings.seed)
        stacks: list[Composition] = [
            Stack(*(below.parts if isinstance(below, Stack) else (below,)), Ref(NEW))
            for below in self.stands_on
        ] or [Ref(NEW)]
        names = [DEFAULT] if len(stacks) == 1 else [str(number) for number in range(len(stacks))]
        return attach(
            self.where.base,
            dict(zip(names, stacks, strict=True)),
            home=self.where.home,
            adapters={NEW: loaded},
            trainable={NEW},
        )

    def _watch(self, attachment: Attachment) -> Watch | None:
        """Return how the run is measured on development data, if there are any."""
        if not self.data.dev:
            return None
        metric = self.data.task_type.main_metric_for(self.data.head.labels)
        best = f"{DEV}{metric}" if metric else next(iter(self._dev_metrics(attachment)))
        return Watch(
            lambda: self._dev_metrics(attachment),
            self.settings.measures_every(),
            best=best if self.settings.keep_best is not False else None,
            greater=best.removeprefix(DEV) not in LOWER_IS_BETTER,
            patience=self.settings.patience,
        )

    def _fit(self, attachment: Attachment, run: Run, name: str, *, quiet: bool) -> Fitted:
        def head_of(composition: str | None) -> Mapping[str, Tensor]:
            if composition is not None:
                attachment.use(composition)
            found = attachment.head(composition or DEFAULT)
            assert found is not None
            return found[1]

        several = attachment.names if len(attachment.names) > 1 else ()
        return in_rounds(
            attachment.adapter(NEW),
            run.folder,
            lambda folder, number: fit(
                Trainee(
                    self.where.base,
                    self.data.task_type,
                    attachment.parameters_of(NEW),
                    head_of,
                    dropout=self.settings.dropout,
                ),
                window_batches(self.data, self.where.base, self.settings, several),
                self.settings,
                folder,
                label=name,
                quiet=quiet,
                watch=self._watch(attachment),
                curve=Curve(run.folder, number),
                reports=self.reports,
            ),
        )

    def _dev_metrics(self, attachment: Attachment) -> dict[str, float]:
        if not self.data.dev:
            return {}
        name = attachment.names[0]
        self.where.base.model.eval()
        metrics, _ = score_examples(attachment, self.data.task_type, self.data.dev, name=name)
        return {f"{DEV}{key}": value for key, value in metrics.items()}
