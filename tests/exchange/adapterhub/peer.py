"""Runs under the peer's interpreter: saves adapters with `adapters`, or loads what we exported.

    python peer.py write|read PLAN.json FOLDER

One process does all cases, since importing the library takes seconds.  PLAN.json has the bases by
name, a batch, and cases; FOLDER gets each case's adapters (when writing) and `ID.safetensors` with
the outputs.  This file imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import adapters
import torch
import transformers
from adapters.composition import Fuse, Stack
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()

Case = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def load_model(case: Case, base: str) -> Any:
    """Return the base: as the library's own class, without head, or with a transformers head."""
    head = case.get("head", {})
    if "static" in head:
        labels = {"num_labels": head["num_labels"]} if "num_labels" in head else {}
        kind = getattr(transformers, head["static"])
        model = kind.from_pretrained(base, attn_implementation="eager", **labels)
        adapters.init(model)
    elif case.get("headless"):
        model = transformers.AutoModel.from_pretrained(base, attn_implementation="eager")
        adapters.init(model)
    else:
        kind = adapters.AutoAdapterModel
        model = kind.from_pretrained(base, attn_implementation="eager")
    return model.eval()


def randomise(model: Any, names: list[str], seed: int) -> None:
    """Draw every weight of these, so that no default of 0 or 1 hides a lost tensor."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in sorted(model.state_dict().items()):
        if any(f".{name}." in f".{key}" for name in names) and ".pool." not in key:
            near = 1.0 if key.endswith(("scaling", "m.weight")) else 0.0
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3 + near)


def block(setup: Any) -> Any:
    """Return a composition: a name, a list for a stack, `{"fuse": [...]}`."""
    if isinstance(setup, str):
        return setup
    if isinstance(setup, dict):
        return Fuse(*setup["fuse"])
    return Stack(*[block(part) for part in setup])


def outputs(model: Any, batch: Tensors, case: Case, head: dict[str, str]) -> Tensors:
    """Return last hidden states, a head's logits, and the vocabulary's, as far as asked for."""
    found: Tensors = {}
    with torch.no_grad():
        found["hidden"] = model.base_model(**batch)[0]
        if case.get("head"):
            answer = model(**batch, **head)
            pair = ("start_logits", "end_logits")
            found["logits"] = (
                answer.logits
                if "logits" in answer
                else torch.stack([answer[name] for name in pair], dim=-1)
            )
        if case.get("vocabulary"):
            found["vocabulary"] = model(**batch, head="default").logits
    return {key: value.contiguous() for key, value in found.items()}


def write(case: Case, base: str, batch: Tensors, folder: Path) -> None:
    """Save the adapters of a case and what the library computes with them."""
    model, names = load_model(case, base), list(case["adapters"])
    head = case.get("head", {})
    flex = bool(head) and "static" not in head
    for name, config in case["adapters"].items():
        model.add_adapter(name, config=adapters.AdapterConfig.load(config))
        if flex:
            model.add_prediction_head_from_config(name, dict(head))
    drawn = [*names, "classifier", "qa_outputs", "pre_classifier"]
    fused = Fuse(*case["fusion"]["members"]) if "fusion" in case else None
    if fused is not None:
        model.add_adapter_fusion(fused, case["fusion"]["config"])
        drawn.append(fused.name)
    randomise(model, drawn, case["seed"])
    model.set_active_adapters(block(case["setup"]))
    found = outputs(model, batch, case, {"head": names[-1]} if flex else {})
    save_file(found, folder / f"{case['id']}.safetensors")
    own = folder / case["id"]
    own.mkdir()
    for name in names:
        safe = not case.get("pickle")
        model.save_adapter(str(own / name), name, with_head=bool(head), use_safetensors=safe)
    if fused is not None:
        model.save_adapter_fusion(str(own / "fusion"), fused, use_safetensors=True)


def read(case: Case, base: str, batch: Tensors, folder: Path) -> None:
    """Load folders with the library's own loader; nothing may be missing or left over."""
    model = load_model(case, base)
    safe = bool(case.get("safe"))
    for name, place in case["folders"].items():
        info: dict[str, list[str]] = {}
        model.load_adapter(place, load_as=name, loading_info=info, use_safetensors=safe)
        left = [key for key in info.get("unexpected_keys", ()) if not key.startswith("heads.")]
        missing = [key for key in info.get("missing_keys", ()) if ".pool." not in key]  # aliases
        assert not missing, missing[:5]
        assert not left, left[:5]
    model.set_active_adapters(block(case["setup"]))
    head = {"head": list(case["folders"])[-1]} if case.get("head") else {}
    save_file(outputs(model, batch, case, head), folder / f"{case['id']}.safetensors")


def main() -> None:
    """Do all cases; one that fails is noted in `failed.json` and disturbs no other."""
    what, plan_file, target = sys.argv[1:]
    plan, folder = json.loads(Path(plan_file).read_text(encoding="utf-8")), Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    batch = {key: torch.tensor(value) for key, value in plan["batch"].items()}
    failed = {}
    for case in plan["cases"]:
        try:
            {"write": write, "read": read}[what](case, plan["bases"][case["base"]], batch, folder)
        except Exception as error:
            failed[case["id"]] = f"{type(error).__name__}: {error}"
    (folder / "failed.json").write_text(json.dumps(failed), encoding="utf-8")


main()
