"""Load a base model: frozen, in evaluation mode, with its tokenizer and identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.errors import AhlError, AttachError, BaseMismatchError, HomeError, RefError
from adapterhub_lite.model.fingerprint import identify

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from adapterhub_lite.home import Home

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base model.  `model` has the language-modelling head where the weights hold one."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: BaseIdentity

    @property
    def trunk(self) -> PreTrainedModel:
        """The model without head: token ids in, hidden states (rows, tokens, hidden size) out."""
        trunk: Any = self.model.base_model
        return cast("PreTrainedModel", trunk)

    @property
    def vocabulary(self) -> nn.Module | None:
        """The output embedding (hidden size -> vocabulary), or `None` without such a head."""
        output: nn.Module | None = self.model.get_output_embeddings()
        return output


def load_base(
    name: str | Path | BaseIdentity, *, home: Home | None = None, dtype: str = "float32"
) -> Base:
    """Load a base model by registry name, fingerprint, folder or Hub id.

    Args:
        name: looked up in the home's registry first, then taken as a folder, then as a Hub id.
        home: the home to look in; the nearest one when left out.
        dtype: `float32`, `bfloat16` or `float16`; adapters are cast to it.

    Raises:
        HomeError: nothing there, or nothing transformers can load.
        BaseMismatchError: the registry knows other weights under that name.
    """
    expected, place = locate(name, home)
    model, tokenizer = _load(place, dtype)
    label = expected.name if expected else _label(name)
    identity = identify(model, label, expected.revision if expected else None)
    if expected and expected.fingerprint and dtype != "float16":
        _check(expected, identity, place)
    return Base(model, tokenizer, identity)


def _label(name: str | Path | BaseIdentity) -> str:
    if isinstance(name, BaseIdentity):
        return name.name
    return Path(name).name if Path(name).is_dir() else str(name)


def locate(name: str | Path | BaseIdentity, home: Home | None) -> tuple[BaseIdentity | None, str]:
    """Return what the registry knows of the base, and where transformers finds it."""
    if isinstance(name, Path):
        return None, str(name)
    wanted = name if isinstance(name, str) else name.fingerprint or name.name
    entry = None
    try:
        home = home or _nearest_home()
        entry = home.registry.base(wanted) if home else None
    except RefError:
        entry = None
    if entry is not None and home is not None:
        inside = home.path / entry.location if entry.location else None
        place = str(inside) if inside and inside.is_dir() else entry.location or entry.identity.name
        return entry.identity, place
    return (name if isinstance(name, BaseIdentity) else None), _label_or_path(name)


def _label_or_path(name: str | BaseIdentity) -> str:
    return name.name if isinstance(name, BaseIdentity) else name


def _nearest_home() -> Home | None:
    from adapterhub_lite.home import Home

    try:
        return Home.find()
    except HomeError:
        return None


def _load(place: str, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import transformers

    if dtype not in DTYPES:
        raise AttachError(f"no dtype `{dtype}`", hint=f"one of {', '.join(DTYPES)}")
    try:
        with _without_progress_bar():
            config = transformers.AutoConfig.from_pretrained(place)
            auto: Any = loader(config)
            model, info = auto.from_pretrained(place, dtype=DTYPES[dtype], output_loading_info=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    except AhlError:
        raise
    except Exception as error:  # transformers raises many types, all of which mean: not loadable
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise HomeError(
            f"cannot load a base model from `{place}`: {reason}",
            hint="name one that `ahl list --bases` shows, a folder with config.json and weights, "
            "or a Hub id (online)",
        ) from error
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise HomeError(f"`{place}` lacks weights for {', '.join(sorted(missing)[:3])}")
    model.requires_grad_(False)
    model.eval()
    return model, tokenizer


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """A bar for reading tensors from disk is noise; downloads have bars of their own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def loader(config: Any) -> Any:
    """Return the Auto class that fits the weights: a head is loaded only where they hold one."""
    import transformers

    architecture = (config.architectures or [""])[0]
    if architecture.endswith("ForMaskedLM"):
        return transformers.AutoModelForMaskedLM
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return transformers.AutoModelForCausalLM
    return transformers.AutoModel


def _check(expected: BaseIdentity, found: BaseIdentity, place: str) -> None:
    if expected.fingerprint != found.fingerprint:
        raise BaseMismatchError(
            f"`{place}` does not hold the base `{expected.name}` that the registry knows: "
            f"fingerprint {found.fingerprint[:12]}, expected {expected.fingerprint[:12]}",
            hint="the weights changed; register them under another name, or restore them",
            expected=dataclasses.asdict(expected),
            found=dataclasses.asdict(found),
        )
