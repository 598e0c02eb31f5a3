"""The text catalogue from a table of facts about public adapters.

    python starter/make_catalog.py adapters.tsv     write adapterhub_lite/catalog/adapters.jsonl

The table (tab-separated, one row an adapter; the columns are in docs/catalog.md) is not in the
tree; what it says is.  Its words for methods, activations, bases and tasks become ours here, and a
value that has no word of ours is an error, never passed on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapterhub_lite import base_names
from adapterhub_lite.catalog import entries
from adapterhub_lite.catalog.entries import Entry

Row = Mapping[str, str]

PLACEMENTS = {"pfeiffer": "pfeiffer", "houlsby": "houlsby"}
LORA = {"lora", "qlora"}

ACTIVATIONS = {"relu": "relu", "swish": "silu", "gelu": "gelu_new"}
"""Archived configs use the old names, in which `gelu` is the tanh approximation."""

HEADS = {
    **dict.fromkeys(("ner", "pos", "chunk", "semtag", "ged", "deprel"), "token-classification"),
    **dict.fromkeys(
        (
            "argument", "citation_intent", "dialect", "emotion", "formality_classify",
            "lingaccept", "nli", "quality_estimation", "question_classification", "sentiment",
            "sts", "wordsense",
        ),
        "sequence-classification",
    ),
    "qa": "question-answering",
    "comsense": "multiple-choice",
    "dp": "dependency-parsing",
    "sum": "sequence-to-sequence",
    "mt": "sequence-to-sequence",
    "lm": "language-modelling",
}  # fmt: skip
"""Task to the type of its head."""

SEVERAL_HEADS = {"boolq", "quartz", "narrativeqa"}
"""Data sets of `qa` that are answered with heads of other types than the task's."""

SAME_ACTIVATION = "its source's key fits adapters of two activations; that with its own was taken"

REMARKS = {
    "labels O,B-PER": None,  # in `head`
    "52 languages": "52 languages",
    "LoRA r=64 alpha=16": None,  # in `config`
    "MAD-X 2.0": None,  # in `dropped`
    "NLI domain-adaptation adapter": "trained for domain adaptation on NLI data",
    "PEFT file layout": None,  # in `format`
    "apply with_abs=False": None,
    "architecture from the run configuration": "config read from the run's settings",
    "base given in words": None,  # in `excluded`
    "base, language and method read": None,
    "base id read from the repo name": "base read from the repository's name",
    "code-mixed": "code-mixed Hindi and English",
    "direction en->ro": "from English to Romanian, although its name says the reverse",
    "domain adapter: sits between": None,  # by its kind
    "file stem says": None,
    "evaluated on MasakhaNER": "evaluated by its authors on MasakhaNER",
    "gelu variant chosen": SAME_ACTIVATION,
    "id says xlm-roberta-base": "its name says XLM-R, its publisher loads it on T5",
    "invertible not stated": "invertible part assumed, as the method's default",
    "module cut out of": "a module of facebook/xmod-base",
    "multilingual quality estimation": "for several languages",
    "no model card": "no model card: base, language and method are by the repository's name",
    "only valid with the mad-x-2": "goes with the M2QA adapters of MAD-X 2 only",
    "relu variant also matches": None,
    "relu variant chosen": SAME_ACTIVATION,
    "research use": "research use only",
    "set by the MAD-X default": None,
    "size rounded": None,  # sizes are to three digits
    "source dependency text names Japanese": "one place at its source names Japanese instead",
    "sparse difference": "about 7.6 million values",
    "stack order": None,  # in `trained_over`
    "tag is a choice": None,
    "task name assigned": "task by its data set",
    "text says 15": "its source counts one language more",
    "15 source languages": None,
    "third-party upload": "uploaded by a third party",
    "training data CC BY-NC": "trained on data under CC BY-NC 4.0",
    "training script shown for mBERT only": "what it was trained over is shown for mBERT only",
    "works only on": None,  # in `base`
    "weights file not seen": "no weights file was seen on its page",
}
"""Beginning of a remark in the table to ours; `None` where a field says it already."""


