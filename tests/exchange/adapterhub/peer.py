"""Runs under the peer's interpreter: saves adapters with `adapters`, or loads what we exported.

    python peer.py write|read PLAN.json FOLDER

One process does all cases, since importing the library takes seconds.  PLAN.json has the bases by
name, a batch, and cases; FOLDER gets each case's adapters (when writing) and `ID.safetensors` with
the outputs.  This file is read by Python 3.9 and up and imports nothing of this project.
"""

import json
import sys
import warnings
from pathlib import Path

import adapters
import torch
import transformers
from adapters import AutoAdapterModel
from adapters.composition import Fuse, Stack
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()


def load_model(folder, headless=False):
    if headless:
        model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager")
        adapters.init(model)
    else:
        model = AutoAdapterModel.from_pretrained(folder, attn_implementation="eager")
    return model.eval()


def randomise(model, names, seed):
    """Draw every weight of the adapters, so that no default of 0 or 1 hides a lost tensor."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in sorted(model.state_dict().items()):
        if any(f".{name}." in key for name in names) and ".pool." not in key:
            noise = torch.randn(value.shape, generator=generator) * 0.3
            value.copy_(noise + (1.0 if key.endswith(("scaling", "m.weight")) else 0.0))


def activate(model, setup):
    """A text is one adapter; a list a stack; `{"fuse": [...]}` a fusion."""
    model.set_active_adapters(block(setup))


def block(setup):
    if isinstance(setup, str):
        return setup
    if isinstance(setup, dict):
        return Fuse(*setup["fuse"])
    return Stack(*[block(part) for part in setup])


def outputs(model, batch, head, vocabulary):
    with torch.no_grad():
        found = {"hidden": model.base_model(**batch)[0]}
        if head:
            answer = model(**batch, head=head)
            if "logits" in answer:
                found["logits"] = answer.logits
            else:
                found["logits"] = torch.stack((answer.start_logits, answer.end_logits), dim=-1)
        if vocabulary:
            found["vocabulary"] = model(**batch, head="default").logits
    return {key: value.contiguous() for key, value in found.items()}


def add_head(model, name, config):
    if "static" in config:
        return
    getattr(model, config["add"])(name, **config.get("options", {}))


def write(case, base, batch, folder):
    head = case.get("head") or {}
    if "static" in head:
        kind = getattr(transformers, head["static"])
        options = {"num_labels": head["num_labels"]} if "num_labels" in head else {}
        model = kind.from_pretrained(base, attn_implementation="eager", **options)
        adapters.init(model)
        model.eval()
    else:
        model = load_model(base, case.get("headless", False))
    names = list(case["adapters"])
    for name, config in case["adapters"].items():
        model.add_adapter(name, config=adapters.AdapterConfig.load(config))
    if "fusion" in case:
        model.add_adapter_fusion(Fuse(*case["fusion"]["members"]), case["fusion"]["config"])
    for name in names if head and "static" not in head else ():
        add_head(model, name, head)
    randomise(
        model,
        [*names, *([",".join(case["fusion"]["members"])] if "fusion" in case else [])],
        case["seed"],
    )
    activate(model, case["setup"])
    used = names[-1] if head and "static" not in head else None
    found = outputs(model, batch, used, case.get("vocabulary"))
    if "static" in head:
        with torch.no_grad():
            answer = model(**batch)
        found["logits"] = (
            answer.logits
            if "logits" in answer
            else torch.stack((answer.start_logits, answer.end_logits), dim=-1)
        )
        found["logits"] = found["logits"].contiguous()
    save_file(found, folder / f"{case['id']}.safetensors")
    (folder / case["id"]).mkdir()
    for name in names:
        place = folder / case["id"] / name
        model.save_adapter(
            str(place), name, with_head=bool(head), use_safetensors=not case.get("pickle", False)
        )
    if "fusion" in case:
        model.save_adapter_fusion(
            str(folder / case["id"] / "fusion"),
            Fuse(*case["fusion"]["members"]),
            use_safetensors=True,
        )


def read(case, base, batch, folder):
    model = load_model(base, case.get("headless", False))
    loaded = {}
    for name, place in case["folders"].items():
        info = {}
        loaded[name] = model.load_adapter(
            place, load_as=name, loading_info=info, use_safetensors=case.get("safe", False)
        )
        assert not info.get("missing_keys"), (case["id"], info["missing_keys"][:5])
        assert not [k for k in info.get("unexpected_keys", ()) if not k.startswith("heads.")], (
            case["id"],
            info,
        )
    activate(model, case["setup"])
    head = list(case["folders"])[-1] if case.get("head") else None
    save_file(
        outputs(model, batch, head, case.get("vocabulary")), folder / f"{case['id']}.safetensors"
    )


def main():
    what, plan, folder = sys.argv[1:]
    plan, folder = json.loads(Path(plan).read_text()), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    batch = {key: torch.tensor(value) for key, value in plan["batch"].items()}
    failed = {}
    for case in plan["cases"]:
        try:
            {"write": write, "read": read}[what](case, plan["bases"][case["base"]], batch, folder)
        except Exception as error:
            failed[case["id"]] = f"{type(error).__name__}: {error}"
    (folder / "failed.json").write_text(json.dumps(failed))


main()
