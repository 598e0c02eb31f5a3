"""What the peer is asked to save: methods, options, families, stacks, heads."""

from __future__ import annotations

from typing import Any

Case = dict[str, Any]

ENCODERS = ("xlm-roberta", "bert", "roberta", "distilbert")
DECODERS = ("llama", "mistral", "gpt2")
FAMILIES = (*ENCODERS, *DECODERS)
SMALL = {"reduction_factor": 4, "phm_dim": 2}


def seq(**options: Any) -> dict[str, Any]:
    """Return the options of a Pfeiffer bottleneck, some of them changed."""
    return {
        "mh_adapter": False,
        "output_adapter": True,
        "original_ln_before": True,
        "reduction_factor": 4,
        "non_linearity": "relu",
        **options,
    }


def double(**options: Any) -> dict[str, Any]:
    """Return the options of a Houlsby bottleneck, some of them changed."""
    return {**seq(mh_adapter=True, original_ln_before=False, non_linearity="swish"), **options}


def parallel(**options: Any) -> dict[str, Any]:
    """Return the options of a parallel bottleneck, some of them changed."""
    return {**seq(original_ln_before=False, is_parallel=True, scaling=4.0), **options}


def lora(**options: Any) -> dict[str, Any]:
    return {"architecture": "lora", "r": 4, "alpha": 8, **options}


def ia3(**options: Any) -> dict[str, Any]:
    mode = {"r": 1, "alpha": 1, "attn_matrices": ["k", "v"], "intermediate_lora": True}
    return lora(**{**mode, "composition_mode": "scale", "init_weights": "ia3", **options})


def prefix(**options: Any) -> dict[str, Any]:
    return {
        "architecture": "prefix_tuning",
        "prefix_length": 3,
        "bottleneck_size": 8,
        **options,
    }


def compacter(**options: Any) -> dict[str, Any]:
    return double(phm_layer=True, phm_dim=2, non_linearity="gelu", **options)


INVERSE = {"inv_adapter": "nice", "inv_adapter_reduction_factor": 2}

EVERYWHERE: dict[str, dict[str, Any]] = {
    "seq": seq(),
    "double": double(),
    "parallel": parallel(),
    "inverse": seq(non_linearity="gelu", **INVERSE),
    "lora": lora(),
    "lora-all": lora(attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True),
    "ia3": ia3(),
    "prefix": prefix(),
    "prefix-flat": prefix(flat=True, leave_out=[1]),
    "compacter": compacter(),
}
"""Configs that are tried in every family."""

OPTIONS: dict[str, dict[str, Any]] = {
    "leave-out": seq(leave_out=[0, 2]),
    "reduction-map": seq(reduction_factor={"0": 2, "default": 16}),
    "reduction-up": seq(reduction_factor=0.5),
    "reduction-large": seq(reduction_factor=64),
    "scaled": parallel(scaling="learned"),
    "channel": seq(scaling="channel"),
    "scaling": seq(scaling=0.5),
    "gelu": seq(non_linearity="gelu"),
    "gelu-new": seq(non_linearity="gelu_new"),
    "tanh": seq(non_linearity="tanh"),
    "leaky": seq(non_linearity="leakyrelu"),
    "silu": double(non_linearity="silu"),
    "norm-before": seq(ln_before=True),
    "norm-after": seq(ln_after=True),
    "norm-inside": double(ln_after=True, adapter_residual_before_ln=True),
    "norm-parallel": parallel(ln_after=True, ln_before=True),
    "residual-normed": seq(residual_before_ln=False),
    "residual-sum": seq(residual_before_ln="post_add"),
    "attention-only": seq(mh_adapter=True, output_adapter=False),
    "both-normed": seq(mh_adapter=True),
    "output-only": double(mh_adapter=False),
    "parallel-attention": parallel(mh_adapter=True, output_adapter=False),
    "lora-alpha": lora(alpha=3, r=6, leave_out=[1]),
    "lora-ffn": lora(selfattn_lora=False, intermediate_lora=True),
    "ia3-alpha": ia3(alpha=2),
    "compacter-pp": seq(phm_layer=True, phm_dim=4),
    "compacter-own-rule": compacter(shared_phm_rule=False, phm_rank=2),
    "compacter-factors": compacter(factorized_phm_rule=True),
    "compacter-no-bias": compacter(phm_bias=False),
}
"""Configs that are tried in one family."""

