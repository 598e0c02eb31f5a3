"""The library `adapters` in its own environment: a process that measures when it is asked to.

    python benchmarks/peer.py          (reads a JSON object a line, answers with one)

`Peer` is our end of it, `main` theirs.  This file imports nothing of ours, so that it runs there.
Weights come as a safetensors file under our names; what is computed is compared, so that both
sides provably do the same work.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Peer:
    """The other process.  Attribute `python` of the command line names its interpreter."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(Path(__file__).resolve())],
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
        self.batches: dict[str, Any] = {}

    def load(self, base: str, *, head: bool = False) -> dict[str, Any]:
        """Load the base that we wrote to a folder."""
        import adapters
        import torch
        import transformers

        torch.set_num_threads(1)
        kind: Any = transformers.AutoModelForMaskedLM if head else transformers.XLMRobertaModel
        options: Any = {} if head else {"add_pooling_layer": False}
        self.model = kind.from_pretrained(base, **options)
        self.plain = kind.from_pretrained(base, **options).eval()
        adapters.init(self.model)
        self.model.eval()
        return {}

    def add(self, name: str, path: str, *, reduction: float, invertible: bool) -> dict[str, Any]:
        """Add a bottleneck adapter with our weights."""
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
                if own is not None:
                    parameter.copy_(ours[own])
                    used.add(own)
        left = [key for key in ours if key not in used and not key.startswith("head.")]
        if left:
            raise ValueError(f"weights without a place: {left[:3]}")
        return {}

    def batch(self, name: str, ids: list[list[int]]) -> dict[str, Any]:
        """Keep a batch of token ids."""
        import torch

        self.batches[name] = torch.tensor(ids)
        return {}

    def forward(self, batch: str, setup: Any) -> dict[str, Any]:
        """Time one forward pass; `setup` is a list (a stack), a list of lists (rows), or `None`."""
        import torch
        from adapters.composition import BatchSplit, Stack

        model = self.plain if setup is None else self.model
        if setup is not None:
            rows = isinstance(setup[0], list)
            stacks = [Stack(*names) for names in setup] if rows else []
            active = BatchSplit(*stacks, batch_sizes=[1] * len(stacks)) if rows else Stack(*setup)
            model.set_active_adapters(active)
        ids = self.batches[batch]
        with torch.inference_mode():
            start = time.process_time()
            hidden = model(ids, attention_mask=torch.ones_like(ids))[0]
            seconds = time.process_time() - start
        return {"seconds": seconds, "first": hidden[0, 0, :8].tolist()}

    def train(self, blocks: str, *, steps: int, rate: float, masked: float) -> dict[str, Any]:
        """Time steps of language modelling with `AdapterTrainer` on rows of token ids (a .pt file).

        Rows are padded to the longest of their batch, as the library's example script does.
        """
        import torch
        import transformers
        from adapters import AdapterTrainer

        data = torch.load(blocks)
        rows = [{"input_ids": row} for row in data["rows"]]
        self.model.train_adapter(data["adapter"])
        size, mask = data["batch_size"], data["mask"]
        arguments = transformers.TrainingArguments(
            output_dir=data["folder"],
            max_steps=steps,
            per_device_train_batch_size=size,
            learning_rate=rate,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
        )
        seen = {"tokens": 0}

        def collate(items: list[Any]) -> Any:
            lengths = [len(item["input_ids"]) for item in items]
            seen["tokens"] += sum(lengths)
            ids = torch.full((len(items), max(lengths)), 1)
            for number, item in enumerate(items):
                ids[number, : lengths[number]] = item["input_ids"]
            chosen = (torch.rand(ids.shape) < masked) & (ids > 4)
            labels = torch.where(chosen, ids, -100)
            hidden = torch.where(chosen, torch.full_like(ids, mask), ids)
            return {"input_ids": hidden, "attention_mask": (ids != 1).long(), "labels": labels}

        trainer = AdapterTrainer(
            model=self.model, args=arguments, train_dataset=rows, data_collator=collate
        )
        start = time.process_time()
        trainer.train()
        return {"seconds": time.process_time() - start, "tokens": seen["tokens"], **peak()}


def peak() -> dict[str, int]:
    """Return the most memory that this process ever had, in KiB."""
    import resource

    return {"peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def _our_name(key: str, name: str) -> str | None:
    """Return our name of a parameter of theirs, or `None` where it is another adapter's."""
    parts = key.split(".")
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
