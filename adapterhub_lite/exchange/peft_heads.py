"""Heads in peft's files: what transformers' classes put on the trunk, retrained and saved along.

token classification      `classifier` (decoders: `score`): linear, at every token
sequence classification   `classifier.dense`, `classifier.out_proj` at the first token (RoBERTa);
                          `classifier` on the base's own pooler (BERT); `score` at the last token
                          (decoders)
question answering        `qa_outputs`: linear, two numbers a token
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.errors import ExchangeError, UsageError
from adapterhub_lite.exchange.converter import Tensors
from adapterhub_lite.tasks import heads
from adapterhub_lite.tasks.heads import HeadShape

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape
    from adapterhub_lite.exchange.details import Details

Head = tuple[HeadSpec, dict[str, "Tensor"], tuple[str, ...]]

TASKS = {
    "TOKEN_CLS": "token-classification",
    "SEQ_CLS": "sequence-classification",
    "QUESTION_ANS": "question-answering",
}
FIRST = HeadShape(pooling="first", layers=2, activation="tanh")
LAST = HeadShape(pooling="last")
"""How transformers' classes compute a text's labels: encoders and decoders."""
NAMES = ("classifier", "score", "qa_outputs")
_FORMS = {
    "answers": ("question-answering", HeadShape()),
    "tokens": ("token-classification", HeadShape()),
    "first": ("sequence-classification", FIRST),
    "pooled": ("sequence-classification", FIRST),
    "last": ("sequence-classification", LAST),
}


def read(tensors: Tensors, base: BaseShape, details: Details, task_type: str | None) -> Head | None:
    """Take a head's tensors (by their names in transformers' classes) and return it.

    Raises:
        ExchangeError: a head that has no form here, or a task type without its head.
        UsageError: the task type is not said and the tensors fit several.
    """
    names = set(tensors.keys())
    if not names:
        if task_type in TASKS:
            raise ExchangeError(f"{tensors.where} is for {TASKS[task_type]} and has no head")
        return None
    form = _form(names, base, TASKS.get(task_type or "") or details.task_type, tensors.where)
    weights = {ours: tensors.take(theirs) for ours, theirs in _keys(form, names).items()}
    notes: tuple[str, ...] = ()
    if form == "pooled":
        weights |= _pooler(base, tensors.where)
    if form == "last":  # transformers has no bias there
        weights["bias"] = weights["weight"].new_zeros(weights["weight"].shape[0])
    type, shape = _FORMS[form]
    labels: tuple[str, ...] = ()
    if form != "answers":
        labels, notes = _labels(details, weights["weight"].shape[0], tensors.where)
    return HeadSpec(type, labels, shape.to_config()), weights, notes


def _form(names: set[str], base: BaseShape, task_type: str | None, where: str) -> str:
    """Return which of the forms in the module's docstring some names are."""
    if names == {"qa_outputs.weight", "qa_outputs.bias"}:
        return "answers"
    if names == {f"classifier.{n}.{k}" for n in ("dense", "out_proj") for k in ("weight", "bias")}:
        return "first"
    plain = {"classifier.weight", "classifier.bias"}, {"score.weight", "score.bias"}
    decoder = base.anatomy.rotary() is not None
    if names == {"score.weight"} and decoder:
        return "last"
    if names not in plain:
        raise ExchangeError(
            f"{where} has a head of {', '.join(f'`{n}`' for n in sorted(names)[:4])}, which has no "
            "form here"
        )
    if task_type == "token-classification":
        return "tokens"
    if task_type == "sequence-classification" and base.identity.architecture == "bert":
        return "pooled"
    if task_type is None:
        raise UsageError(
            f"{where} does not say what its head `{min(names)}` is for",
            hint="`--task-type token-classification` or `--task-type sequence-classification`",
        )
    raise ExchangeError(
        f"{where} has a `{min(names)}` for {task_type}, which `{base.identity.architecture}` "
        "classes of transformers compute in a way that has no form here"
    )


def _keys(form: str, names: set[str]) -> dict[str, str]:
    """Return our names of a head's tensors with transformers'."""
    if form == "first":
        out = {"weight": "classifier.out_proj.weight", "bias": "classifier.out_proj.bias"}
        dense = {f"0.{k}": f"classifier.dense.{k}" for k in ("weight", "bias")}
        return {**dense, **out}
    return {name.rpartition(".")[2]: name for name in names}


def _pooler(base: BaseShape, where: str) -> dict[str, Tensor]:
    """Return the base's pooler, which stands between trunk and head in BERT's class."""
    found = {k: base.tensor(f"pooler.dense.{k}") for k in ("weight", "bias")}
    kept = {f"0.{k}": tensor for k, tensor in found.items() if tensor is not None}
    if len(kept) < 2:
        raise ExchangeError(
            f"{where} has a head on the base's pooler, which base `{base.identity.name}` does not "
            "hold: peft draws another one at random whenever it loads this"
        )
    return kept


def _labels(details: Details, count: int, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if details.labels:
        if len(details.labels) != count:
            raise UsageError(f"{where} has {count} labels, {len(details.labels)} are named")
        return details.labels, ()
    note = f"peft's files name no labels: the {count} are called as transformers does by default"
    return tuple(f"LABEL_{number}" for number in range(count)), (f"{note}; `--labels` names them",)


def write(
    head: HeadSpec, weights: Mapping[str, Tensor], base: BaseShape
) -> tuple[str, dict[str, Tensor], tuple[str, ...]]:
    """Return peft's task type, the tensors by their names in transformers' class, and notes.

    Raises:
        ExchangeError: no class of transformers computes such a head.
    """
    architecture = base.identity.architecture
    labels = f"{len(head.labels)} labels, in this order: {', '.join(head.labels)}"
    shape = heads.shape_of(head)
    plain = shape == HeadShape()
    if head.type == "question-answering" and plain:
        return "QUESTION_ANS", {f"qa_outputs.{k}": t for k, t in weights.items()}, ()
    if head.type == "token-classification" and plain:
        name = "score" if architecture in _SCORED else "classifier"
        note = "peft reads every token; here the head reads the mean of a word's tokens"
        return "TOKEN_CLS", {f"{name}.{k}": t for k, t in weights.items()}, (note, labels)
    text = head.type == "sequence-classification"
    if text and shape == FIRST and architecture in ("roberta", "xlm-roberta"):
        names = _keys("first", set())
        return "SEQ_CLS", {theirs: weights[ours] for ours, theirs in names.items()}, (labels,)
    if text and shape == FIRST and architecture == "bert" and _is_pooler(weights, base):
        kept = {f"classifier.{k}": weights[k] for k in ("weight", "bias")}
        return "SEQ_CLS", kept, (labels,)
    decoder = base.anatomy.rotary() is not None
    if text and shape == LAST and decoder and not weights["bias"].any():
        return "SEQ_CLS", {"score.weight": weights["weight"]}, (labels,)
    form = ", ".join(f"{key} {value}" for key, value in head.config.items()) or "one linear layer"
    raise ExchangeError(
        f"a head for {head.type} ({form}) has no form in peft folders for `{architecture}`: no "
        "class of transformers computes it",
        hint="push it: this package's own form holds all",
    )


_SCORED = ("llama", "mistral", "qwen2")
"""Families whose class for token classification calls its head `score`."""


def _is_pooler(weights: Mapping[str, Tensor], base: BaseShape) -> bool:
    import torch

    for key in ("weight", "bias"):
        own = base.tensor(f"pooler.dense.{key}")
        if own is None or not torch.equal(own.float(), weights[f"0.{key}"].float()):
            return False
    return True
