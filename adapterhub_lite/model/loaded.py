"""Adapters in memory: fresh, or read from disk and checked against the base they will run on.

Weights are one flat mapping: `ffn_block.3.down` (site, weight), `shared.F0`, `head.weight`.  What
must be there follows from the method's config and the model, so anything missing, extra or of
another shape is an error here and never a warning later.
"""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from adapterhub_lite import checked_files, digests
from adapterhub_lite import manifest as manifests
from adapterhub_lite.adapter import (
    BaseIdentity,
    HeadSpec,
    Kind,
    Manifest,
    Underneath,
    WeightsFile,
)
from adapterhub_lite.errors import AhlWarning, BaseMismatchError, MethodError, WeightsError
from adapterhub_lite.methods.base import Method, Site
from adapterhub_lite.model.anatomy import Anatomy
from adapterhub_lite.model.module_tables import module_weights
from adapterhub_lite.model.sparse import packed, unpacked
from adapterhub_lite.plugins import Plugins

if TYPE_CHECKING:
    from adapterhub_lite.home import Home

SHARED = "shared."
HEAD = "head."

_shapes: weakref.WeakKeyDictionary[nn.Module, dict[tuple[object, ...], dict[str, torch.Size]]] = (
    weakref.WeakKeyDictionary()
)


@dataclass(slots=True, eq=False)
class LoadedAdapter:
    """One adapter's weights with what is needed to apply them."""

    ref: str
    kind: Kind
    method: Method
    config: Any
    weights: dict[str, Tensor]
    leave_out: tuple[int, ...] = ()
    head: HeadSpec | None = None
    digest: str = ""
    base: BaseIdentity | None = None
    trained_over: tuple[Underneath, ...] = ()

    def at(self, site: Site) -> dict[str, Tensor]:
        """Return the weights that `site` gets: its own and the shared ones."""
        return self.by_site()(site)

    def by_site(self) -> Callable[[Site], dict[str, Tensor]]:
        """Return `at` for many sites: the weights of this moment, looked through once for all."""
        under = self._by_prefix()
        return lambda site: {**under.get(f"{site.key}.", {}), **under.get(SHARED, {})}

    def head_weights(self) -> dict[str, Tensor]:
        """Return the head's weights by their own names."""
        return self._by_prefix().get(HEAD, {})

    def _by_prefix(self) -> dict[str, dict[str, Tensor]]:
        """Return the weights by every beginning of their keys that ends in a dot."""
        found: dict[str, dict[str, Tensor]] = {}
        for key, value in self.weights.items():
            parts = key.split(".")
            for count in range(1, len(parts)):
                found.setdefault(".".join(parts[:count]) + ".", {})[".".join(parts[count:])] = value
        return found

    def to(self, dtype: torch.dtype, device: torch.device) -> None:
        """Cast and move the weights."""
        self.weights = {key: value.to(device, dtype) for key, value in self.weights.items()}

    def save(self, folder: Path, manifest: Manifest) -> Manifest:
        """Write `adapter.json` and weights to `folder`; return the manifest with their digest."""
        import dataclasses

        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        path = folder / manifests.WEIGHTS
        tensors = {key: value.detach().cpu().contiguous() for key, value in self.weights.items()}
        if self.method.sparse:
            tensors = packed(tensors, keep=HEAD)
        save_file(tensors, path, metadata={"format": "pt"})
        file = WeightsFile(sha256=digests.of_file(path), size=path.stat().st_size)
        complete = dataclasses.replace(manifest, weights=file)
        (folder / manifests.FILE).write_text(manifests.dumps(complete), encoding="utf-8")
        return complete


