"""Topics: train task adapters on many source languages, score each on every target language.

    python study/topics.py hidden   --data DATA --work WORK --base BASE --part dev
    python study/topics.py probe    --data DATA --work WORK --base BASE --part dev
    python study/topics.py adapters --data DATA --work WORK --base BASE --part dev

What to run is in `study/plan.toml`; what it answers is in `docs/study.md`.  Every step is
resumable: what is finished is passed over, and a score is one line appended to a file of `--work`.

The adapters sit in the upper layers only, so the hidden states below them are the same for every
source: they are computed once a language (`hidden`) and each source then costs the upper layers
alone.  The result equals that of the whole forward pass (tests/study/test_topics.py).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import adapterhub_lite as ahl
from adapterhub_lite.model.attach import Attachment
from adapterhub_lite.training.settings import TaskSettings

PLAN = Path(__file__).with_name("plan.toml")
BATCH = 32
SCORES = ("part", "source", "seed", "recipe", "target", "n", "right", "macro_f1")


@dataclass(frozen=True)
class Study:
    """Where data, base and results are, and what the plan says."""

    data: Path
    work: Path
    base: Path
    plan_file: Path = PLAN

    @property
    def plan(self) -> dict[str, Any]:
        """The topics table of the plan."""
        return dict(tomllib.loads(self.plan_file.read_text(encoding="utf-8"))["topics"])

    def languages(self) -> list[str]:
        """Return the tags of all target languages."""
        folders = (self.data / "topics").iterdir()
        return sorted(path.name for path in folders if path.is_dir())

    def rows(self, language: str, part: str) -> list[tuple[str, str]]:
        """Return (label, text) of one part of one language."""
        path = self.data / "topics" / language / f"{part}.tsv.gz"
        with gzip.open(path, "rt", encoding="utf-8") as handle:
            reader = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
            next(reader)
            return [(label, text) for _, label, text in reader]

    def hidden_file(self, language: str, part: str, layer: int) -> Path:
        """Return where the hidden states below a layer are kept."""
        return self.work / "hidden" / self.base.name / str(layer) / f"{language}-{part}.pt"


@dataclass(frozen=True)
class Hidden:
    """One part of one language below the adapters: batches of (states, mask), and the labels.

    `states` are (rows, tokens, hidden size) in half precision, `mask` (rows, tokens) of bools.
    Batches hold texts of similar length; `labels` are in their order.
    """

    batches: list[tuple[Tensor, Tensor]]
    labels: list[str]


@torch.inference_mode()
def hidden_states(base: ahl.Base, rows: Sequence[tuple[str, str]], layer: int) -> Hidden:
    """Run the embeddings and the first `layer` layers."""
    rows = sorted(rows, key=lambda row: len(row[1]))
    batches = []
    for start in range(0, len(rows), BATCH):
        texts = [text for _, text in rows[start : start + BATCH]]
        encoded = base.tokenizer(
            texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        mask = encoded["attention_mask"].bool()
        trunk: Any = base.trunk
        states = trunk.embeddings(input_ids=encoded["input_ids"])
        states = run_layers(base, states, mask, range(layer))
        batches.append((states.half(), mask))
    return Hidden(batches, [label for label, _ in rows])


def blocks(base: ahl.Base) -> nn.ModuleList:
    """Return the layers of the encoder."""
    trunk: Any = base.trunk
    layers: nn.ModuleList = trunk.encoder.layer
    return layers


def run_layers(base: ahl.Base, states: Tensor, mask: Tensor, layers: Sequence[int]) -> Tensor:
    """Run some layers over (rows, tokens, hidden size); hooks of an attachment do their work."""
    for layer in layers:
        result = blocks(base)[layer](states, attention_mask=mask[:, None, None, :])
        states = result[0] if isinstance(result, tuple) else result
    return states


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the tokens, special ones included: (rows, hidden size)."""
    weights = mask.float()[..., None]
    return (states * weights).sum(1) / weights.sum(1)


