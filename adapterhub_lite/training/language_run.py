"""One run of language modelling: measure, give the output bias its first value, train, record."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapterhub_lite.adapter import Adapter, Corpus, HeadSpec, Kind, LanguageUse
from adapterhub_lite.errors import TrainingError
from adapterhub_lite.model.attach import DEFAULT, Attachment, attach
from adapterhub_lite.tasks.base import IGNORED
from adapterhub_lite.tasks.forward import is_causal, on_device, task_logits
from adapterhub_lite.tasks.language import LanguageModelling
from adapterhub_lite.training import setup
from adapterhub_lite.training.batches import Alternating, Batches, TextBatches, mix
from adapterhub_lite.training.bias import bias_from_counts
from adapterhub_lite.training.curves import Curve
from adapterhub_lite.training.loop import Trainee, fit, last_checkpoint
from adapterhub_lite.training.parallel import Alignment, PairBatches, Pairs
from adapterhub_lite.training.rounds import in_rounds
from adapterhub_lite.training.runs import Run, run_folder
from adapterhub_lite.training.settings import LanguageSettings
from adapterhub_lite.training.setup import NEW, Place
from adapterhub_lite.training.text import Masking, Text
from adapterhub_lite.training.watching import Fitted, Watch

log = logging.getLogger(__name__)

HELD_OUT = "held_out_loss"
"""Name of the loss on the last text's held-out blocks, in curves."""
_MEASURED = "measured.json"
_HELD_OUT_SEED = 20_240_607
_BIAS_BATCHES = 4
_FAR = 1_000_000
"""Number of a batch that no run gets to: the bias is made from masks that training never sees."""


