"""Rules: what must hold, whatever is preferred.  Each is one function: a reason, or `None`.

`ADAPTER_RULES` judge one adapter by itself, `STACK_RULES` the adapters that would stand together.
A rule's name is the function's name; both tables are open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from adapterhub_lite.adapter import Adapter, BaseIdentity, Kind, Underneath
from adapterhub_lite.digests import Digest
from adapterhub_lite.errors import MethodError
from adapterhub_lite.methods.base import Method, MethodConfig
from adapterhub_lite.resolver import guarding
from adapterhub_lite.resolver.candidates import is_same
from adapterhub_lite.resolver.not_run import NotRun
from adapterhub_lite.resolver.request import Request

if TYPE_CHECKING:
    from adapterhub_lite.plugins import Plugins
    from adapterhub_lite.resolver.proposals import Proposal

VANISHED = "vanished"
"""Status of a remote adapter that the Hub did not have when it was last looked for."""

DECISIVE = frozenset({"base", "config"})
"""Fields of a manifest without which no rule can be judged."""


@dataclass(slots=True)
class Judge:
    """Applies the rules for one request and base, and remembers what they look up."""

    request: Request
    base: BaseIdentity | None
    plugins: Plugins
    _digests: dict[Digest, Digest] = field(default_factory=dict)
    _methods: dict[Digest, tuple[Method, MethodConfig]] = field(default_factory=dict)

    def adapter(self, adapter: Adapter) -> tuple[str, str] | None:
        """Return the first rule that the adapter breaks, and the reason."""
        for rule in ADAPTER_RULES:
            reason = rule(self, adapter)
            if reason is not None:
                return rule.__name__, reason
        return None

    def stack(self, proposal: Proposal) -> tuple[str, str] | None:
        """Return the first rule that the proposal breaks, and the reason."""
        for rule in STACK_RULES:
            reason = rule(self, proposal)
            if reason is not None:
                return rule.__name__, reason
        return None

    def config_digest(self, adapter: Adapter) -> Digest:
        """Return the adapter's config digest, computed once."""
        if adapter.digest not in self._digests:
            self._digests[adapter.digest] = adapter.manifest.config_digest
        return self._digests[adapter.digest]

    def method(self, adapter: Adapter) -> tuple[Method, MethodConfig]:
        """Return the adapter's method and config; `MethodError` where there is no such."""
        key = self.config_digest(adapter)
        if key not in self._methods:
            method = self._method(adapter)
            self._methods[key] = (method, guarding.config_of(method, adapter.manifest.config))
        return self._methods[key]

    def _method(self, adapter: Adapter) -> Method:
        if self.awaits_trust(adapter):
            return NotRun(adapter.manifest.method)
        return self.plugins.method(adapter.manifest.method)

    def awaits_trust(self, adapter: Adapter) -> bool:
        """Whether the adapter's method is in a plugin file that may not run yet."""
        manifest = adapter.manifest
        return self.plugins.awaits_trust(manifest.method, manifest.provider)

    def unlike(self, adapter: Adapter, under: Underneath) -> str | None:
        """Return why an adapter cannot stand where another stood in training, or `None`."""
        manifest = adapter.manifest
        if is_same(under, adapter):
            return None
        if manifest.method != under.method:
            return f"is of method `{manifest.method}`, not `{under.method}`"
        if self.config_digest(adapter) != under.config_digest:
            return "has another config"
        if manifest.leave_out != under.leave_out:
            return f"leaves out layers {list(manifest.leave_out)}, not {list(under.leave_out)}"
        return None


def same_base(judge: Judge, adapter: Adapter) -> str | None:
    """The adapter was trained on the base that is asked for."""
    base = adapter.manifest.base
    if judge.base is None or base.same_as(judge.base):
        return None
    if base.name == judge.base.name:
        return f"is for other weights of `{base.name}` (fingerprint {base.fingerprint[:12]})"
    return f"is for `{base.name}`"


def still_there(_judge: Judge, adapter: Adapter) -> str | None:
    """A remote adapter was on the Hub when it was last looked for."""
    source = adapter.manifest.source
    if adapter.remote and source is not None and source.status == VANISHED:
        return f"was not on the Hub any more when `{source.hub_id}` was last looked for"
    return None


def known_before_the_pull(_judge: Judge, adapter: Adapter) -> str | None:
    """Of a remote adapter, what decides where it fits is known without its files."""
    source = adapter.manifest.source
    unknown = sorted(DECISIVE & set(source.unknown)) if source and adapter.remote else []
    if not unknown:
        return None
    return f"cannot be judged before it is pulled: its {' and '.join(unknown)} is not known"


