"""Attach compositions to a base model, switch between them, and take them off without a trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from adapterhub_lite import lock as locks
from adapterhub_lite.adapter import Adapter, BaseIdentity, HeadSpec, Training
from adapterhub_lite.composition import Composition
from adapterhub_lite.errors import AttachError, CompositionError, LockError, near
from adapterhub_lite.families import BLOCK_PARTS
from adapterhub_lite.lock import Lock
from adapterhub_lite.methods.base import Site
from adapterhub_lite.model import calls, checkpoints, moving, saving, trainable
from adapterhub_lite.model.attention import view_attention
from adapterhub_lite.model.base import Base, load_base
from adapterhub_lite.model.calls import Names, OpenRows, thread
from adapterhub_lite.model.carrier import carrier_of, check_owner
from adapterhub_lite.model.compile import NOTHING, Compiled
from adapterhub_lite.model.generation import watch_generation
from adapterhub_lite.model.hooks import Uncopied
from adapterhub_lite.model.language_modules import hook_part, hook_rows
from adapterhub_lite.model.loaded import LoadedAdapter
from adapterhub_lite.model.merging import merge_weights
from adapterhub_lite.model.positions import hook_positions
from adapterhub_lite.model.roots import hook_roots
from adapterhub_lite.model.rows import Plan, check_size, plan_rows
from adapterhub_lite.model.source import AdapterCache, Source
from adapterhub_lite.modular import MODULE
from adapterhub_lite.plugins import load as load_plugins

if TYPE_CHECKING:
    from adapterhub_lite.home import Home

DEFAULT = "default"
"""The name of the composition when only one is attached."""

_PLANS = 256
"""Row plans to keep: a service has few, a long mixed file has a new one for every batch."""

Compositions = Composition | str | Lock | Mapping[str, Composition | str | None] | None


def attach(
    base: Base | str | Path | BaseIdentity,
    composition: Compositions,
    *,
    home: Home | str | Path | None = None,
    adapters: Mapping[str, LoadedAdapter] | None = None,
    trainable: Collection[str] = (),
    merge: bool = False,
    cache: AdapterCache | None = None,
) -> Attachment:
    """Attach one composition, or several by name, to a base model.

    Args:
        base: from `load_base` or, for a model of your own, from `wrap`; or what `load_base` takes:
            a name, a folder or a Hub id.
        composition: a composition or its text; or a mapping from names to them, for `use` and
            `rows`; `None` is the base without adapter; a lock is compared with home and base first.
        home: where refs are looked up, a home or its folder; the nearest one when left out.
        adapters: adapters already in memory, by ref; looked at before the home.
        trainable: refs whose weights become parameters with gradients, and parameters of the model
            until it is detached: an optimizer on `base.model.parameters()` or transformers'
            `Trainer` trains them, `Attachment.save` keeps the result (docs/attaching.md).
        merge: fold the composition into the base's weights, for methods that can (LoRA).
        cache: where adapters from the home stay for later compositions (`AdapterCache`).

    Returns:
        The attachment, also a context manager that detaches at its end.

    Raises:
        RefError, BaseMismatchError, MethodError, WeightsError: an adapter does not fit.
        CompositionError, AttachError: the adapters do not fit together, or not to this model.
        LockError: the first thing in which a lock differs from what is here.
        AttachError: (also) the model carries an attachment of another thread, or another thread
            is computing with it.
    """
    from adapterhub_lite.home import Home

    home = None if home is None else Home.find(home)
    base = base if isinstance(base, Base) else load_base(base, home=home)
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
    locks.check_base(lock, base.identity, base.files)
    return locks.check(lock, home)


def _after_parts(site: Site) -> bool:
    """Blocks, modules and embeddings are hooked last: they take what their parts leave."""
    return site.part in (*BLOCK_PARTS, MODULE, "embeddings")


class Attachment(Uncopied):
    """Compositions at work on a base model.  Use as a context manager, or call `detach`.

    Many threads may predict through one attachment, each in a `rows` block of its own.  What is
    attached, and what `use` says for all of them, is changed only by the thread that attached, and
    only while no other thread computes.  Weights of `trainable` adapters are parameters of the
    model (`model.named_parameters()`) until it is detached.
    """

    def __init__(self, source: Source, compiled: Mapping[str, Compiled], *, merge: bool) -> None:
        self.base = source.base
        self.compositions = dict(compiled)
        self.merged = merge
        self.owner = threading.current_thread()
        """The thread that attached."""
        self.detached = False
        self.carrier = carrier_of(self.base.trunk)
        """What is on the model, and who computes with it."""
        self._source = source
        self._plans: dict[Names, Plan] = {}
        self._wholes: dict[str | None, Plan] = {}
        self._default: Plan | None = None
        self._chosen = False
        """Whether `use` has said what plain forward passes run."""
        self._open = OpenRows()
        self._recomputed: list[Plan | None] = []
        """Plans that ran with gradients: one, then no other; see `_again`."""
        self._undo: list[Callable[[], None]] = []
        self._hooked: Set[str] = frozenset()
        self._witness = next(self.base.model.parameters())
        self._placement = moving.placement_of(self._witness)
        self._checkpointed = checkpoints.checkpointed(self.base.trunk)
        with self.carrier.lock:
            self._check_attachable()
            try:
                self._start()
            except BaseException:
                self.take_off()
                raise
            self.carrier.attachments.append(self)

    def _check_attachable(self) -> None:
        self.carrier.check_mine("attaching")
        top = self.carrier.top
        if top is not None and (self.merged or top.merged):
            raise AttachError(
                "a merged composition must be alone on its model", hint="detach the other first"
            )
        if self.merged and self._source.trainable:
            raise AttachError(
                "a merged composition cannot be trained: its weights are in the base's",
                hint="attach without `merge=True`",
            )

    def _start(self) -> None:
        if self.merged:
            if len(self.compositions) != 1:
                raise AttachError("only one composition can be merged at a time")
            (compiled,) = self.compositions.values()
            for undo in merge_weights(compiled, self._source.anatomy):
                self._undo.append(undo)
            self._chosen = True
        elif len(self.compositions) == 1:
            self._choose(next(iter(self.compositions)))
        self._hook()
        if self._source.trainable:
            adapters = {ref: self._source.loaded[ref] for ref in sorted(self._source.trainable)}
            self._undo.insert(0, trainable.register(self.base.trunk, adapters))

    def _hook(self) -> None:
        self._undo += hook_roots(self)
        self._undo += watch_generation(self.base.model)
        self._undo.append(lambda: checkpoints.restore(self._checkpointed))
        if self.merged:
            return
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
        self._undo += hook_rows(anatomy, self._current, self.acts)
        self._move_positions(anatomy.rotary(), lambda c: c.memory_length)
        self._move_positions(anatomy.positions(), lambda c: c.shift)

    def _move_positions(self, module: nn.Module | None, length: Callable[[Compiled], int]) -> None:
        if module is not None and any(length(c) for c in self.compositions.values()):
            self._undo.append(hook_positions(module, self._current, length).remove)

    # ------------------------------------------------------------- what a forward pass runs

    def acts(self) -> bool:
        """Whether a forward pass that begins now is this attachment's: not detached, on top.

        Raises:
            AttachError: detached since this thread's `rows` block began.
        """
        if thread.attachment is self:
            return True
        if self.detached and not torch.compiler.is_compiling() and calls.rows_of(self) is not None:
            raise AttachError(
                f"{self.title} was detached while this thread was in its `rows` block",
                hint="detach when all threads are done",
            )
        return self.carrier.top is self

    def _current(self) -> Plan | None:
        """Return what hooks run: of the forward pass that this thread is in, if it is in one."""
        attachment = thread.attachment
        if attachment is self:
            return thread.plan
        if attachment is not None and attachment.carrier is self.carrier:
            return None
        return self._outside()

    def _outside(self) -> Plan | None:
        """Return what runs where a part of the model was called by itself, or again."""
        if not self.acts():
            return None
        if torch.compiler.is_compiling():
            return self.traced_plan()
        self.follow()
        backward = torch._C._current_graph_task_id() != -1  # as torch's own checkpoints ask
        if backward and self._recomputed:
            return self._again()
        rows = calls.rows_of(self)
        if rows is None and not backward and threading.current_thread() is not self.owner:
            raise AttachError(
                f"{self.title} came onto this model while this thread was computing with it, or "
                "this thread calls a part of the model by itself",
                hint="attach before other threads begin; call the whole model, or do it in a "
                "`rows` block",
            )
        plan = self._default_plan() if rows is None else rows.plan
        if torch.is_grad_enabled():
            self._note_gradients(plan)
        return plan

    def _again(self) -> Plan | None:
        """Return what runs in `backward`, which computes again what a user's own code asked for."""
        if len(self._recomputed) > 1:
            raise AttachError(
                "several compositions ran with gradients, and this checkpoint does not say which "
                "it is to compute again",
                hint="use the model's own checkpoints: `model.activation_checkpointing_enable()`",
            )
        return self._recomputed[0]

    def traced_plan(self) -> Plan | None:
        """Return what compiled code runs, from values that `torch.compile` can guard."""
        if self._open.clash:
            raise AttachError(
                "several `rows` blocks are open in this thread, and compiled code cannot tell "
                "whose is at work",
                hint="leave a block before another task of the thread begins one",
            )
        return self._default_plan() if self._open.plan is None else self._open.plan

    def check_traced(self, rows: int | None) -> None:
        """Compare the batch's size in compiled code."""
        if not self.merged and self.acts():
            plan = self.traced_plan()
            if plan is not None:
                check_size(plan, rows)

    def plan_for(self, size: int | None) -> Plan | None:
        """Return the plan of a forward pass over so many rows that this thread begins.

        Raises:
            AttachError: another number of rows than `rows` named; nothing is in use.
        """
        rows = calls.rows_of(self)
        if rows is None:
            self.carrier.check_started(self)
            plan = self._default_plan()
        else:
            plan, times = rows.plan, thread.expansion
            if times > 1 and size == len(rows.names) * times:
                plan = self._plan(tuple(name for name in rows.names for _ in range(times)))
            check_size(plan, size, times)
        if torch.is_grad_enabled():
            self._note_gradients(plan)
        return plan

    def _note_gradients(self, plan: Plan | None) -> None:
        if self.base.trunk.training:
            checkpoints.carry_plans(self._checkpointed, self.base.model)
        if len(self._recomputed) < 2 and not any(plan is other for other in self._recomputed):
            self._recomputed.append(plan)

    def _default_plan(self) -> Plan | None:
        if not self._chosen:
            raise AttachError(
                f"{self.title} is on this model, and none of its compositions is in use: this "
                "would be the base without adapters",
                hint="`attachment.use(NAME)` or `with attachment.rows(NAMES): ...`; `use(None)` "
                "if the base without adapters is meant",
            )
        return self._default

    def follow(self) -> None:
        """Bring the adapters to where the model is: it may have been moved or cast."""
        witness, placement = self._witness, self._placement
        if (witness.dtype, witness.device) == placement:
            return
        with self.carrier.lock:
            self._placement = moving.placement_of(witness)
            moving.bring(self.compositions.values(), self._source.anatomy, self._placement)

    # ------------------------------------------------------------- what the user says

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the attached compositions, as `use` and `rows` take them."""
        return tuple(self.compositions)

    @property
    def title(self) -> str:
        """What messages call this attachment."""
        names = [f"`{name}`" for name in self.compositions]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"the attachment of {shown}"

    def __repr__(self) -> str:
        state = "at work" if self.carrier.top is self else "covered by another"
        names = ", ".join(self.compositions)
        return f"<Attachment of {names}: {'detached' if self.detached else state}>"

    def check_at_work(self) -> None:
        """Raise `AttachError` unless predicting with this attachment runs its adapters."""
        if self.detached:
            raise AttachError(
                f"{self.title} is detached: its adapters are off the model",
                hint="attach again, and predict inside the `with attach(...)` block",
            )
        if self.carrier.top is not self:
            raise AttachError(
                f"{self.title} is covered: {self.carrier.attachments[-1].title} was attached "
                "later to the same model, and is at work in its stead",
                hint="detach that one first, or predict with that one",
            )

    def add(self, name: str, composition: Composition | str) -> None:
        """Attach one more composition, for `use` and `rows`; adapters in use are not read again.

        Raises:
            CompositionError: the name is taken; and what `attach` raises.
            AttachError: a merged composition; detached or covered; another thread is computing.
        """
        self._check_changeable("adding a composition")
        if name in self.compositions:
            raise CompositionError(f"a composition `{name}` is attached already")
        self.follow()
        compiled = self._source.compiled(composition)
        with self.carrier.lock:
            self.carrier.check_free("adding a composition")
            self.compositions[name] = compiled
            if compiled.memory_length or compiled.shift or compiled.sites.keys() - self._hooked:
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
            AttachError: a merged composition; detached or covered; another thread is computing.
        """
        self._check_changeable("removing a composition")
        compiled = self._named(name)
        rows = calls.rows_of(self)
        plans = [plan for plan in (self._default, rows.plan if rows else None) if plan]
        used = [c for p in plans for c in (p.whole, *(group.compiled for group in p.groups))]
        if any(other is compiled for other in used):
            raise CompositionError(f"composition `{name}` is in use", hint="`use(None)` first")
        with self.carrier.lock:
            self.carrier.check_free("removing a composition")
            del self.compositions[name]
            self._plans.clear()
            self._wholes.clear()
            self._recomputed.clear()
        self._source.keep_only([a for c in self.compositions.values() for a in c.adapters])

    def _hook_again(self) -> None:
        kept = self._undo.pop(0) if self._source.trainable else None
        self.take_off()  # all of them: at a module, the order of hooks counts
        self._hook()
        if kept is not None:
            self._undo.insert(0, kept)

    def _check_changeable(self, change: str) -> None:
        self.check_at_work()
        if self.merged:
            raise AttachError(
                f"{change} is not possible: the composition is merged into the base's weights",
                hint="attach without `merge=True`",
            )
        check_owner(self, change)
        self.carrier.check_free(change)

    def _named(self, name: str | None) -> Compiled:
        if name is None:
            return NOTHING
        if name not in self.compositions:
            raise CompositionError(
                f"no composition `{name}` is attached", hint=near(name, self.compositions)
            )
        return self.compositions[name]

    def use(self, name: str | None) -> None:
        """Use one composition for whole batches from now on; `None` is the base as it is.

        It holds for every thread that is not in a `rows` block.

        Raises:
            CompositionError: an unknown name.
            AttachError: merged, detached or covered; inside a `rows` block; called in another
                thread than the one that attached; another thread is computing.
        """
        self.check_at_work()
        if self.merged:
            raise AttachError(
                "a merged composition cannot be switched", hint="attach without merge"
            )
        self._named(name)
        check_owner(self, "`use`")
        if calls.rows_of(self) is not None:
            raise AttachError(
                "`use` has no effect inside a `rows` block", hint="leave the block first"
            )
        with self.carrier.lock:
            self.carrier.check_free("`use`")
            self._choose(name)

    def _choose(self, name: str | None) -> None:
        self._default = None if self._named(name) is NOTHING else self._whole(name)
        self._chosen = True

    def _whole(self, name: str | None) -> Plan:
        plan = self._wholes.get(name)
        if plan is None:
            plan = self._wholes.setdefault(name, Plan(whole=self._named(name)))
        return plan

    def _plan(self, names: Names) -> Plan:
        plan = self._plans.get(names)
        if plan is None:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            plan = self._plans.setdefault(names, plan_rows([self._named(n) for n in names]))
        return plan

    def rows(self, names: Sequence[str | None] | str | None) -> AbstractContextManager[None]:
        """Within, every forward pass of this thread has these compositions, one a row of the batch.

        `generate` repeats them by itself where it makes several sequences of one row.

        Args:
            names: one name a row, `None` for the base as it is; or a single name (or `None`), which
                is then for all rows of any batch.

        Raises:
            CompositionError: an unknown name, before anything is computed.
            AttachError: detached or covered; (in the forward pass) a batch of another size.
        """
        self.check_at_work()
        if names is None or isinstance(names, str):
            plan = self._merged_rows((names,), whole=True) if self.merged else self._whole(names)
            return self._block((), plan)
        key = tuple(names)
        if not key:
            raise CompositionError("`rows` needs one name a row, found none")
        plan = self._merged_rows(key, whole=False) if self.merged else self._plan(key)
        return self._block(key, plan)

    @contextmanager
    def _block(self, names: Names, plan: Plan) -> Iterator[None]:
        with self.carrier.lock:
            self.check_at_work()
            hold = self.carrier.hold(self, block=True)
            rows = calls.enter_rows(self, names, plan)
            self._open.add(rows)
        try:
            yield
        finally:
            self._open.discard(rows)
            calls.leave_rows(rows)
            self.carrier.release(hold)

    def _merged_rows(self, names: Names, *, whole: bool) -> Plan:
        """Return a plan without work: a merged composition is in every row already."""
        if any(self._named(name) is NOTHING for name in names):
            raise AttachError(
                "a merged composition is in every row, also in rows named `None`",
                hint="attach without merge",
            )
        return Plan(whole=NOTHING) if whole else plan_rows([NOTHING] * len(names))

    def head(self, name: str = DEFAULT) -> tuple[HeadSpec, dict[str, Tensor]] | None:
        """Return the topmost head of a composition with its weights, if it has one.

        Raises:
            CompositionError: an unknown name.
            AttachError: detached or covered: the head would read another model.
        """
        self.check_at_work()
        self.follow()
        return self._named(name).head

    def adapter(self, ref: str) -> LoadedAdapter:
        """Return an adapter of these compositions by its ref or name."""
        if ref in self._source.loaded:
            return self._source.loaded[ref]
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

    def save(
        self,
        ref: str,
        *,
        name: str,
        home: Home | None = None,
        language: str | Sequence[str] | None = None,
        task: str | None = None,
        dataset: str | None = None,
        licence: str | None = None,
        training: Training | None = None,
    ) -> Adapter:
        """Add an adapter to a home as its weights are now, head included, and return it.

        What it was trained over is recorded from the compositions that it is in.

        Args:
            name: what to call it there.
            home: left out, the one that was attached from.
            language: of the text or the labels it was trained on; of a bilingual adapter both,
                source first.  An adapter that came from a home keeps what that says.
            task: what a task adapter is for; likewise.
            training: how it was trained, to be recorded.

        Raises:
            CompositionError: no such adapter is attached.
            UsageError: language or task is missing; it stands on one that is in no home.
            HomeError, RegistryError: the home cannot be written, or has the name.
        """
        return saving.save(
            self,
            ref,
            home or self._source.home,
            name=name,
            language=language,
            task=task,
            dataset=dataset,
            licence=licence,
            training=training,
        )

    def detach(self) -> None:
        """Take everything off; the base is as it was, bit for bit.

        Raises:
            AttachError: something attached later is still on; or another thread is computing, or
                a `rows` block is open: then it comes off as soon as that is over.
        """
        with self.carrier.lock:
            if self.detached:
                return
            if self.carrier.top is not self:
                raise AttachError("something attached later is still on; detach that first")
            self.carrier.attachments.pop()
            self.detached = True
            if self.carrier.leave(self):
                return
        raise AttachError(
            f"{self.title} was detached while another thread computed with it, or inside its own "
            "`rows` block: it comes off the model when that is over",
            hint="wait for the threads (`thread.join()`) before the `with attach(...)` block ends",
        )

    def take_off(self) -> None:
        """Undo all that is on the model; `detach` does this when nobody computes with it."""
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
        try:
            self.detach()
        except AttachError as late:
            if error is None:
                raise
            error.add_note(str(late))
