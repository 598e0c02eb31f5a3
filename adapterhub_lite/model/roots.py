"""Where a forward pass begins and ends: at the model, or at its trunk.

There the plan of the whole pass is chosen and the size of the batch compared with it, before
anything is computed.  Parts of a model that are called by themselves are served by
`Attachment.outside`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.calls import Call, thread
from adapterhub_lite.model.carrier import forget_interrupted
from adapterhub_lite.model.hooks import Hook

if TYPE_CHECKING:
    from adapterhub_lite.model.attach import Attachment

_INPUTS = ("input_ids", "inputs_embeds")


def hook_roots(attachment: Attachment) -> Iterator[Callable[[], None]]:
    """Register the hooks of model and trunk, yielding what undoes each."""
    base = attachment.base
    for root in dict.fromkeys((base.model, base.trunk)):
        before, after = _hooks(attachment, root)
        yield root.register_forward_pre_hook(Hook(before), with_kwargs=True).remove
        yield root.register_forward_hook(Hook(after), always_call=True).remove


def _hooks(
    attachment: Attachment, root: nn.Module
) -> tuple[Callable[..., None], Callable[..., None]]:
    def before(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if module is not root:
            raise AttachError(
                "this is a copy of the model that adapters are attached to, and they act on the "
                "original only",
                hint="`nn.DataParallel` makes such copies: use one process a device "
                "(`torchrun`), or attach in each of them",
            )
        rows = count_rows(inputs, named)
        if torch.compiler.is_compiling():
            attachment.check_traced(rows)
        else:
            begin(attachment, root, rows)

    def after(*_: Any) -> None:
        if not torch.compiler.is_compiling():
            end(attachment, root)

    return before, after


def begin(attachment: Attachment, root: nn.Module, rows: int | None) -> None:
    """Begin a forward pass of this thread, if this attachment is the one at work."""
    if any(call.root is root for call in thread.calls):
        forget_interrupted()  # a module does not call itself: that pass was interrupted
    with attachment.carrier.lock:
        if not attachment.acts():
            return
        attachment.follow()
        plan = attachment.plan_for(rows)
        hold = attachment.carrier.hold(attachment, block=False)
    thread.calls.append(Call(root, hold, (thread.attachment, thread.plan)))
    thread.attachment, thread.plan = attachment, plan


def end(attachment: Attachment, root: nn.Module) -> None:
    """End the forward pass that began at `root`, if one did."""
    calls = thread.calls
    if calls and calls[-1].root is root and calls[-1].hold.attachment is attachment:
        call = calls.pop()
        thread.attachment, thread.plan = call.outer
        attachment.carrier.release(call.hold)


def count_rows(inputs: tuple[Any, ...], named: Mapping[str, Any]) -> int | None:
    """Return how many rows a batch has, if it is given as transformers' models take it."""
    for tensor in (*(named.get(name) for name in _INPUTS), *inputs[:1]):
        if isinstance(tensor, Tensor):
            return int(tensor.shape[0])
    return None