def method_asked_for(judge: Judge, adapter: Adapter) -> str | None:
    """The adapter is of the method that is asked for, if one is; a base's modules come with it."""
    if adapter.manifest.built_in:
        return None
    asked, method = judge.request.method, adapter.manifest.method
    return None if asked in (None, method) else f"is of method `{method}`, asked for was `{asked}`"


def method_available(judge: Judge, adapter: Adapter) -> str | None:
    """A plugin provides the adapter's method, and accepts its config."""
    try:
        judge.method(adapter)
    except MethodError as error:
        return f"cannot run: {error.message}"
    return None


def dataset_asked_for(judge: Judge, adapter: Adapter) -> str | None:
    """A task adapter was trained on the dataset that is asked for, if one is."""
    asked, dataset = judge.request.dataset, adapter.manifest.dataset
    if asked in (None, dataset) or adapter.manifest.kind is not Kind.TASK:
        return None
    trained = f"`{dataset}`" if dataset else "an unnamed dataset"
    return f"was trained on {trained}, asked for was `{asked}`"


def licence_allowed(judge: Judge, adapter: Adapter) -> str | None:
    """The adapter's licence is among those asked for, if any are; a base's modules come with it."""
    if adapter.manifest.built_in:
        return None
    allowed, licence = judge.request.licences, adapter.manifest.licence
    if not allowed or (licence or "").lower() in allowed:
        return None
    has = f"has licence `{licence}`" if licence else "states no licence"
    return f"{has}, allowed are {', '.join(f'`{name}`' for name in allowed)}"


def weights_present(judge: Judge, adapter: Adapter) -> str | None:
    """The weights are on disk, unless pulling them is allowed."""
    if judge.request.offline and adapter.remote:
        return "is remote, and the request is offline"
    return None


def complete(_judge: Judge, proposal: Proposal) -> str | None:
    """Everything that the strategy needs is there."""
    return proposal.problem or None


def one_base(_judge: Judge, proposal: Proposal) -> str | None:
    """All adapters agree on the base; one without fingerprint may agree with two that do not."""
    for below, above in combinations(proposal.adapters, 2):
        if not below.manifest.base.same_as(above.manifest.base):
            name = above.manifest.base.name
            return f"stands on `{below.ref}`, which is for other weights of `{name}`"
    return None


def trained_over_matched(judge: Judge, proposal: Proposal) -> str | None:
    """What stands under the task adapter is like what stood there in training."""
    for seat in proposal.seats[:-1]:
        if not seat.instead_of:
            return f"was trained over nothing, so `{seat.candidate.ref}` cannot stand under it"
        for member in seat.members:
            reasons = [judge.unlike(member.adapter, under) for under in seat.instead_of]
            if None not in reasons:
                was = proposal.names(seat)
                return f"was trained over {was}, and `{member.ref}` {reasons[0]}"
    return None


def members_alike(judge: Judge, proposal: Proposal) -> str | None:
    """Members of an average share method, config and layers, and the method has an average."""
    for seat in proposal.seats:
        if not seat.shares:
            continue
        first, *others = [member.adapter for member in seat.members]
        for other in others:
            unlike = judge.unlike(other, first.underneath())
            if unlike is not None:
                return f"stands on an average of `{first.ref}` and `{other.ref}`, which {unlike}"
        method, _ = judge.method(first)
        if not method.averages:
            return f"cannot stand on an average: `{method.name}` adapters have none"
    return None


def run_allowed(judge: Judge, proposal: Proposal) -> str | None:
    """The methods accept what stands under them."""
    adapters = [(seat, member.adapter) for seat in proposal.seats for member in seat.members]
    for (lower, below), (upper, above) in combinations(adapters, 2):
        if lower is upper:
            continue  # members of an average stand side by side
        method, config = judge.method(above)
        reason = guarding.follows(method, config, *judge.method(below))
        if reason is not None:
            return f"cannot stand on `{below.ref}`: {reason}"
    return None


def members_below(_judge: Judge, proposal: Proposal) -> str | None:
    """What an adapter fuses stands right below it, in the order that it was trained on."""
    digests = [adapter.digest for adapter in proposal.adapters]
    for at, adapter in enumerate(proposal.adapters):
        members = proposal.fused(adapter)
        below = tuple(digests[max(0, at - len(members)) : at])
        if members and below != members:
            return "was trained to fuse other adapters than those below it"
    return None


AdapterRule = Callable[[Judge, Adapter], str | None]
StackRule = Callable[[Judge, "Proposal"], str | None]

ADAPTER_RULES: list[AdapterRule] = [
    same_base,
    still_there,
    known_before_the_pull,
    method_asked_for,
    dataset_asked_for,
    method_available,
    licence_allowed,
    weights_present,
]
STACK_RULES: list[StackRule] = [
    complete,
    one_base,
    trained_over_matched,
    members_alike,
    members_below,
    run_allowed,
]
