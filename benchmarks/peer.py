"""The library `adapters` in its own environment: a process that measures when it is asked to.

    python -m benchmarks.peer          (reads a JSON object a line, answers with one)

`Peer` is our end of it, `main` theirs.  This file imports nothing of ours but `timing`, which needs
only torch, so that it runs there and uses the same clock on the same device.  Weights come as a
safetensors file under our names; what is computed is compared, so that both sides provably do the
same work.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import clock, device, fix_threads, half, keep_memory, peak_kib

ROOT = Path(__file__).resolve().parent.parent
MODELS = {
    "trunk": "XLMRobertaModel",
    "language": "XLMRobertaForMaskedLM",
    "words": "XLMRobertaForTokenClassification",
}
PAD, MASK = 1, 4


class Peer:
    """The other process.  Attribute `python` of the command line names its interpreter."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.peer"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Return the answer to one request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of `adapters` ended while it was asked to {do}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"adapters: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Work:
    """What the process can do.  Models are made from our config and weights."""

    def __init__(self) -> None:
        self.model: Any = None
        self.plain: Any = None
        self.batches: dict[str, Any] = {}

    def load(self, base: str, kind: str, device: str) -> dict[str, Any]:
        """Load the base that we wrote to a folder; a trunk also without adapters."""
        import adapters
        import transformers

        _check_device(device)
        fix_threads()
        found: Any = getattr(transformers, MODELS[kind])
        options: Any = {"trust_remote_code": False}
        if kind == "trunk":
            options["add_pooling_layer"] = False
        self.model = found.from_pretrained(base, **options).to(device).eval()
        if kind == "trunk":
            keep_memory()
            self.plain = found.from_pretrained(base, **options).to(device).eval()
            pairs = zip(self.plain.parameters(), self.model.parameters(), strict=True)
            for parameter, own in pairs:  # the very same weights, as on our side
                parameter.data = own.data
        adapters.init(self.model)
        return {}

    def add(self, name: str, path: str, *, reduction: float, invertible: bool) -> dict[str, Any]:
        """Add a bottleneck adapter with our weights, and its head if the model has one."""
        import torch
        from adapters import SeqBnConfig, SeqBnInvConfig
        from safetensors.torch import load_file

        kind = SeqBnInvConfig if invertible else SeqBnConfig
        activation = {"non_linearity": "relu", "reduction_factor": reduction}
        self.model.add_adapter(name, config=kind(**activation))
        ours = load_file(path)
        used = set()
        with torch.no_grad():
            for key, parameter in self.model.named_parameters():
                own = _our_name(key, name)
                if own in ours:
                    parameter.copy_(ours[own])
                    used.add(own)
        left = ours.keys() - used
        if left:
            raise ValueError(f"weights without a place: {sorted(left)[:3]}")
        self.model.to(device())
        return {}

    def batch(self, name: str, ids: list[list[int]]) -> dict[str, Any]:
        """Keep a batch of token ids."""
        import torch

        self.batches[name] = torch.tensor(ids, device=device())
        return {}

    def forward(self, batch: str, setup: Any, *, exact: bool = False) -> dict[str, Any]:
        """Time one forward pass; `setup` is a list (a stack), a list of lists (rows), or `None`.

        `exact` is in float32 whatever the device, to compare results.
        """
        from contextlib import nullcontext

        import torch
        from adapters.composition import BatchSplit, Stack

        model = self.plain if setup is None else self.model
        if setup is not None:
            rows = isinstance(setup[0], list)
            stacks = [Stack(*names) for names in setup] if rows else []
            active = BatchSplit(*stacks, batch_sizes=[1] * len(stacks)) if rows else Stack(*setup)
            model.set_active_adapters(active)
        ids = self.batches[batch]
        with torch.inference_mode(), nullcontext() if exact else half():
            start = clock()
            hidden = model(ids, attention_mask=torch.ones_like(ids))[0]
            seconds = clock() - start
        return {"seconds": seconds, "first": hidden[0, 0, :8].tolist()}

    def predict(self, groups: list[Any], *, batch_size: int) -> dict[str, Any]:
        """Time forward passes over groups of token ids, one stack a group, batches by length."""
        import torch
        from adapters.composition import Stack

        start = clock()
        with torch.inference_mode(), half():
            for names, group in groups:
                self.model.set_active_adapters(Stack(*names))
                rows = [{"input_ids": torch.tensor(ids)} for ids in sorted(group, key=len)]
                for first in range(0, len(rows), batch_size):
                    batch = _padded(rows[first : first + batch_size])
                    self.model(**{key: value.to(device()) for key, value in batch.items()})
        return {"seconds": clock() - start}

    def loss(self, rows: str, stack: list[str]) -> dict[str, Any]:
        """Return the loss of all rows of a file as one batch."""
        import torch
        from adapters.composition import Stack

        self.model.eval().set_active_adapters(Stack(*stack))
        batch = {key: value.to(device()) for key, value in _padded(torch.load(rows)).items()}
        with torch.inference_mode():
            return {"loss": float(self.model(**batch).loss)}

    def train(
        self, rows: str, *, folder: str, stack: list[str], masked: float, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Time `AdapterTrainer` on rows of token ids; the topmost adapter of `stack` is trained.

        Rows (a file of `input_ids`, and `labels` where nothing is masked) are padded to the longest
        of their batch, as the library's example scripts do.  Dropout is what the config says.
        """
        import torch
        import transformers
        from adapters import AdapterTrainer
        from adapters.composition import Stack

        self.model.train_adapter(stack[-1])
        self.model.set_active_adapters(Stack(*stack))
        for key, parameter in self.model.named_parameters():  # no more than we train
            parameter.requires_grad_(_our_name(key, stack[-1]) is not None)
        arguments = transformers.TrainingArguments(
            output_dir=folder,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            bf16=device().type == "cuda",
            **options,
        )
        arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001 - one, as on our side
        seen = {"tokens": 0, "rows": 0}

        def collate(items: list[Any]) -> Any:
            seen["tokens"] += sum(len(item["input_ids"]) for item in items)
            seen["rows"] += len(items)
            batch = _padded(items)
            return _masked(batch, masked) if masked else batch

        _group_as_large_sets()
        start = clock()
        trainer = AdapterTrainer(
            model=self.model,
            args=arguments,
            train_dataset=torch.load(rows),
            data_collator=collate,
        )
        trainer.train()
        return {"seconds": clock() - start, "peak_kib": peak_kib(), **seen}


def _check_device(theirs: str) -> None:
    """Make sure that no GPU is compared with a CPU."""
    if device().type != theirs:
        raise ValueError(f"torch here computes on {device().type}, there on {theirs}")


def _group_as_large_sets() -> None:
    """Let `group_by_length` sort 50 batches together, as it does from 200 batches in a set on.

    Of fewer it sorts a quarter together.  Our small sets stand for a large one.
    """
    from functools import partial

    from transformers import trainer_pt_utils

    function = trainer_pt_utils.get_length_grouped_indices
    if not isinstance(function, partial):
        trainer_pt_utils.get_length_grouped_indices = partial(function, mega_batch_mult=50)


def _padded(rows: list[Any]) -> dict[str, Any]:
    """Return rows as one batch, padded to the longest."""
    from torch.nn.utils.rnn import pad_sequence

    fill = {"input_ids": PAD, "labels": -100}
    batch = {
        key: pad_sequence([row[key] for row in rows], batch_first=True, padding_value=fill[key])
        for key in rows[0]
    }
    return {**batch, "attention_mask": (batch["input_ids"] != PAD).long()}


def _masked(batch: dict[str, Any], share: float) -> dict[str, Any]:
    """Return the batch with this share of its tokens to predict."""
    import torch

    ids = batch["input_ids"]
    chosen = (torch.rand(ids.shape) < share) & (ids > MASK)
    labels = torch.where(chosen, ids, -100)
    return {**batch, "input_ids": ids.masked_fill(chosen, MASK), "labels": labels}


def _our_name(key: str, name: str) -> str | None:
    """Return our name of a parameter of theirs, or `None` where it is not of this adapter."""
    parts = key.split(".")
    if parts[0] == "classifier":
        return f"head.{parts[-1]}"
    if name not in parts or "adapters" not in key:
        return None
    end = "_bias" if parts[-1] == "bias" else ""
    if "invertible_adapters" in parts:
        return f"shared.{parts[-3]}{parts[-2]}{end}"
    layer = parts[parts.index("layer") + 1]
    which = "down" if "adapter_down" in parts else "up"
    return f"ffn_block.{layer}.{which}{end}"


def main() -> None:
    """Answer requests until there are no more."""
    work = Work()
    answers, sys.stdout = sys.stdout, sys.stderr  # the library prints; answers must be alone
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(work, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other side must hear of it
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
