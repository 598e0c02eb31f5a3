"""Heads of `adapters`: its own ("flex") and those of transformers' classes, to ours and back.

A flex head is a list of layers with weights at some places, `heads.NAME.1.weight`; a head of a
transformers class has that class's names, and its config is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange.adapterhub_words import ACTIVATIONS, LIBRARY
from adapterhub_lite.exchange.architectures import spelling
from adapterhub_lite.exchange.converter import Tensors
from adapterhub_lite.tasks.heads import HeadShape

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.bases import BaseShape

WITHOUT = "`--without-head` imports the adapter alone"

_TYPES = {
    "classification": "sequence-classification",
    "tagging": "token-classification",
    "question_answering": "question-answering",
}
_CLASSES = {
    "xlm-roberta": "XLMRobertaAdapterModel",
    "roberta": "RobertaAdapterModel",
    "bert": "BertAdapterModel",
    "distilbert": "DistilBertAdapterModel",
    "electra": "ElectraAdapterModel",
    "gpt2": "GPT2AdapterModel",
    "llama": "LlamaAdapterModel",
    "mistral": "MistralAdapterModel",
}
_LAST_TOKEN = ("GPT2", "Llama", "Mistral", "Qwen2", "Qwen3", "GPTJ")
"""Families whose text classification reads the last token, which padding moves."""
_STATIC: dict[str, tuple[str, int, str | None, tuple[str, ...]]] = {
    "ForTokenClassification": ("tagging", 1, None, ("classifier",)),
    "ForQuestionAnswering": ("question_answering", 1, None, ("qa_outputs",)),
    "RobertaForSequenceClassification": (
        "classification",
        2,
        "tanh",
        ("classifier.dense", "classifier.out_proj"),
    ),
    "DistilBertForSequenceClassification": (
        "classification",
        2,
        "relu",
        ("pre_classifier", "classifier"),
    ),
}
"""Heads of transformers' classes (by the end of the class's name): type, layers, activation, names.

Text classification of BERT is not among them: it reads the base's pooler.
"""


def model_class(base: BaseShape) -> str:
    """Return the library's class of models with exchangeable heads, for a family."""
    return _CLASSES.get(base.identity.architecture, "")


def read_head(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], labels: tuple[str, ...], where: str
) -> tuple[HeadSpec, dict[str, Tensor]]:
    """Return a head in this package's form.

    Args:
        config: all of `head_config.json`.
        labels: what the user says they are; else the file's own.

    Raises:
        ExchangeError: a head that has no exact form here; names why.
    """
    if config.get("config") is None:
        return _static(config, tensors, labels, where)
    return _flex(config, tensors, labels, where)


def _flex(
    outer: Mapping[str, Any], tensors: Mapping[str, Tensor], labels: tuple[str, ...], where: str
) -> tuple[HeadSpec, dict[str, Tensor]]:
    config = _mapping(outer["config"], where)
    kind = str(config.get("head_type"))
    if config.get("use_pooler"):
        raise ExchangeError(
            f"{where}: the head reads the base's pooler (`use_pooler`), which adapters here do not",
            hint=WITHOUT,
        )
    last = _reads_last(str(outer.get("model_class")), kind)
    if kind not in _TYPES or last:
        raise _no_form(kind if not last else f"{kind} of the last token", where)
    layers, function = config.get("layers"), config.get("activation_function")
    if type(layers) is not int or layers < 1:
        raise ExchangeError(f"{where}: head config `layers` is `{layers}`", hint=WITHOUT)
    shape = _shape(kind, layers, function, where)
    step = 3 if function else 2
    places = [f"heads.{outer.get('name')}.{step * layer + 1}" for layer in range(layers)]
    spec = _spec(kind, shape, config, labels, where)
    return spec, _weights(tensors, places, where, bias=config.get("bias", True))


def _static(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], labels: tuple[str, ...], where: str
) -> tuple[HeadSpec, dict[str, Tensor]]:
    name = str(config.get("model_class"))
    kinds = [key for key in _STATIC if name.endswith(key)]
    if not kinds or (name.startswith(_LAST_TOKEN) and "Sequence" in name):
        raise _no_form(name, where)
    kind, layers, function, places = _STATIC[kinds[0]]
    shape = _shape(kind, layers, function, where)
    spec = _spec(kind, shape, config, labels, where)
    return spec, _weights(tensors, places, where, bias=True)


