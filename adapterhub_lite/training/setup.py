"""What every training run starts from: home, base, method and config, and the finished record."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapterhub_lite import digests
from adapterhub_lite.adapter import Adapter, Corpus, Kind, LanguageUse, Manifest, Training
from adapterhub_lite.errors import UsageError
from adapterhub_lite.home import Home
from adapterhub_lite.methods.base import Method, MethodConfig
from adapterhub_lite.model import placement
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.attach import Attachment
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.loaded import LoadedAdapter, fresh
from adapterhub_lite.plugins import Plugins
from adapterhub_lite.training.checkpointing import checkpointed_layers
from adapterhub_lite.training.runs import UNPACKED
from adapterhub_lite.training.settings import Settings
from adapterhub_lite.training.watching import Fitted
from adapterhub_lite.version import VERSION

log = logging.getLogger(__name__)

NEW = "new"
"""Ref of the adapter in training."""
DEFAULT_METHOD = "bottleneck"

Config = MethodConfig | Mapping[str, Any] | None
Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Shape:
    """Method, config and left-out layers: what has to agree for one adapter to replace another."""

    method: Method
    config: MethodConfig
    leave_out: tuple[int, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Return the shape as JSON values."""
        return {
            "method": self.method.name,
            "config": self.config.to_mapping(),
            "leave_out": list(self.leave_out),
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run happens: home, plugins and base, the base on the device to train on."""

    home: Home
    plugins: Plugins
    base: Base

    @property
    def anatomy(self) -> Anatomy:
        """The base's parts."""
        return Anatomy(self.base.model, self.plugins.families)

    def shape(self, method: str, config: Config, leave_out: Sequence[int]) -> Shape:
        """Return a shape, with the config's values checked.

        Raises:
            MethodError: unknown method, or a config that it does not accept.
            UsageError: a layer that the base does not have.
        """
        found = self.plugins.method(method)
        if config is None or isinstance(config, Mapping):
            config = found.Config.from_mapping(config or {})
        layers = self.base.identity.layers
        for layer in leave_out:
            if not 0 <= layer < layers:
                raise UsageError(
                    f"`{self.base.identity.name}` has layers 0 to {layers - 1}, no layer {layer}"
                )
        return Shape(found, config, tuple(sorted(set(leave_out))))

    def fresh(self, shape: Shape, kind: Kind, seed: int) -> LoadedAdapter:
        """Return a new adapter of a shape."""
        return fresh(
            self.anatomy,
            shape.method,
            shape.config,
            ref=NEW,
            kind=kind,
            leave_out=shape.leave_out,
            seed=seed,
        )


def place(home: Home | str | Path | None, base: Base | str | Path | None) -> Place:
    """Return where to train: a home, and the base by name or already loaded.

    Raises:
        HomeError: no home there.
        UsageError: no base named, and the home has none or several; or a base in float16.
    """
    home = home if isinstance(home, Home) else Home.find(home)
    if not isinstance(base, Base):
        base = load_base(base if base is not None else only_base(home), home=home)
    if base.model.dtype is torch.float16:
        raise UsageError(
            f"`{base.identity.name}` is in float16, in which gradients of adapters overflow",
            hint="train with `--dtype bfloat16` (`load_base(dtype=...)`), or in float32",
        )
    movable: torch.nn.Module = base.model  # transformers' annotation of `to` is wrong
    movable.to(_device())
    return Place(home, home.plugins(), base)


def _device() -> torch.device:
    """Return the device to train on: the one that the command names, else the fastest there is."""
    from accelerate import PartialState  # type: ignore[import-untyped]  # it ships no types

    if placement.current().device is None:
        device: torch.device = PartialState().device
        return device
    device = placement.device_of(None)
    if device.type != "cpu":
        torch.accelerator.set_device_index(device.index or 0)  # accelerate takes the current one
    return device


def only_base(home: Home) -> str:
    """Return the name of the home's base where it has exactly one.

    Bases that only remote adapters name are not here: they have neither a place nor a fingerprint.
    """
    entries = home.registry.bases()
    names = [e.identity.name for e in entries if e.location or e.identity.fingerprint]
    if len(names) == 1:
        return names[0]
    found = ", ".join(f"`{name}`" for name in names) or "none"
    raise UsageError(f"which base? this home has {found}", hint="name one with `--base`")


def language_shape(
    where: Place, method: str | None, config: Config, leave_out: Sequence[int] | None
) -> Shape:
    """Return the shape of a new language adapter.

    Language adapters replace each other only if they agree in shape.  So where nothing is asked
    for, the shape that most of the base's adapters in this home have is taken.
    """
    if method is None and config is None and leave_out is None:
        common = _common_shape(where)
        if common is not None:
            like = common.manifest
            log.info("method, config and left-out layers as in `%s`", common.ref)
            return where.shape(like.method, like.config, like.leave_out)
    found = where.plugins.method(method or DEFAULT_METHOD)
    if config is None:
        config = found.language_defaults
    return where.shape(found.name, config, leave_out or ())


def check_device(base: Base, settings: Settings) -> None:
    """Raise `UsageError` if the device or the base cannot do what the settings ask for."""
    from transformers.utils.import_utils import is_torch_bf16_gpu_available

    device = base.model.device.type
    if settings.bf16 and (device == "cpu" or not is_torch_bf16_gpu_available()):
        raise UsageError(
            f"`bf16` needs a device that trains in bfloat16, this run is on `{device}`",
            hint="leave `--bf16` out: the run computes in float32",
        )
    if settings.gradient_checkpointing and not checkpointed_layers(base.model):
        raise UsageError(
            f"`{base.identity.name}` has no layers that gradient checkpointing can compute again",
            hint="leave `--gradient-checkpointing` out, and take a smaller `--batch-size`",
        )


def check_dropout(shape: Shape, settings: Settings) -> None:
    """Raise `UsageError` where a method's dropout would silently do nothing."""
    rate = shape.config.to_mapping().get("dropout")
    if rate and not settings.dropout:
        raise UsageError(
            f"the config has a dropout of {rate}, but the settings keep dropout off",
            hint="add the setting `dropout=true`, or take it out of the config",
        )


def _common_shape(where: Place) -> Adapter | None:
    identity = where.base.identity
    known = where.home.registry.find(kind=Kind.LANGUAGE, base=identity, remote=False)
    keys = [(a.manifest.config_digest, a.manifest.leave_out) for a in known]
    if not keys:
        return None
    (winner, _), *_ = sorted(Counter(keys).items(), key=lambda item: (-item[1], item[0]))
    return known[keys.index(winner)]


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    import transformers

    return {
        "adapterhub_lite": VERSION,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }


def training_record(
    objective: str,
    corpora: Sequence[Corpus],
    fitted: Fitted,
    settings: Settings,
    metrics: Mapping[str, float],
    **extra: Any,
) -> Training:
    """Return what is recorded of a run."""
    return Training(
        objective=objective,
        corpora=tuple(corpora),
        tokens=fitted.tokens,
        steps=fitted.steps,
        seed=settings.seed,
        settings={**settings.to_mapping(), **extra, **fitted.record()},
        versions=versions(),
        metrics={key: round(value, 6) for key, value in metrics.items()},
    )


def manifest_of(
    where: Place, shape: Shape, kind: Kind, languages: Sequence[LanguageUse], **fields: Any
) -> Manifest:
    """Return the manifest of a new adapter."""
    return Manifest(
        kind=kind,
        languages=tuple(languages),
        base=where.base.identity,
        method=shape.method.name,
        config=shape.config.to_mapping(),
        provider=where.plugins.provider(shape.method.name),
        leave_out=shape.leave_out,
        **fields,
    )


def store(
    where: Place, attachment: Attachment, manifest: Manifest, folder: Path, name: str
) -> Adapter:
    """Write the trained adapter and add it to the home under `name`."""
    loaded = attachment.adapter(NEW)
    done = dataclasses.replace(loaded, weights=attachment.state_of(NEW))
    done.save(folder / UNPACKED, manifest)
    return where.home.add(folder / UNPACKED, name=name)


def seeded(name: str, settings: Settings) -> str:
    """Return a default name, which tells runs with other seeds apart."""
    return f"{name}-seed{settings.seed}" if settings.seed else name


def path_list(paths: Paths) -> tuple[Path, ...]:
    """Return paths as a tuple of `Path`."""
    if isinstance(paths, (str, Path)):
        return (Path(paths),)
    return tuple(Path(path) for path in paths)


def corpus(path: Path, examples: int, language: str | None) -> Corpus:
    """Return the record of a data file."""
    return Corpus(path.name, digests.of_file(path), examples, language)


def run_identity(
    where: Place, shape: Shape | None, settings: Settings, corpora: Sequence[Corpus], **more: Any
) -> dict[str, Any]:
    """Return everything that decides a run's result, as JSON values."""
    return {
        "base": where.base.identity.fingerprint or where.base.identity.name,
        "shape": shape.to_mapping() if shape else None,
        "settings": {**settings.to_mapping(), "seed": settings.seed},
        "data": [[c.name, c.sha256, c.language] for c in corpora],
        **more,
    }
