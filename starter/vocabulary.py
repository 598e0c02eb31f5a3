"""Cut a large unigram vocabulary to the pieces that earn their place, and make its tokenizer.

A piece earns what it saves: how often it is used, times how many more pieces its text would cost
without it. Languages of running text count by the square root of their size; the names of every
CLDR and Django locale are added with a smaller weight.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from names import cldr_names, cldr_tags, django_strings
from packed_e5 import SPECIALS

Pieces = list[tuple[str, float]]

NARROWING = (4, 2, 1.4, 1.15, 1)  # times the final size; pieces are counted anew in between
TEXT_WEIGHT, NAME_WEIGHT, DJANGO_WEIGHT = 1.0, 0.006, 0.0006
FEWEST_NAMES = 100
MIN_CHAR_COUNT = 6
LARGE_SCRIPTS = ("CJK", "HANGUL", "KANGXI", "BOPOMOFO", "YI")
# What XLM-R's own normaliser does beyond NFKC.
AS_SPACE = "[\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"
REMOVED = "[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]"


def make_tokenizer(pieces: Pieces, ids: list[int]) -> PreTrainedTokenizerFast:
    """A tokenizer of the chosen pieces; ``ids`` begins with the five special ones."""
    chosen = [pieces[i] for i in ids]
    vocabulary = [(text, 0.0) for text, _ in chosen[:SPECIALS]]
    vocabulary += [(text, round(score, 3)) for text, score in chosen[SPECIALS:]]
    inner = Tokenizer(Unigram(vocabulary, unk_id=3, byte_fallback=False))
    inner.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(AS_SPACE), " "),
            normalizers.Replace(Regex(REMOVED), ""),
            normalizers.NFKC(),
        ]
    )
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    inner.decoder = decoders.Metaspace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=256,
    )


def special_ids(pieces: Pieces) -> list[int]:
    """Where ``<s> <pad> </s> <unk> <mask>`` stand in the large vocabulary."""
    where = {text: i for i, (text, _) in enumerate(pieces)}
    return [where[text] for text in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")]


def choose_pieces(pieces: Pieces, text: dict[str, list[str]], size: int) -> list[int]:
    """Row numbers of the pieces to keep: specials, every letter, then the most useful."""
    specials = special_ids(pieces)
    words = word_weights(text)
    letters = wanted_characters(pieces, words)
    every = specials + [i for i in range(len(pieces)) if i not in set(specials)]
    ids, pool = every, set(range(len(pieces))) - set(specials)
    for narrow in NARROWING:
        counts = piece_counts(make_tokenizer(pieces, ids), words, ids)
        gains = gains_of(pieces, counts, letters)
        best = sorted(pool - letters, key=lambda i: (-gains.get(i, 0.0), i))
        kept = letters | set(best[: int(narrow * size) - SPECIALS - len(letters)])
        ids, pool = specials + sorted(kept), kept
    return ids


def word_weights(text: dict[str, list[str]]) -> dict[str, float]:
    """How much each white-space word counts."""
    weights: dict[str, float] = defaultdict(float)
    for lines in text.values():
        _add(weights, lines, TEXT_WEIGHT / max(1, len(text)))
    for tag in cldr_tags():
        names = set().union(*cldr_names(tag).values())
        if len(names) >= FEWEST_NAMES:
            _add(weights, names, NAME_WEIGHT)
    for _, strings in django_strings():
        _add(weights, strings, DJANGO_WEIGHT)
    return weights


def _add(weights: dict[str, float], lines: Iterable[str], weight: float) -> None:
    counts = Counter(word for line in lines for word in line.split())
    total = math.sqrt(counts.total() or 1)
    for word, count in counts.items():
        weights[word] += weight * count / total


def wanted_characters(pieces: Pieces, words: dict[str, float]) -> set[int]:
    """Single characters: all letters and marks of small scripts, and others seen often enough."""
    seen: Counter[str] = Counter()
    for word in words:
        seen.update(set(unicodedata.normalize("NFKC", word)))
    wanted = set()
    for i, (piece, _) in enumerate(pieces):
        if len(piece) == 1 and (_small_script_letter(piece) or seen[piece] >= MIN_CHAR_COUNT):
            wanted.add(i)
    return wanted | {i for i, (piece, _) in enumerate(pieces) if piece == "\u2581"}


def _small_script_letter(char: str) -> bool:
    name = unicodedata.name(char, "")
    letter = unicodedata.category(char)[0] in "LM"
    return bool(name) and letter and not name.startswith(LARGE_SCRIPTS)


def piece_counts(
    tokenizer: PreTrainedTokenizerFast, words: dict[str, float], ids: list[int]
) -> dict[int, float]:
    """Weighted uses of every piece, by its row in the large vocabulary."""
    counts: dict[int, float] = defaultdict(float)
    names = list(words)
    for start in range(0, len(names), 20_000):
        part = names[start : start + 20_000]
        for word, split in zip(part, tokenizer.backend_tokenizer.encode_batch(part), strict=True):
            for token in split.ids[1:-1]:
                if token != tokenizer.unk_token_id:
                    counts[ids[token]] += words[word]
    return counts


def gains_of(pieces: Pieces, counts: dict[int, float], letters: set[int]) -> dict[int, float]:
    """Pieces saved by each piece: uses times (pieces its text takes without it, less one)."""
    used = {pieces[i][0]: pieces[i][1] for i in {*counts, *letters}}
    return {i: n * (_cost_without(pieces[i][0], used) - 1) for i, n in counts.items()}


def _cost_without(piece: str, scores: dict[str, float]) -> int:
    """How many pieces the best split of a piece's text takes when the piece itself is gone."""
    best = [(0.0, 0)] + [(-math.inf, 0)] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            part = piece[start:end]
            score = best[start][0] + scores.get(part, -25.0 if len(part) == 1 else -math.inf)
            if part != piece and score > best[end][0]:
                best[end] = (score, best[start][1] + 1)
    return best[-1][1]
