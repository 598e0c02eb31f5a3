"""What fuzzing starts from: sound data for every reader, and pieces that have broken readers."""

from __future__ import annotations

import json
import struct

import torch
from safetensors.torch import save

from adapterhub_lite.catalog import entries

MANIFEST = {
    "format": 1,
    "kind": "task",
    "languages": [{"tag": "gv", "role": "source"}],
    "base": {
        "name": "tiny",
        "architecture": "bert",
        "hidden_size": 32,
        "layers": 3,
        "vocab_size": 96,
    },
    "method": "lora",
    "config": {"rank": 8, "alpha": 16.0, "parts": ["query", "value"]},
    "provider": {"plugin": "p", "version": "1"},
    "weights": {"sha256": "0" * 64, "size": 10},
    "head": {"type": "token-classification", "labels": ["NOUN", "VERB"]},
    "source": {"hub_id": "a/b", "revision": "main"},
    "training": {
        "objective": "labels",
        "corpora": [{"name": "c", "sha256": "0", "examples": 1, "language": "gv"}],
        "tokens": 1,
        "steps": 1,
        "seed": 0,
    },
}
LOCK = {
    "lock": 1,
    "composition": "stack(a, b)",
    "base": MANIFEST["base"],
    "adapters": [],
    "versions": {"adapterhub_lite": "0"},
}
ENTRY = json.loads(entries.TEXT.read_text(encoding="utf-8").splitlines()[0])
PEFT = {
    "peft_type": "LORA",
    "base_model_name_or_path": "org/base",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["query"],
    "task_type": "TOKEN_CLS",
}
ADAPTERS = {
    "config": {"reduction_factor": 2, "non_linearity": "relu", "mh_adapter": False},
    "hidden_size": 32,
    "model_name": "org/base",
    "name": "a",
}
SCORE = {
    "target": "gv",
    "value": 0.5,
    "task": "pos",
    "dataset": "d",
    "metric": "f1",
    "source": "en",
}
SEEN = {
    "format": 1,
    "seen": [
        {"endpoint": "h", "repo": "a/b", "commit": "0" * 40, "asked": "main", "digests": ["0" * 64]}
    ],
}
CARD = b"""---
language: [gv, en]
license: mit
tags: ["adapterhub:gv/wiki", x]
base_model: org/base
datasets:
- d
---
# Title
"""
CSV = b"target,value,task,dataset,metric,source,n,seed,when\ngv,0.5,pos,d,f1,en,10,1,2026-01-01\n"


def _sparse() -> bytes:
    tensors = {
        "x#values": torch.ones(2),
        "x#places": torch.tensor([1, 4]),
        "x#shape": torch.tensor([2, 3]),
    }
    return save(tensors)


def _json(*values: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


SEEDS: dict[str, list[bytes]] = {
    "adapter.json": _json(MANIFEST),
    "adapter.json of an object": _json(MANIFEST),
    "record of a registry": _json(MANIFEST),
    "lock": _json(LOCK),
    "home.toml": [b'database = "sqlite:///x.db"\nobjects = "s3://b"\n'],
    "hub.json": _json(SEEN),
    "trusted.json": _json({"/home": {"a.py": "0" * 64}}),
    "catalogue": _json(ENTRY),
    "JSON lines": _json({"text": "a", "label": "b"}),
    "CSV": [b"text,label\na,b\n"],
    "scores as JSON lines": _json(SCORE),
    "scores as CSV": [CSV],
    "format": _json(PEFT, ADAPTERS),
    "config of peft": _json(PEFT),
    "config of adapters": _json(ADAPTERS),
    "card": [CARD],
    "index of a base": _json({"weight_map": {"a": "model-1.safetensors"}}),
    "pulled JSON": _json(PEFT),
    "pulled weights": [_sparse(), save({"a": torch.ones(2, 3)})],
    "checkpoint": _json({"global_step": 1, "log_history": []}),
    "composition": [b"stack(average(0.5*a, 0.5*b), c@0123)", b"fuse(a, b)"],
    "language": [b"sr-Latn", b"Manx", b"zh-Hans-CN"],
    "repository": [b"lab/sw@main"],
    "path in a repository": [b"adapters/sw/adapter.json"],
    "config of lora": [b"rank=8\nranks=query.0=16", b"tokens=[1, 2]"],
    "config of prefix": [b"length=30\ninner=512"],
    "config of bottleneck": [b"reduction=2.0\nreductions=[2.0, 4.0]"],
}

PIECES = [
    b"[" * 3_000,
    b'{"a":' * 3_000,
    b"stack(" * 5_000,
    b"average(1*" * 2_000,
    b"- " * 3_000,
    b"9" * 5_000,
    b"9223372036854775808",
    b"-9223372036854775809",
    b"1e999",
    b"1e-300",
    b"-0",
    b"NaN",
    b"Infinity",
    b"true",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\\u001b[2J"',
    b"\xff\xfe",
    b"\xc2\x85",
    b"\xe2\x80\xae",
    b"\xe2\x80\xa8",
    b"\0",
    b"\x1b",
    b"\r",
    b"\n",
    b"&a *a",
    b"!!python/object:x ",
    b"<<: ",
    b"? ",
    b"0001-01-01T00:00:00+23:59",
    b"9999-12-31T23:59:59-23:59",
    b"../" * 50,
    b"#shape",
    struct.pack("<Q", 1 << 62),
    struct.pack("<q", -1),
    struct.pack("<Q", 500_000_000),
]
