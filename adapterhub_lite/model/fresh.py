"""New adapters to train in a loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adapterhub_lite.adapter import HeadSpec, Kind
from adapterhub_lite.errors import UsageError, near
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import HEAD, LoadedAdapter, fresh
from adapterhub_lite.plugins import load as load_plugins

if TYPE_CHECKING:
    from adapterhub_lite.home import Home
    from adapterhub_lite.methods.base import MethodConfig

_TAGGING = "token-classification"


def new_adapter(
    base: Base,
    method: str = "bottleneck",
    config: MethodConfig | Mapping[str, Any] | None = None,
    *,
    ref: str = "new",
    kind: Kind | str = Kind.TASK,
    labels: Sequence[str] = (),
    task_type: str | None = None,
    leave_out: Sequence[int] = (),
    seed: int = 0,
    home: Home | str | Path | None = None,
) -> LoadedAdapter:
    """Return an adapter with fresh weights, for `attach(..., adapters={ref: it}, trainable=[ref])`.

    Args:
        ref: what the composition calls it.
        kind: `language`, `bilingual`, `task` or `domain`.
        labels: of the head of a task adapter, in order.
        task_type: kind of that head; with labels and nothing said, `token-classification`.
        seed: same seed, same weights.
        home: whose plugins may provide method and task type; left out, those installed.

    Raises:
        MethodError: no such method, or a config that it does not accept.
        TaskTypeError: no such task type.
        UsageError: no such kind; a task adapter without task type, or another one with a head.
    """
    from adapterhub_lite.home import Home

    if kind not in list(Kind):
        raise UsageError(f"no kind of adapter `{kind}`", hint=near(str(kind), [*Kind]))
    plugins = load_plugins() if home is None else Home.find(home).plugins()
    provider = plugins.method(method)
    if config is None:
        config = provider.language_defaults if kind == Kind.LANGUAGE else {}
    if isinstance(config, Mapping):
        config = provider.Config.from_mapping(config)
    anatomy = Anatomy(base.model, plugins.families)
    adapter = fresh(
        anatomy, provider, config, ref=ref, kind=Kind(kind), leave_out=leave_out, seed=seed
    )
    adapter.head = _head(adapter.kind, labels, task_type)
    if adapter.head is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            weights = plugins.task_type(adapter.head.type).init_head(adapter.head, base.identity)
        adapter.weights |= {HEAD + key: tensor for key, tensor in weights.items()}
    return adapter


def _head(kind: Kind, labels: Sequence[str], task_type: str | None) -> HeadSpec | None:
    if task_type is None and labels:
        task_type = _TAGGING
    if kind is Kind.TASK and task_type is None:
        raise UsageError(
            "a new task adapter needs a head",
            hint='`labels=["NOUN", ...]`, or `task_type="question-answering"`',
        )
    if kind is not Kind.TASK and labels:
        raise UsageError(
            f"labels are for a task adapter's head, this is a {kind} adapter",
            hint='`kind="task"`, or leave out `labels`',
        )
    return None if task_type is None else HeadSpec(task_type, tuple(labels))
