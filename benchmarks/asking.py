"""Forward passes of the library `adapters`: what its process is sent, and asked to time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from adapterhub_lite.model.base import Base
from adapterhub_lite.model.loaded import LoadedAdapter
from benchmarks.setting import TOLERANCE, scratch
from benchmarks.timing import Variant, device

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from benchmarks.peer import Peer


def send(peer: Peer, base: Base, adapters: Mapping[str, LoadedAdapter]) -> None:
    """Give the peer the trunk and bottleneck adapters."""
    folder = scratch()
    trunk: Any = base.trunk
    trunk.save_pretrained(folder)
    peer.ask("load", base=str(folder), kind="trunk", device=device().type)
    for name, adapter in adapters.items():
        send_adapter(peer, name, adapter, folder)


def send_adapter(peer: Peer, name: str, adapter: LoadedAdapter, folder: Path) -> None:
    """Give the peer one bottleneck adapter, by way of a file in `folder`."""
    path = folder / f"{name}.safetensors"
    save_file(adapter.weights, path)
    config = adapter.config
    peer.ask(
        "add",
        name=name,
        path=str(path),
        reduction=config.reduction,
        invertible=config.invertible,
    )


def forwards(peer: Peer, setups: Mapping[str, Any], batch: Any) -> dict[str, Variant]:
    """Return one variant a setup: the adapters that are active in the peer's forward pass."""
    peer.ask("batch", name="batch", ids=batch["input_ids"].tolist())

    def asker(setup: Any) -> Callable[[], float]:
        return lambda: float(peer.ask("forward", batch="batch", setup=setup)["seconds"])

    return {name: Variant(asker(setup)) for name, setup in setups.items()}


def check_same(ours: Tensor, theirs: Tensor, *, within: float = TOLERANCE) -> None:
    """Make sure that both compute the same."""
    difference = float((ours - theirs).abs().max())
    if not difference <= within:
        raise RuntimeError(f"not the same work: outputs differ by {difference:.2g}")