HEADS: dict[str, dict[str, Any]] = {
    "classify": {"head_type": "classification", "num_labels": 3},
    "classify-one": {
        "head_type": "classification",
        "num_labels": 2,
        "layers": 1,
        "label2id": {"yes": 1, "no": 0},
    },
    "classify-relu": {
        "head_type": "classification",
        "num_labels": 3,
        "layers": 3,
        "activation_function": "relu",
        "bias": False,
    },
    "tag": {"head_type": "tagging", "num_labels": 5},
    "tag-two": {"head_type": "tagging", "num_labels": 4, "layers": 2},
    "answer": {"head_type": "question_answering"},
}
STATIC: dict[str, dict[str, Any]] = {
    "static-tag": {"static": "AutoModelForTokenClassification", "num_labels": 5},
    "static-classify": {"static": "AutoModelForSequenceClassification", "num_labels": 3},
    "static-answer": {"static": "AutoModelForQuestionAnswering"},
}


INTERFACE = ("seq", "double", "parallel", "inverse", "lora-all", "ia3")
"""Configs that are tried on Qwen2, which the library wraps through a description of its parts."""


class _Cases(list[Case]):
    """Cases, each with its own seed."""

    def one(self, name: str, base: str, adapters: dict[str, Any], **more: Any) -> None:
        """Add a case; without `setup` its first adapter is active."""
        case = {"id": f"{base}-{name}", "base": base, "adapters": adapters, "seed": len(self)}
        self.append({**case, "setup": next(iter(adapters)), **more})


def cases() -> list[Case]:
    """Return all cases."""
    found = _Cases()
    for base in FAMILIES:
        _add_family(found, base)
    for name in INTERFACE:
        found.one(name, "qwen2", {"a": EVERYWHERE[name]}, headless=True)
    for name, config in OPTIONS.items():
        found.one(name, "xlm-roberta", {"a": config}, pickle=bool(config.get("ln_before")))
    found.one("sum", "llama", {"a": seq(residual_before_ln=False)})
    found.one("scaled", "llama", {"a": seq(scaling="learned")})
    found.one("dora", "llama", {"a": lora(use_dora=True, r=8, intermediate_lora=True)})
    found.one("stack-double", "bert", {"l": double(), "t": double()}, setup=["l", "t"])
    for base in ("xlm-roberta", "bert"):
        found.one("vocabulary", base, {"a": seq(**INVERSE)}, vocabulary=True)
    _add_heads(found)
    _add_fusions(found)
    return list(found)


def _add_family(found: _Cases, base: str) -> None:
    for name, config in EVERYWHERE.items():
        if not (base == "gpt2" and name.startswith("prefix")):  # refused, see test_refusals
            found.one(name, base, {"a": config}, pickle=name.startswith("prefix"))
    found.one("headless", base, {"a": seq()}, headless=True)
    stacked = {"l": seq(**INVERSE), "t": seq(reduction_factor=8)}
    found.one("stack", base, stacked, setup=["l", "t"])


def _add_heads(found: _Cases) -> None:
    for name, head in (HEADS | STATIC).items():
        found.one(name, "xlm-roberta", {"a": seq()}, head=head)
    found.one("tag", "distilbert", {"a": lora()}, head=HEADS["tag"])
    found.one("static-classify", "distilbert", {"a": seq()}, head=STATIC["static-classify"])
    found.one("static-tag", "bert", {"a": seq()}, head=STATIC["static-tag"])


def _add_fusions(found: _Cases) -> None:
    fusion = {"members": ["m", "n"], "config": "dynamic"}
    for base, config in (("xlm-roberta", seq()), ("llama", seq()), ("bert", double())):
        pair = {"m": config, "n": config}
        found.one("fusion", base, pair, fusion=fusion, setup={"fuse": ["m", "n"]})
    three = {"l": seq(**INVERSE), "m": seq(), "n": seq()}
    setup = ["l", {"fuse": ["m", "n"]}]
    static = {**fusion, "config": "static"}
    found.one("fusion-stack", "bert", three, fusion=static, setup=setup)