def fresh(
    anatomy: Anatomy,
    method: Method,
    config: Any,
    *,
    ref: str,
    kind: Kind,
    leave_out: Sequence[int] = (),
    seed: int = 0,
) -> LoadedAdapter:
    """Return a new adapter (float32, on the CPU).  Same seed, same bytes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = _initial(anatomy, method, config, leave_out)
    return LoadedAdapter(ref, kind, method, config, weights, tuple(leave_out))


def _initial(
    anatomy: Anatomy, method: Method, config: Any, leave_out: Sequence[int]
) -> dict[str, Tensor]:
    weights = {SHARED + key: t for key, t in method.init_shared(anatomy, config).items()}
    for site in method.sites(anatomy, config, leave_out):
        weights |= {f"{site.key}.{key}": t for key, t in method.init(site, config).items()}
    return weights


def load_adapter(
    ref: str, *, anatomy: Anatomy, identity: BaseIdentity, home: Home, plugins: Plugins
) -> LoadedAdapter:
    """Read an adapter from the home and check it against the base it is to run on.

    Warns (`AhlWarning`) of an adapter whose base is known by its name only.

    Raises:
        RefError: the registry does not know it.
        BaseMismatchError: trained on another base.
        MethodError: no plugin provides its method, or the config does not fit it.
        WeightsError: truncated, missing, extra, misshapen or non-finite tensors.
    """
    adapter = home.registry.get(ref)
    manifest = adapter.manifest
    check_base(adapter.name, manifest, identity)
    if (note := adapter.base_note()) is not None:
        warnings.warn(note, AhlWarning, stacklevel=2)
    method = plugins.method(manifest.method, manifest.provider)
    config = method.Config.from_mapping(manifest.config)
    expected = expected_shapes(anatomy, method, config, manifest, plugins)
    stored = read_weights(home.folder_of(adapter), manifest, expected)
    weights = dict(method.bind(stored, partial(module_weights, anatomy)))
    check_weights(adapter.name, weights, expected)
    method.check_weights(adapter.name, config, weights)
    return LoadedAdapter(
        ref=adapter.ref,
        kind=manifest.kind,
        method=method,
        config=config,
        weights=weights,
        leave_out=manifest.leave_out,
        head=manifest.head,
        digest=adapter.digest,
        base=manifest.base,
        trained_over=manifest.trained_over,
    )


def check_base(name: str, manifest: Manifest, identity: BaseIdentity) -> None:
    """Raise `BaseMismatchError` unless `manifest` was trained on `identity`."""
    if manifest.base.same_as(identity):
        return
    reason = "other weights"
    for fact in ("architecture", "hidden_size", "layers", "vocab_size"):
        ours, theirs = getattr(identity, fact), getattr(manifest.base, fact)
        if ours != theirs:
            reason = f"{fact} {theirs} there, {ours} here"
            break
    raise BaseMismatchError(
        f"`{name}` was trained on base `{manifest.base.name}` "
        f"({manifest.base.fingerprint[:12] or 'no fingerprint'}), this is `{identity.name}` "
        f"({identity.fingerprint[:12]}): {reason}",
        hint=f"load that base: `load_base({manifest.base.name!r})`, or ask `ahl resolve` for an "
        f"adapter of `{identity.name}`",
    )


def read_weights(
    folder: Path, manifest: Manifest, expected: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Tensor]:
    """Read a folder's safetensors file, which must be the one that the manifest records.

    Args:
        expected: shapes by name (`expected_shapes`), of which a sparse tensor's must be one;
            `None` where no base is at hand (`sparse.unpacked`).

    Raises:
        WeightsError: missing, damaged, others than recorded, by size or SHA-256, or with a sparse
            tensor of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / manifests.WEIGHTS
    try:
        size = path.stat().st_size
        if manifest.weights is not None and size != manifest.weights.size:
            raise WeightsError(
                f"`{path}` has {size} bytes, the manifest says {manifest.weights.size}: "
                "truncated or overwritten",
                hint="`ahl verify` lists damaged adapters; pull or add it again",
            )
        if manifest.weights is None:
            return unpacked(load_file(path), path, expected)
        before, found = checked_files.stamp(path), checked_files.sha256(path)
        if found != manifest.weights.sha256:
            raise WeightsError(
                f"`{path}` is not the file that was recorded: SHA-256 {found[: digests.SHORT]}, "
                f"recorded {manifest.weights.sha256[: digests.SHORT]}",
                hint="`ahl verify` lists damaged adapters; pull or add it again",
            )
        weights = load_file(path)
        if checked_files.stamp(path) != before:
            raise WeightsError(f"`{path}` changed while it was read", hint="try again")
        return unpacked(weights, path, expected)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"cannot read `{path}`: {error}", hint="`ahl verify` lists damaged adapters"
        ) from None


def expected_shapes(
    anatomy: Anatomy, method: Method, config: Any, manifest: Manifest, plugins: Plugins
) -> dict[str, torch.Size]:
    """Return names and shapes of all tensors that an adapter with this manifest has.

    Adapters that can replace each other have the same, so it is found out once a model.  Classes
    are told apart, not names: a plugin may be loaded again after a change.
    """
    known = _shapes.setdefault(anatomy.model, {})
    head = plugins.task_type(manifest.head.type) if manifest.head else None
    words = map(str, (anatomy.family, config, manifest.leave_out, manifest.head))
    key = (type(method), type(head), *words)
    if key not in known:
        known[key] = _expected_shapes(anatomy, method, config, manifest, plugins)
    return known[key]


def _expected_shapes(
    anatomy: Anatomy, method: Method, config: Any, manifest: Manifest, plugins: Plugins
) -> dict[str, torch.Size]:
    with torch.device("meta"), _sizes_that_can_be(method, config):
        tensors = _initial(anatomy, method, config, manifest.leave_out)
        if manifest.head is not None:
            task_type = plugins.task_type(manifest.head.type)
            head = task_type.init_head(manifest.head, manifest.base)
            tensors |= {HEAD + key: tensor for key, tensor in head.items()}
    return {key: tensor.shape for key, tensor in tensors.items()}


@contextmanager
def _sizes_that_can_be(method: Method, config: Any) -> Iterator[None]:
    """Say it of a config when torch cannot make even empty tensors of its sizes."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError, OverflowError, ArithmeticError) as error:
        raise MethodError(
            f"no tensors have the sizes that `{method.name}` needs for {config}: {error}"
        ) from error


def check_weights(
    name: str, weights: Mapping[str, Tensor], expected: Mapping[str, torch.Size]
) -> None:
    """Raise `WeightsError` for tensors that are missing, extra, misshapen or not finite."""
    missing = sorted(expected.keys() - weights.keys())
    extra = sorted(weights.keys() - expected.keys())
    if missing or extra:
        parts = [f"lacks {_few(missing)}"] if missing else []
        parts += [f"has {_few(extra)}, which its config does not name"] if extra else []
        raise WeightsError(f"`{name}` does not fit this model: it {' and '.join(parts)}")
    for key, tensor in weights.items():
        if tensor.shape != expected[key]:
            raise WeightsError(
                f"`{name}`: tensor `{key}` has shape {tuple(tensor.shape)}, "
                f"expected {tuple(expected[key])}"
            )
        if not _is_finite(tensor):
            raise WeightsError(
                f"`{name}`: tensor `{key}` holds NaN or infinite values",
                hint="training diverged; train again with a lower learning rate",
            )


def _is_finite(tensor: Tensor) -> bool:
    """Whether no entry is NaN or infinite.

    Any such entry shows in the sum, which reads the tensor at the speed of memory; a sum that only
    overflowed is looked into.
    """
    return math.isfinite(tensor.sum().item()) or bool(torch.isfinite(tensor).all())


def _few(keys: list[str]) -> str:
    shown = ", ".join(f"`{key}`" for key in keys[:3])
    return shown + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