def _shape(kind: str, layers: int, function: Any, where: str) -> HeadShape:
    if layers == 1:
        function = None  # stands after hidden layers only
    if function is not None and function not in list(ACTIVATIONS):
        raise ExchangeError(f"{where}: head config `activation_function` is `{function}`")
    pooling = "mean" if kind == "question_answering" else "first"
    return HeadShape(pooling, layers, ACTIVATIONS[function] if function else None)


def _weights(
    tensors: Mapping[str, Tensor], places: tuple[str, ...] | list[str], where: str, *, bias: Any
) -> dict[str, Tensor]:
    left = Tensors(tensors, where)
    found: dict[str, Tensor] = {}
    for number, place in enumerate(places):
        last = number == len(places) - 1
        name = "" if last else f"{number}."
        found[f"{name}weight"] = weight = left.take(f"{place}.weight")
        if last and bias is False:
            found["bias"] = weight.new_zeros(weight.shape[0])
        else:
            found[f"{name}bias"] = left.take(f"{place}.bias")
    left.finish()
    return found


def _spec(
    kind: str, shape: HeadShape, config: Mapping[str, Any], labels: tuple[str, ...], where: str
) -> HeadSpec:
    """Return the head's type, labels by number and config."""
    numbers, count = config.get("label2id"), config.get("num_labels")
    if kind == "question_answering":
        return HeadSpec(_TYPES[kind], (), shape.to_config())
    if numbers is not None and not _is_numbering(numbers):
        raise ExchangeError(f"{where}: `label2id` does not number the labels from 0: {numbers}")
    own = tuple(sorted(numbers, key=lambda label: int(numbers[label]))) if numbers else ()
    size = len(own) or count
    if labels and size and len(labels) != size:
        raise ExchangeError(f"{where} has {size} labels, `--labels` names {len(labels)}")
    if count == 1:
        raise _no_form("regression", where)
    if not (labels or own):
        raise ExchangeError(
            f"{where} does not name its {count} labels", hint="`--labels FIRST,SECOND,...`"
        )
    return HeadSpec(_TYPES[kind], labels or own, shape.to_config())


def _is_numbering(numbers: Any) -> bool:
    if not isinstance(numbers, Mapping) or not all(isinstance(k, str) for k in numbers):
        return False
    return sorted(map(str, numbers.values())) == sorted(map(str, range(len(numbers))))


def _reads_last(name: str, kind: str) -> bool:
    return kind == "classification" and name.startswith(_LAST_TOKEN)


def _no_form(kind: str, where: str) -> ExchangeError:
    if kind.endswith(("_lm", "ForMaskedLM", "ForCausalLM", "LMHeadModel")):
        return ExchangeError(
            f"{where}: head `{kind}` is a whole output layer of a language model; here the base "
            "has one, and adapters have none",
            hint=WITHOUT,
        )
    return ExchangeError(f"{where}: head `{kind}` has no form here", hint=WITHOUT)


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ExchangeError(f"{where}: `config` must be an object, found `{value}`")
    return value


def write_head(
    head: HeadSpec, weights: Mapping[str, Tensor], name: str, base: BaseShape
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the library's head config and tensors.

    Raises:
        ExchangeError: a head that the library cannot compute; names why.
    """
    kinds = {ours: theirs for theirs, ours in _TYPES.items()}
    if head.type not in kinds or not model_class(base):
        raise ExchangeError(f"`{LIBRARY}` has no head `{head.type}` for this base")
    kind, shape = kinds[head.type], HeadShape(**head.config)
    if kind == "classification" and shape.pooling == "mean":
        raise ExchangeError(
            f"the head reads the mean over a text's tokens, `{LIBRARY}` the first one only"
        )
    if _reads_last(model_class(base), kind):
        raise ExchangeError(f"`{LIBRARY}` classifies by the last token in this family")
    function = spelling(shape.activation) if shape.activation else None
    labels = head.labels or ("start", "end")
    config: dict[str, Any] = {
        "activation_function": function,
        "dropout_prob": None,
        "head_type": kind,
        "label2id": {label: number for number, label in enumerate(head.labels)} or None,
        "layers": shape.layers,
        "num_labels": len(labels),
    }
    if kind == "classification":
        config |= {"use_pooler": False, "bias": True}
    step = 3 if function else 2
    tensors = {}
    for layer in range(shape.layers):
        own = "" if layer == shape.layers - 1 else f"{layer}."
        for what in ("weight", "bias"):
            tensors[f"heads.{name}.{step * layer + 1}.{what}"] = weights[own + what]
    return config, tensors
