"""Load a base model: frozen, in evaluation mode, with its tokenizer and identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from adapterhub_lite import base_files
from adapterhub_lite.adapter import BaseIdentity
from adapterhub_lite.base_files import BaseFiles
from adapterhub_lite.errors import AhlError, BaseMismatchError, HomeError, RefError, UsageError
from adapterhub_lite.foreign.text import command
from adapterhub_lite.model.base_config import read_config, refuse_code
from adapterhub_lite.model.fingerprint import identify
from adapterhub_lite.model.placement import device_of, dtype_of
from adapterhub_lite.model.trainable import NAME as TRAINED

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from adapterhub_lite.home import Home
    from adapterhub_lite.registry import BaseEntry


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base model.  `model` has the language-modelling head where the weights hold one.

    `files` are those it was loaded from; `None` for a model that was made in memory.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: BaseIdentity
    files: BaseFiles | None = None

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


@dataclass(frozen=True, slots=True)
class Located:
    """Where a base is, and what the registry knows of it.

    `place` is what transformers takes: a folder or a Hub id.  `files` are the digests recorded when
    the base was added, in `home`.
    """

    identity: BaseIdentity | None
    place: str
    files: Mapping[str, str] = field(default_factory=dict)
    home: Home | None = None


def load_base(
    name: str | Path | BaseIdentity,
    *,
    home: Home | str | Path | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | int | torch.device | None = None,
    trust_remote_code: bool = False,
) -> Base:
    """Load a base model by registry name, fingerprint, folder or Hub id.

    Args:
        name: looked up in the home's registry first, then taken as a folder, then as a Hub id.
        home: the home to look in, or its folder; the nearest one when left out.
        dtype: `float32` (default), `bfloat16` or `float16`; adapters are cast to it.
        device: `cpu` (default), `cuda`, `cuda:1`, ...; adapters follow the base.
        trust_remote_code: let Python code that comes with the base run.  A base that was registered
            with its code needs no such word: the code must be what it was, or it does not run.

    Raises:
        HomeError: nothing there, nothing transformers can load, or a base that needs code.
        BaseMismatchError: the registry knows other weights, another tokenizer, config or code under
            that name.
        AttachError: a dtype that bases are not loaded in, or a device that is not here.
    """
    from adapterhub_lite.home import Home

    check_name(name)
    found = locate(name, None if home is None else Home.find(home))
    before = base_files.at(found.place)
    if before is not None:
        check_files(found, before)
    code = trust_remote_code or (may_run_code(found) and before is not None)
    base = read_base(found.place, dtype=dtype, device=device, trust_remote_code=code)
    if before is None and base.files is not None:  # it was downloaded just now
        check_files(found, base.files)
    expected = found.identity
    label = expected.name if expected else _label(name)
    revision = expected.revision if expected else None
    base = dataclasses.replace(
        base, identity=dataclasses.replace(base.identity, name=label, revision=revision)
    )
    if expected and expected.fingerprint:
        _check(expected, base.identity, found.place)
    return base


def check_name(base: object) -> None:
    """Raise `UsageError` unless `base` is what `load_base` takes."""
    if isinstance(base, str | Path | BaseIdentity):
        return
    hint = "load one by name: `load_base(name)`"
    if isinstance(base, nn.Module):
        hint = "a model that you loaded yourself becomes a base with `wrap(model, tokenizer)`"
    raise UsageError(
        f"a base model is a name, a folder or what `load_base` returns, found {_kind(base)}",
        hint=hint,
    )


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"an `{name}`" if name[:1] in "AEIOUaeio" else f"a `{name}`"


def wrap(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str | None = None
) -> Base:
    """Return a base around a model that was loaded with transformers, on its device and as it is.

    The model is frozen and put into evaluation mode, as by `load_base`.  Its identity is taken from
    its config and weights: adapters for the same weights attach, others are refused.

    Args:
        model: a transformers model of a family that the package knows, with any head or none.
        tokenizer: the tokenizer that goes with it.
        name: what to call it; left out, the name or folder it was loaded from.

    Raises:
        UsageError: not a transformers model, or not a tokenizer.
    """
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    if not isinstance(model, PreTrainedModel):
        raise UsageError(
            f"`wrap` takes a model of transformers, found {_kind(model)}",
            hint="of a model with adapters of `peft` or `adapters`, wrap the model underneath",
        )
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise UsageError(
            f"`wrap` takes the model's tokenizer, found {_kind(tokenizer)}",
            hint="`transformers.AutoTokenizer.from_pretrained(...)` loads it",
        )
    model.requires_grad_(False)
    model.eval()
    label = name or _label(str(model.config.name_or_path)) or model.config.model_type
    return Base(model, tokenizer, identify(model, label))


def read_base(
    place: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    device: str | int | torch.device | None = None,
    trust_remote_code: bool = False,
) -> Base:
    """Load the base in a folder or of a Hub id as it is now, whatever a registry knows of it.

    Raises:
        HomeError: nothing transformers can load, or a base that needs code.
        AttachError: a dtype that bases are not loaded in, or a device that is not here.
    """
    numbers, target = dtype_of(dtype), device_of(device)
    before = base_files.at(place)
    # The identity is that of weights which bfloat16 can tell apart: float16 is taken afterwards.
    wide = torch.float32 if numbers is torch.float16 else numbers
    model, tokenizer = _load(str(place), wide, code=trust_remote_code)
    identity = identify(model, _label(place))
    movable: nn.Module = model  # transformers' annotation of `to` is wrong
    movable.to(target)
    if wide != numbers:
        movable.to(numbers)
    return Base(model, tokenizer, identity, before or base_files.at(place))


def _label(name: str | Path | BaseIdentity) -> str:
    if isinstance(name, BaseIdentity):
        return name.name
    return Path(name).name if Path(name).is_dir() else str(name)


def locate(name: str | Path | BaseIdentity, home: Home | None) -> Located:
    """Return where a base is, and what the registry knows of it.

    The folder of a registered base is that base, whether it is named or given as a path.
    """
    home = home or (None if isinstance(name, Path) else _nearest_home())
    entry = _entry(name, home) if home else None
    if entry is None or home is None:
        return Located(name if isinstance(name, BaseIdentity) else None, _label_or_path(name))
    return Located(entry.identity, home.place_of(entry), entry.files, home)


def _entry(name: str | Path | BaseIdentity, home: Home) -> BaseEntry | None:
    if not isinstance(name, Path):
        try:
            wanted = name if isinstance(name, str) else name.fingerprint or name.name
            return home.registry.base(wanted)
        except RefError:
            pass
    if isinstance(name, BaseIdentity) or not Path(name).is_dir():
        return None
    folder = Path(name).resolve()
    for entry in home.registry.bases():
        if entry.location and (home.path / entry.location).resolve() == folder:
            return entry
    return None


def may_run_code(base: Located) -> bool:
    """Whether Python code that came with a base may run: it was recorded when the base was added.

    Raises:
        HomeError: it was, but in a home that was merely found, whose word does not count.
    """
    if base.home is None or not any(base_files.role(name) == "code" for name in base.files):
        return False
    if not base.home.named:
        raise HomeError(
            f"base `{base.place}` runs Python code that comes with it, and this home was found, "
            "not named",
            hint=f"{command('--home', base.home.path)} or AHL_HOME names it",
        )
    return True


def check_files(base: Located, files: BaseFiles) -> None:
    """Raise `BaseMismatchError` for the first file that is not the recorded one."""
    if not base.files or base.identity is None:
        return
    found = base_files.difference(base.files, files.digests())
    if found is not None:
        raise BaseMismatchError(
            f"`{base.place}` is not the base `{base.identity.name}` that the registry knows: "
            f"{found}",
            hint="restore the file; or `ahl add` the folder under another name, as another base",
        )


def _label_or_path(name: str | Path | BaseIdentity) -> str:
    return name.name if isinstance(name, BaseIdentity) else str(name)


def _nearest_home() -> Home | None:
    from adapterhub_lite.home import Home

    try:
        return Home.find()
    except HomeError:
        return None


def _load(
    place: str, dtype: torch.dtype, *, code: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import transformers

    try:
        with _without_progress_bar():
            config = read_config(place, code=code)
            auto: Any = loader(config)
            model, info = auto.from_pretrained(
                place,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                trust_remote_code=code,
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(place, trust_remote_code=code)
    except AhlError:
        raise
    except Exception as error:  # transformers raises many types, all of which mean: not loadable
        if not code:
            refuse_code(place)
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise HomeError(
            f"cannot load a base model from `{place}`: {reason}",
            hint="name one that `ahl list --bases` shows, a folder with config.json and weights, "
            "or a Hub id (online)",
        ) from error
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise HomeError(f"`{place}` lacks weights for {', '.join(sorted(missing)[:3])}")
    trained = [key for key in info["unexpected_keys"] if TRAINED in key]
    if trained:
        raise HomeError(
            f"`{place}` is a checkpoint of a model with adapters in training, and as a base it "
            f"would run without them: `{min(trained)}`",
            hint="load the base by its own name; `attachment.save(...)` makes an adapter of what "
            "was trained",
        )
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