@dataclass(frozen=True)
class TextRun:
    """A run of language modelling.  The last text is the one whose loss decides."""

    where: Place
    shape: setup.Shape
    settings: LanguageSettings
    kind: Kind
    uses: tuple[LanguageUse, ...]
    texts: tuple[Text, ...]
    ratio: tuple[int, ...]
    pairs: Pairs | None = None
    extracted: bool = False
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
        corpora = [corpus for text in self.texts for corpus in text.corpora]
        corpora += self.pairs.corpora if self.pairs else ()
        run = Run(
            run_folder(self.where.home, name, output),
            setup.run_identity(
                self.where,
                self.shape,
                self.settings,
                corpora,
                kind=self.kind.value,
                name=name,
                ratio=list(self.ratio),
                **({"extracted": True} if self.extracted else {}),
            ),
        )
        with run.held():
            finished = run.adapter(self.where.home, resume=resume)
            if finished is not None:
                log.info("`%s` is already trained: %s", name, finished.ref)
                return finished
            return self._train(run, name, licence, corpora, quiet=quiet)

    def _train(
        self, run: Run, name: str, licence: str | None, corpora: list[Corpus], *, quiet: bool
    ) -> Adapter:
        with self._attach() as attachment:
            fitted, metrics = self._fit(attachment, run, name, quiet=quiet)
            if words := fitted.words(self.settings.steps):
                log.info("%s: %s, by its loss on held-out text", name, words)
            manifest = setup.manifest_of(
                self.where,
                self.shape,
                self.kind,
                self.uses,
                head=attachment.adapter(NEW).head,
                licence=licence,
                training=setup.training_record(
                    self._objective(),
                    corpora,
                    fitted,
                    self.settings,
                    metrics,
                    ratio=list(self.ratio),
                    **self._reading(),
                ),
            )
            adapter = setup.store(self.where, attachment, manifest, run.folder, name)
        run.finish(adapter=adapter.digest, name=adapter.name)
        return adapter

    def _reading(self) -> dict[str, Any]:
        """Return what is recorded of how the files were read, where that was not as usual."""
        skipped = sum(text.skipped for text in self.texts)
        skipped += self.pairs.skipped if self.pairs else 0
        record = {"skipped_lines": skipped, "extracted": self.extracted}
        return {name: value for name, value in record.items() if value}

    def _objective(self) -> str:
        modelling = "causal-lm" if is_causal(self.where.base) else "masked-lm"
        return f"{modelling}+alignment" if self.pairs else modelling

    def _attach(self) -> Attachment:
        loaded = self.where.fresh(self.shape, self.kind, self.settings.seed)
        if self.settings.output_bias:
            loaded.head = HeadSpec(LanguageModelling.name)
            loaded.weights["head.bias"] = torch.zeros(self.where.base.identity.vocab_size)
        return attach(
            self.where.base,
            NEW,
            home=self.where.home,
            adapters={NEW: loaded},
            trainable={NEW},
        )

    def _fit(
        self, attachment: Attachment, run: Run, name: str, *, quiet: bool
    ) -> tuple[Fitted, dict[str, float]]:
        base, settings = self.where.base, self.settings
        masking = Masking(
            base,
            share=settings.masked,
            whole_words=settings.whole_words,
            causal=is_causal(base),
        )
        self._check_predictable(masking)
        aligned = self._aligned(attachment)
        streams = [
            TextBatches(
                text.train,
                masking,
                batch_size=settings.batch_size,
                seed=mix(settings.seed, number),
            )
            for number, text in enumerate(self.texts)
        ]
        metrics = run.noted(_MEASURED)
        if metrics is None or last_checkpoint(run.folder) is None:
            metrics = self._start(attachment, masking, streams)
            if aligned is not None:
                metrics["retrieval_before"] = aligned.retrieval(base)
            run.note(_MEASURED, metrics)
        keep_best = settings.keep_best
        if keep_best is None:
            keep_best = self.kind is Kind.BILINGUAL
            keep_best = keep_best or settings.patience is not None
        watch = None
        if keep_best or settings.evaluate_every is not None:
            watch = Watch(
                lambda: {HELD_OUT: self._loss(masking, self.texts[-1], _bias(attachment))},
                settings.measures_every(),
                best=HELD_OUT if keep_best else None,
                patience=settings.patience,
            )
        last = self.texts[-1].language
        fitted = in_rounds(
            attachment.adapter(NEW),
            run.folder,
            lambda folder, number: fit(
                Trainee(
                    base,
                    LanguageModelling(),
                    attachment.parameters_of(NEW),
                    lambda _: _bias(attachment),
                    dropout=settings.dropout,
                    others={"alignment": Alignment()},
                ),
                self._batches(streams, aligned),
                settings,
                folder,
                label=name,
                quiet=quiet,
                watch=watch,
                curve=Curve(run.folder, number),
                reports=self.reports,
            ),
        )
        if aligned is not None:
            metrics["retrieval_after"] = aligned.retrieval(base)
        metrics |= self._losses(masking, "after", _bias(attachment))
        if watch is None:
            _add_ends(run.folder, metrics, last, fitted.steps)
        return fitted, metrics

    def _check_predictable(self, masking: Masking) -> None:
        for text in self.texts:
            if not masking.predictable(text.counts).any():
                raise TrainingError(
                    f"the text of `{text.language}` has no token that could be predicted: all are "
                    "special or unknown",
                    hint="take a base whose vocabulary can read it",
                )

    def _aligned(self, attachment: Attachment) -> PairBatches | None:
        """Return the batches of parallel text; the base reads the translations without adapter."""
        if self.pairs is None:
            return None
        settings = self.settings
        attachment.use(None)
        aligned = PairBatches(
            self.pairs,
            self.where.base,
            batch_size=settings.batch_size,
            seed=mix(settings.seed, len(self.texts)),
        )
        attachment.use(DEFAULT)
        return aligned

    def _batches(self, streams: Sequence[Batches], aligned: PairBatches | None) -> Batches:
        batches = Alternating(streams, self.ratio)
        if aligned is None:
            return batches
        return Alternating([batches, aligned], self.settings.parallel_ratio)

    def _start(
        self, attachment: Attachment, masking: Masking, streams: Sequence[TextBatches]
    ) -> dict[str, float]:
        """Measure the base alone, and give the output bias its first value."""
        attachment.use(None)
        before = self._losses(masking, "before", {})
        if self.settings.output_bias:
            some = [s.batch(_FAR + number) for s in streams for number in range(_BIAS_BATCHES)]
            counts = [masking.predictable(text.counts) for text in self.texts]
            total = sum(int(some_counts.sum()) for some_counts in counts)
            shares = torch.stack([c / c.sum() for c in counts]).mean(0)
            first = bias_from_counts(self.where.base, shares * total, some)
            with torch.no_grad():
                attachment.parameters_of(NEW)["head.bias"].copy_(first)
        attachment.use(DEFAULT)
        return {**before, **self._losses(masking, "start", _bias(attachment))}

    def _losses(self, masking: Masking, when: str, head: Mapping[str, Tensor]) -> dict[str, float]:
        return {
            f"held_out_loss_{when}_{text.language}": self._loss(masking, text, head)
            for text in self.texts
        }

    @torch.no_grad()
    def _loss(self, masking: Masking, text: Text, head: Mapping[str, Tensor]) -> float:
        """Return the mean loss over the predicted tokens of the held-out blocks."""
        base, task_type = self.where.base, LanguageModelling()
        base.model.eval()
        total, count = 0.0, 0
        parts = -(-len(text.held_out) // self.settings.batch_size)
        for number, blocks in enumerate(text.held_out.tensor_split(parts)):
            batch = on_device(masking.batch(blocks, mix(_HELD_OUT_SEED, number)), base)
            logits = task_logits(base, task_type, head, batch)
            predicted = int((batch["targets"] != IGNORED).sum())
            total += float(task_type.loss(logits, batch)) * predicted
            count += predicted
        return total / max(count, 1)


def _add_ends(folder: Path, metrics: Mapping[str, float], language: str, steps: int) -> None:
    """Add the held-out loss before the first step and after the last one to a curve."""
    curve = Curve(folder)
    curve.load()
    for when, step in (("start", 0), ("after", steps)):
        curve.add([(step, {HELD_OUT: metrics[f"held_out_loss_{when}_{language}"]})])


def _bias(attachment: Attachment) -> Mapping[str, Tensor]:
    """Return the output bias of the adapter in training, if it has one."""
    head = attachment.head()
    return head[1] if head else {}