def load_hidden(study: Study, base: ahl.Base, language: str, part: str, layer: int) -> Hidden:
    """Return the hidden states of one part of a language, computed at the first call."""
    path = study.hidden_file(language, part, layer)
    if not path.exists():
        made = hidden_states(base, study.rows(language, part), layer)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((made.batches, made.labels), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    batches, labels = torch.load(path)
    return Hidden(batches, labels)


@torch.inference_mode()
def predict(attachment: Attachment, hidden: Hidden, layer: int) -> list[str]:
    """Return a label a text, from the layers above and the head of the attached adapter."""
    base, head = attachment.base, attachment.head()
    assert head is not None
    spec, weights = head
    layers = range(layer, len(blocks(base)))
    labels: list[str] = []
    for states, mask in hidden.batches:
        vectors = pooled(run_layers(base, states.float(), mask, layers), mask)
        logits = linear(weights, vectors)
        labels += [spec.labels[at] for at in logits.argmax(-1).tolist()]
    return labels


def linear(weights: dict[str, Tensor], vectors: Tensor) -> Tensor:
    """Apply the only linear layer of a head."""
    ((_, bias),) = [(k, v) for k, v in weights.items() if k.endswith("bias")]
    ((_, matrix),) = [(k, v) for k, v in weights.items() if k.endswith("weight")]
    return vectors @ matrix.T + bias


def scores(gold: Sequence[str], predicted: Sequence[str]) -> tuple[int, float]:
    """Return how many are right, and macro F1 over the labels of gold and predictions."""
    names = sorted({*gold, *predicted})
    values = []
    for name in names:
        both = sum(g == name == p for g, p in zip(gold, predicted, strict=True))
        values.append(2 * both / (gold.count(name) + predicted.count(name)))
    right = sum(g == p for g, p in zip(gold, predicted, strict=True))
    return right, sum(values) / len(values)


@dataclass
class Table:
    """Scores, one line each, appended as they are measured."""

    path: Path

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self.path.write_text("\t".join(SCORES) + "\n", encoding="utf-8")
        text = self.path.read_text(encoding="utf-8")
        if not text.endswith("\n"):  # killed within a line: that score is measured again
            text = text[: text.rfind("\n") + 1]
            self.path.write_text(text, encoding="utf-8")
        lines = text.splitlines()[1:]
        self.done = {tuple(line.split("\t")[:5]) for line in lines}

    def add(self, key: tuple[str, ...], gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Append one score; `key` is (part, source, seed, recipe, target)."""
        right, macro_f1 = scores(gold, predicted)
        line = [*key, str(len(gold)), str(right), f"{macro_f1:.4f}"]
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write("\t".join(line) + "\n")
        self.done.add(key)


def open_home(study: Study) -> tuple[ahl.Home, ahl.Base]:
    """Return the study's home, which knows the base, and the base."""
    home = ahl.Home.init(study.work / f"home-{study.base.name}")
    base = ahl.load_base(study.base, home=home)
    if base.identity.name not in {entry.identity.name for entry in home.registry.bases()}:
        home.registry.add_base(base.identity, str(study.base.resolve()))
    return home, base


def train(study: Study, home: ahl.Home, base: ahl.Base, job: Job) -> None:
    """Train the adapter of a job, unless it is there."""
    recipe = job.recipe
    settings = TaskSettings(
        steps=recipe.steps, batch_size=recipe.batch_size, lr=recipe.lr, seed=job.seed
    )
    ahl.train_task(
        "topics",
        train=_train_file(study, job.source),
        source=job.source,
        task_type="sequence-classification",
        dataset="sib-200",
        base=base,
        home=home,
        name=job.name,
        method="bottleneck",
        config={"reduction": recipe.reduction},
        leave_out=tuple(range(recipe.first_layer)),
        settings=settings,
        licence="CC-BY-SA-4.0",
        quiet=True,
    )


def _train_file(study: Study, language: str) -> Path:
    path = study.work / "train" / f"{language}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            json.dumps({"text": text, "label": label}, ensure_ascii=False)
            for label, text in study.rows(language, "train")
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained: bottlenecks from one layer upwards, and a linear head."""

    first_layer: int
    reduction: int
    steps: int
    batch_size: int
    lr: float


@dataclass(frozen=True)
class Job:
    """One adapter: trained on one source with one seed by one recipe of the plan."""

    source: str
    seed: int
    recipe_name: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """The adapter's name in the study's home."""
        return f"topics-{self.source}-{self.recipe_name}-seed{self.seed}"


def jobs(study: Study, stage: str) -> Iterator[Job]:
    """Yield the jobs of a stage of the plan, in its order."""
    recipes = {name: Recipe(**values) for name, values in study.plan["recipes"].items()}
    table = study.plan[stage]
    for seed in table["seeds"]:
        for source in table["sources"]:
            for name in table["recipes"]:
                yield Job(source, seed, name, recipes[name])


def run_adapters(study: Study, stage: str, part: str) -> None:
    """Train every adapter of a stage and score it on every target of the stage."""
    home, base = open_home(study)
    table = Table(study.work / f"{stage}-{part}.tsv")
    targets = study.plan[stage].get("targets") or study.languages()
    names = {adapter.name for adapter in home.registry.find()}
    for job in jobs(study, stage):
        layer = job.recipe.first_layer
        keys = {t: (part, job.source, str(job.seed), job.recipe_name, t) for t in targets}
        if all(key in table.done for key in keys.values()):
            continue
        if job.name not in names:
            train(study, home, base, job)
        with ahl.attach(base, job.name, home=home) as attachment:
            for target, key in keys.items():
                if key not in table.done:
                    hidden = load_hidden(study, base, target, part, layer)
                    table.add(key, hidden.labels, predict(attachment, hidden, layer))
        print(job.name, flush=True)


def run_probe(study: Study, part: str) -> None:
    """Score a linear classifier on the frozen encoder's mean vector: no adapter at all."""
    _, base = open_home(study)
    table = Table(study.work / f"probe-{part}.tsv")
    last = len(blocks(base))
    vectors = {}
    for language in study.languages():
        vectors[language] = {
            name: _vectors(study, base, language, name, last) for name in ("train", part)
        }
        print("vectors", language, flush=True)
    for source in study.languages():
        weights, labels = fit_probe(*vectors[source]["train"])
        for target in study.languages():
            key = (part, source, "0", "head-only", target)
            if key not in table.done:
                x, gold = vectors[target][part]
                chosen = (x @ weights[:-1] + weights[-1]).argmax(-1).tolist()
                table.add(key, gold, [labels[at] for at in chosen])
        print("probe", source, flush=True)


def _vectors(
    study: Study, base: ahl.Base, language: str, part: str, last: int
) -> tuple[Tensor, list[str]]:
    path = study.work / "vectors" / study.base.name / f"{language}-{part}.pt"
    if not path.exists():
        hidden = hidden_states(base, study.rows(language, part), last)
        rows = [pooled(states.float(), mask) for states, mask in hidden.batches]
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((torch.cat(rows), hidden.labels), path)
    x, labels = torch.load(path)
    return x, labels


def fit_probe(x: Tensor, gold: Sequence[str], penalty: float = 1e-3) -> tuple[Tensor, list[str]]:
    """Fit softmax regression with an L2 penalty on the weights: (hidden size + 1, labels)."""
    labels = sorted(set(gold))
    y = torch.tensor([labels.index(label) for label in gold])
    mean, spread = x.mean(0), x.std(0)
    z = (x - mean) / spread
    weights = torch.zeros(x.shape[1] + 1, len(labels), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = z @ weights[:-1] + weights[-1]
        value = nn.functional.cross_entropy(logits, y) + penalty * weights[:-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    fitted = weights.detach()
    scaled = fitted[:-1] / spread[:, None]
    return torch.cat([scaled, (fitted[-1] - mean @ scaled)[None]]), labels


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", help="`probe`, or a stage of the plan: `pilot`, `matrix`")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--part", choices=("dev", "test"), default="dev")
    arguments = parser.parse_args()
    study = Study(arguments.data, arguments.work, arguments.base)
    if arguments.step == "probe":
        run_probe(study, arguments.part)
    else:
        run_adapters(study, arguments.step, arguments.part)


if __name__ == "__main__":
    main()
