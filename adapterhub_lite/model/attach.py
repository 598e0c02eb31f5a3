"""Attach compositions to a base model, switch between them, and take them off without a trace."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from torch import Tensor, nn

from adapterhub_lite import lock as locks
from adapterhub_lite.adapter import HeadSpec
from adapterhub_lite.composition import Composition
from adapterhub_lite.errors import AttachError, CompositionError, LockError, near
from adapterhub_lite.families import BLOCK_PARTS
from adapterhub_lite.lock import Lock
from adapterhub_lite.methods.base import Site
from adapterhub_lite.model.attention import view_attention
from adapterhub_lite.model.base import Base
from adapterhub_lite.model.compile import NOTHING, Compiled
from adapterhub_lite.model.language_modules import hook_part, hook_rows
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.model.merging import merge_weights
from adapterhub_lite.model.positions import hook_positions
from adapterhub_lite.model.rows import Plan, plan_rows
from adapterhub_lite.model.source import AdapterCache, Source
from adapterhub_lite.modular import MODULE
from adapterhub_lite.plugins import load as load_plugins

if TYPE_CHECKING:
    from adapterhub_lite.home import Home

DEFAULT = "default"
"""The name of the composition when only one is attached."""

_PLANS = 256
"""Row plans to keep: a service has few, a long mixed file has a new one for every batch."""

_attached: weakref.WeakKeyDictionary[nn.Module, list[Attachment]] = weakref.WeakKeyDictionary()

Compositions = Composition | str | Lock | Mapping[str, Composition | str | None] | None


def attach(
    base: Base,
    composition: Compositions,
    *,
    home: Home | None = None,
    adapters: Mapping[str, LoadedAdapter] | None = None,
    trainable: Collection[str] = (),
    merge: bool = False,
    cache: AdapterCache | None = None,
) -> Attachment:
    """Attach one composition, or several by name, to a base model.

    Args:
        base: from `load_base`.
        composition: a composition or its text; or a mapping from names to them, for `use` and
            `rows`; `None` is the base without adapter; a lock is compared with home and base first.
        home: where refs are looked up; the nearest home when left out.
        adapters: adapters already in memory, by ref; looked at before the home.
        trainable: refs whose weights become parameters with gradients.
        merge: fold the composition into the base's weights, for methods that can (LoRA).
        cache: where adapters from the home stay for later compositions (`AdapterCache`).

    Returns:
        The attachment, also a context manager that detaches at its end.

    Raises:
        RefError, BaseMismatchError, MethodError, WeightsError: an adapter does not fit.
        CompositionError, AttachError: the adapters do not fit together, or not to this model.
        LockError: the first thing in which a lock differs from what is here.
    """
    if isinstance(composition, Lock):
        composition = _unlocked(composition, base, home)
    plugins = home.plugins() if home else load_plugins()
    named = composition if isinstance(composition, Mapping) else {DEFAULT: composition}
    source = Source(base, plugins, home, memory=adapters or {}, trainable=trainable, cache=cache)
    compiled = {name: source.compiled(c) for name, c in named.items()}
    unused = sorted(set(trainable) - source.loaded.keys())
    if unused:
        raise CompositionError(f"trainable `{unused[0]}` is not in the composition")
    return Attachment(source, compiled, merge=merge)


def _unlocked(lock: Lock, base: Base, home: Home | None) -> Composition:
    if home is None:
        raise LockError("a lock is compared with a home", hint="`attach(base, lock, home=home)`")
    locks.check_base(lock, base.identity)
    return locks.check(lock, home)


def _after_parts(site: Site) -> bool:
    """Blocks, modules and embeddings are hooked last: they take what their parts leave."""
    return site.part in (*BLOCK_PARTS, MODULE, "embeddings")


class Attachment:
    """Compositions at work on a base model.  Use as a context manager, or call `detach`."""

    def __init__(self, source: Source, compiled: Mapping[str, Compiled], *, merge: bool) -> None:
        self.base = source.base
        self.compositions = dict(compiled)
        self._source = source
        self._plans: dict[tuple[str | None, ...], Plan] = {}
        self._undo: list[Callable[[], None]] = []
        self._hooked: Set[str] = frozenset()
        self.suspended = False
        self.merged = merge
        self._plan: Plan | None = None
        self._below = _attached.setdefault(self.base.model, [])
        if self._below and (merge or self._below[-1].merged):
            raise AttachError(
                "a merged composition must be alone on its model", hint="detach the other first"
            )
        try:
            self._start()
        except BaseException:
            self._take_off()
            raise
        for other in self._below:
            other.suspended = True
        self._below.append(self)

    def _start(self) -> None:
        if self.merged:
            if len(self.compositions) != 1:
                raise AttachError("only one composition can be merged at a time")
            (compiled,) = self.compositions.values()
            for undo in merge_weights(compiled, self._source.anatomy):
                self._undo.append(undo)
            return
        self._hook()
        if len(self.compositions) == 1:
            self.use(next(iter(self.compositions)))

    def _hook(self) -> None:
        anatomy = self._source.anatomy
        sites = {k: site for c in self.compositions.values() for k, site in c.sites.items()}
        self._hooked = sites.keys()
        for site in sorted(sites.values(), key=_after_parts):
            if site.part == "attention":
                module = anatomy.module(site.part, site.layer)
                assert module is not None
                self._undo.append(view_attention(module, site, self._current))
            else:
                self._undo += [h.remove for h in hook_part(anatomy, site, self._current)]
        self._undo += hook_rows(anatomy, self._current, lambda: not self.suspended)
        self._move_positions(anatomy.rotary(), lambda c: c.memory_length)
        self._move_positions(anatomy.positions(), lambda c: c.shift)

    def add(self, name: str, composition: Composition | str) -> None:
        """Attach one more composition, for `use` and `rows`; adapters in use are not read again.

        Raises:
            CompositionError: the name is taken; and what `attach` raises.
            AttachError: a merged composition, or something attached later is still on.
        """
        self._check_changeable()
        if name in self.compositions:
            raise CompositionError(f"a composition `{name}` is attached already")
        compiled = self.compositions[name] = self._source.compiled(composition)
        if compiled.memory_length or compiled.shift or not compiled.sites.keys() <= self._hooked:
            try:
                self._hook_again()
            except BaseException:
                del self.compositions[name]
                self._hook_again()
                raise

    def remove(self, name: str) -> None:
        """Take one composition off; adapters that no other uses leave memory, or stay in the cache.

        Raises:
            CompositionError: no such composition, or it is in use.
            AttachError: a merged composition, or something attached later is still on.
        """
        compiled = self._named(name)
        self._check_changeable()
        plan = self._plan
        if plan and any(c is compiled for c in (plan.whole, *(g.compiled for g in plan.groups))):
            raise CompositionError(f"composition `{name}` is in use", hint="`use(None)` first")
        del self.compositions[name]
        self._plans.clear()
        self._source.keep_only([a for c in self.compositions.values() for a in c.adapters])

    def _hook_again(self) -> None:
        self._take_off()  # all of them: at a module, the order of hooks counts
        self._hook()

    def _check_changeable(self) -> None:
        if self.merged or self not in self._below[-1:]:
            raise AttachError("only what is attached last, and not merged, can be changed")

    def _move_positions(self, module: nn.Module | None, length: Callable[[Compiled], int]) -> None:
        if module is not None and any(length(c) for c in self.compositions.values()):
            self._undo.append(hook_positions(module, self._current, length).remove)

    def _current(self) -> Plan | None:
        return None if self.suspended else self._plan

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attached compositions, as `use` and `rows` take them."""
        return tuple(self.compositions)

    def _named(self, name: str | None) -> Compiled:
        if name is None:
            return NOTHING
        if name not in self.compositions:
            raise CompositionError(
                f"no composition `{name}` is attached", hint=near(name, self.compositions)
            )
        return self.compositions[name]

    def use(self, name: str | None) -> None:
        """Use one composition for whole batches from now on; `None` is the base as it is."""
        if self.merged:
            raise AttachError(
                "a merged composition cannot be switched", hint="attach without merge"
            )
        compiled = self._named(name)
        self._plan = None if compiled is NOTHING else Plan(whole=compiled)

    @contextmanager
    def rows(self, names: Sequence[str | None]) -> Iterator[None]:
        """Within, every forward pass has these compositions, one a row of the batch.

        Raises:
            CompositionError: an unknown name, before anything is computed.
            AttachError: (in the forward pass) a batch of another size.
        """
        if self.merged:
            raise AttachError("a merged composition has no rows", hint="attach without merge")
        key = tuple(names)
        if key not in self._plans:
            if not key:
                raise CompositionError("`rows` needs one name a row, found none")
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = plan_rows([self._named(name) for name in names])
        before, self._plan = self._plan, self._plans[key]
        try:
            yield
        finally:
            self._plan = before

    def head(self, name: str = DEFAULT) -> tuple[HeadSpec, dict[str, Tensor]] | None:
        """Return the topmost head of a composition with its weights, if it has one."""
        return self._named(name).head

    def adapter(self, ref: str) -> LoadedAdapter:
        """Return an adapter of these compositions by its ref or name."""
        for compiled in self.compositions.values():
            for adapter in compiled.adapters:
                if ref in (adapter.ref, adapter.ref.partition("@")[0]):
                    return adapter
        known = [a.ref for c in self.compositions.values() for a in c.adapters]
        raise CompositionError(f"no adapter `{ref}` is attached", hint=near(ref, known))

    def parameters_of(self, ref: str) -> dict[str, nn.Parameter]:
        """Return the trainable weights of an adapter, head included, by their full keys."""
        weights = self.adapter(ref).weights
        return {key: value for key, value in weights.items() if isinstance(value, nn.Parameter)}

    def state_of(self, ref: str) -> dict[str, Tensor]:
        """Return a copy of an adapter's weights, head included, by their full keys."""
        return {k: v.detach().clone() for k, v in self.adapter(ref).weights.items()}

    def detach(self) -> None:
        """Take everything off; the base is as it was, bit for bit.

        Raises:
            AttachError: something attached later is still on.
        """
        if self not in self._below:
            return
        if self._below[-1] is not self:
            raise AttachError("something attached later is still on; detach that first")
        self._below.pop()
        if self._below:
            self._below[-1].suspended = False
        self._take_off()

    def _take_off(self) -> None:
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()
