"""What peft trains or saves besides A and B: biases, vectors of single tokens, embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapterhub_lite.errors import ExchangeError
from adapterhub_lite.exchange import peft_targets
from adapterhub_lite.families import LOGITS, WORDS

if TYPE_CHECKING:
    from torch import Tensor

    from adapterhub_lite.exchange.converter import Reading
    from adapterhub_lite.methods.base import Site


def of_site(site: Site, tensor: Tensor) -> Tensor:
    """Return a site's rows of a tensor over all outputs of the module that it is (a slice) of."""
    return tensor[site.start : site.start + site.width].clone()


def shaped(reading: Reading, key: str, shape: tuple[int, ...]) -> Tensor:
    """Take a tensor that must have this shape; raises `ExchangeError` where it has another."""
    tensor = reading.tensors.take(key)
    if tuple(tensor.shape) != shape:
        raise ExchangeError(
            f"{reading.tensors.where}: tensor `{key}` has shape {tuple(tensor.shape)}, expected "
            f"{shape} for this config and base `{reading.base.identity.name}`",
            key=key,
        )
    return tensor


def own_biases(reading: Reading) -> dict[str, Tensor]:
    """Return the base's biases that were trained along, by site."""
    bias = reading.config.get("bias", "none")
    if bias == "none":
        return {}
    found = {}
    for path in peft_targets.stored_modules(reading.tensors, ["bias"]):
        module = path.removesuffix(".base_layer")
        sites = reading.base.sites_at(module)
        if not sites or sites[0].bias is None or sites[0].part == LOGITS:
            raise ExchangeError(
                f"{reading.tensors.where} has a retrained bias of `{module}`, which has no form "
                f"here (`bias` is {bias!r})"
            )
        width = sum(site.width for site in sites)
        tensor = shaped(reading, f"{path}.bias", (width,))
        for site in sites:
            found[site.key] = of_site(site, tensor)
    return found


def tokens(reading: Reading) -> tuple[tuple[int, ...], Tensor | None]:
    """Return ids, rising, and vectors of single tokens that were trained along."""
    wanted = reading.config.get("trainable_token_indices")
    path = reading.base.module_of(WORDS)
    if isinstance(wanted, dict):
        others = [name for name in wanted if not f".{path}".endswith(f".{name}")]
        if others or len(wanted) > 1:
            raise ExchangeError(f"`trainable_token_indices` of `{(others or [*wanted])[0]}`")
        (wanted,) = wanted.values() if wanted else ([],)
    if not wanted:
        return (), None
    if not all(type(token) is int and token >= 0 for token in wanted) or len(set(wanted)) < len(
        wanted
    ):
        raise ExchangeError(f"`trainable_token_indices` must be different ids, found {wanted!r}")
    width = reading.base.anatomy.hidden_size
    key = f"{path}.token_adapter.trainable_tokens_delta"
    vectors = shaped(reading, key, (len(wanted), width))
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    return tuple(wanted[at] for at in order), vectors[order]


def same_as_base(reading: Reading) -> None:
    """Pass over whole embeddings that peft saves along, where they are the base's own."""
    for part in (WORDS, LOGITS):
        path = reading.base.module_of(part)
        for key in (f"{path}.base_layer.weight", f"{path}.weight"):
            if key in reading.tensors:
                _compare(reading, key, path)


def _compare(reading: Reading, key: str, path: str) -> None:
    import torch

    stored = reading.tensors.take(key)
    tied = path == reading.base.module_of(LOGITS) and reading.base.tied()
    own = reading.base.tensor(f"{reading.base.module_of(WORDS) if tied else path}.weight")
    if own is None or own.shape != stored.shape or not torch.equal(own.float(), stored.float()):
        raise ExchangeError(
            f"{reading.tensors.where}: `{key}` is not the base's own: the vocabulary was resized "
            "or the whole embedding retrained, which has no form here"
        )


def notes(reading: Reading) -> tuple[str, ...]:
    """Return notes on where peft computes something else."""
    output = reading.base.anatomy.module(LOGITS)
    biased = getattr(output, "bias", None) is not None
    if not (biased and reading.base.tied() and reading.config.get("trainable_token_indices")):
        return ()
    note = "peft leaves out the output embedding's bias where it replaces tokens"
    return (f"{note}; here it is added, as the model has it",)