def entry(row: Row) -> Entry:
    """Return the entry of a row.

    Raises:
        KeyError: a value that has no word here.
    """
    unknown, excluded = _unknown(row), _excluded(row)
    over = row["trained_over"]
    return Entry(
        hub_id=row["hub_id"],
        kind="task" if row["kind"] == "bilingual" else row["kind"],
        languages=_languages(row),
        base=base_names.current(row["base_model"]) or "unknown",
        method=_method(row["method"]),
        format=_format(row),
        status=row["status"],
        basis=row["status_basis"],
        evidence=[part.strip() for part in row["evidence"].split(";")],
        config=_config(row),
        leave_out=_numbers(row["leave_out"]),
        task=row["task"] or None if row["kind"] != "domain" else None,
        dataset=row["dataset"] or None,
        head=_head(row),
        trained_over=[] if "|" in over or not over else over.split("+"),
        dropped=_numbers(row["leave_out"]) if "MAD-X 2.0" in row["note"] else [],
        seen=over.split("|") if "|" in over else [],
        unknown=unknown,
        inferred=["trained_over"] if row["trained_over_status"] == "inferred" else [],
        revision=row["revision"] or None,
        size=int(row["size_bytes"]) if row["size_bytes"] else None,
        licence=row["license"] or None,
        authors=_authors(row["author"]),
        citation=row["paper"] or None,
        score=_score(row),
        versions=[part.strip() for part in row["branches"].split(",") if part.strip()],
        key=row["legacy_key"] or None,
        remarks=_remarks(row),
        excluded=excluded,
    )


def _method(name: str) -> str:
    if name in LORA:
        return "lora"
    return {"lt-sft": "sft", "xmod": "xmod"}.get(name, "bottleneck")


def _format(row: Row) -> str:
    if row["method"] == "lt-sft":
        return "lt-sft"
    return "peft" if "bactrian" in row["hub_id"] else "adapterhub"


def _config(row: Row) -> dict[str, Any]:
    """Return the settings that the table states, in our words."""
    if row["method"] == "xmod":
        return {"reduction": float(row["reduction_factor"])}
    if "LoRA r=64 alpha=16" in row["note"]:
        return {"rank": 64, "alpha": 16.0}
    if row["method"] not in PLACEMENTS:
        return {}
    return {
        "placement": PLACEMENTS[row["method"]],
        "reduction": float(row["reduction_factor"]),
        "activation": ACTIVATIONS[row["nonlinearity"]],
        "invertible": row["invertible"] == "1",
        "init": "bert",
        "stacking": "chained",
    }


def _unknown(row: Row) -> list[str]:
    """Return what only a pull can tell: no setting is guessed."""
    unknown = [] if row["method"] in {*PLACEMENTS, "lt-sft", "xmod"} else ["config"]
    if "check adapter_config.json before use" in row["note"]:
        unknown.append("base")
    return [*unknown, *(["head"] if _head_unknown(row) else [])]


def _head_unknown(row: Row) -> bool:
    shipped = row["prediction_head"] == "1" and row["kind"] == "task"
    return shipped and (row["task"] == "rc" or row["dataset"] in SEVERAL_HEADS)


def _excluded(row: Row) -> str | None:
    """Return why an adapter cannot be in a registry: its base has no Hub id, or no language."""
    if not row["base_model"]:
        return "its base model is not stated"
    if " " in row["base_model"]:
        return f"its base model is stated in words only ({row['base_model']})"
    return None


def _languages(row: Row) -> dict[str, list[str]]:
    if row["kind"] == "language":
        return {"language": [row["lang_bcp47"]]}
    if row["kind"] == "bilingual":
        return {"source": [row["source_bcp47"]], "target": [row["lang_bcp47"]]}
    role = "source" if row["kind"] == "task" else "language"
    return {role: [row["source_bcp47"]]} if row["source_bcp47"] else {}


def _head(row: Row) -> dict[str, Any] | None:
    """Return the head's type, where one is shipped, and its labels where they are stated."""
    if row["kind"] not in {"task", "bilingual"} or row["prediction_head"] != "1":
        return None
    kind = "unknown" if _head_unknown(row) else HEADS[row["task"]]
    labels = [p for p in row["note"].split(";") if p.strip().startswith("labels ")]
    head: dict[str, Any] = {"type": kind}
    if labels:
        head["labels"] = labels[0].strip().removeprefix("labels ").split(",")
    return head


def _authors(text: str) -> list[str]:
    plain = text.removesuffix("(Contributed equally.)").replace(" & ", ",")
    return [name.strip() for name in plain.split(",") if name.strip()]


def _score(row: Row) -> dict[str, Any] | None:
    if not row["metric_name"]:
        return None
    return {"metric": row["metric_name"].lower(), "value": float(row["metric_value"])}


def _remarks(row: Row) -> list[str]:
    found = []
    for part in filter(None, (part.strip() for part in row["note"].split(";"))):
        known = [key for key in REMARKS if part.startswith(key) or key in part]
        if not known:
            raise KeyError(f"{row['hub_id']}: no words for the remark `{part}`")
        found += [REMARKS[max(known, key=len)]]
    return list(dict.fromkeys(remark for remark in found if remark))


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def main() -> None:
    """Write the text catalogue."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--into", type=Path, default=entries.TEXT)
    arguments = parser.parse_args()
    with arguments.table.open(encoding="utf-8", newline="") as source:
        rows = csv.DictReader(source, delimiter="\t", quoting=csv.QUOTE_NONE)
        entries.write(map(entry, rows), arguments.into)


if __name__ == "__main__":
    main()
