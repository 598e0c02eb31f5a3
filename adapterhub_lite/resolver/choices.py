"""From the winning stack to the answer: each choice with its reason, and the warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapterhub_lite.adapter import Adapter
from adapterhub_lite.resolver.candidates import Candidate
from adapterhub_lite.resolver.preferences import assumed, shared
from adapterhub_lite.resolver.proposals import Proposal, Seat, Share, at_the_place
from adapterhub_lite.resolver.resolution import Choice
from adapterhub_lite.resolver.scores import Records, words

STATUS = {
    "verified": " (verified: a public source or the Hub itself names it)",
    "derived": " (derived: its id follows a naming rule and was not looked up)",
}
"""Words for how sure it is that the Hub has a remote adapter."""


def choices(proposal: Proposal) -> tuple[Choice, ...]:
    """Return the adapters of a stack, bottom first, each with the reason why it is there."""
    return tuple(
        Choice(
            slot=str(seat.slot),
            ref=member.ref,
            digest=member.adapter.digest,
            reason=_share_reason(share) if share else _reason(proposal, seat),
            remote=member.adapter.remote,
            **_source(member.adapter),
        )
        for seat in proposal.seats
        for member, share in zip(seat.members, seat.shares or (None,), strict=True)
    )


def _share_reason(share: Share) -> str:
    tags = " and ".join(f"`{tag}`" for tag in share.candidate.adapter.manifest.tags())
    return f"{100 * share.weight:.0f} % of the average: language adapter for {tags}, {share.why}"


def _source(adapter: Adapter) -> dict[str, str | None]:
    source = adapter.manifest.source
    if source is None:
        return {}
    return {"hub_id": source.hub_id, "revision": source.revision, "status": source.status}


def scheme(proposal: Proposal) -> str:
    """Return what papers call the strategy with the task adapter's method, if they do."""
    if not proposal.strategy.swaps:
        return ""
    return proposal.pool.judge.method(proposal.task.adapter)[0].scheme


def schemes_without_task(winner: Proposal) -> Iterator[str]:
    """Say which language adapters of the target no task adapter here can stand on: other methods.

    Only where nothing was asked for that would hide such task adapters.
    """
    pool, request = winner.pool, winner.pool.request
    with_task = {task.adapter.manifest.method for task in pool.tasks}
    if request.method or request.dataset:
        return
    for target in pool.targets:
        method = target.adapter.manifest.method
        if method in with_task:
            continue
        with_task.add(method)
        name = pool.judge.method(target.adapter)[0].scheme or f"method {method}"
        yield (
            f"{name} has no task adapter for {request.task} with labels in {request.source} on "
            f"{pool.base.name} that is known here, so `{target.ref}` cannot be used"
        )


def _reason(proposal: Proposal, seat: Seat) -> str:
    if seat is proposal.seats[-1]:
        return _task_reason(proposal)
    adapter = seat.candidate.adapter
    tags = " and ".join(f"`{tag}`" for tag in adapter.manifest.tags())
    own = adapter.manifest.built_in
    what = "the base's own module" if own else f"{adapter.manifest.kind} adapter"
    what += f" for {tags}" if tags else ""
    if not seat.exact:
        like = f"{what}, in the place of {proposal.names(seat)}: same method, config and layers"
        return like + _without(seat)
    if len(seat.instead_of) > 1:
        return f"{what}, one of {len(seat.instead_of)} that the task adapter was trained over"
    return f"{what}, the one that the task adapter was trained over" + _without(seat)


def _without(seat: Seat) -> str:
    """Return which layers are left out of an adapter because they were in training."""
    layers = sorted({layer for under in seat.instead_of for layer in under.dropped})
    return f", without layer {', '.join(map(str, layers))}, as then" if layers else ""


def _task_reason(proposal: Proposal) -> str:
    manifest = proposal.task.adapter.manifest
    data = f" of {manifest.dataset}" if manifest.dataset else ""
    if manifest.seen:
        over = f"over {len(manifest.seen)} language adapters in turn"
    else:
        stood = at_the_place(proposal.task)
        names = " and ".join(proposal.pool.describe(under) for under in stood)
        over = f"over {names or 'no language adapter'}"
    labels = ", ".join(f"`{tag}`" for tag in manifest.tags())
    return f"task adapter for {manifest.task}, labels{data} in {labels}, trained {over}"


def why(winner: Proposal, allowed: Sequence[Proposal], records: Records) -> str:
    """Return what put the winner first: its strategy, or a measurement against it."""
    claim = winner.strategy.claim
    by_assumption = assumed(allowed, records)[0]
    if by_assumption is winner:
        measured = records.of(winner)
        data = next(iter(records.preferred(measured)), None)
        if data is None:
            return claim + _not_compared(winner, records)
        return f"{claim}; {words(data, measured[data])}"
    data = shared(winner, [by_assumption], records)
    if data is None:
        return f"{claim}; it has a recorded score on this target, and policy `scores` asks for one"
    ours, theirs = records.of(winner)[data], records.of(by_assumption)[data]
    other = by_assumption.strategy.name
    return f"{claim}; {words(data, ours)}, against {theirs.value:.4g} of {other}"


def _not_compared(winner: Proposal, records: Records) -> str:
    """Show a score that played no part, for want of one in the main metric."""
    measured = records.in_other_metrics(winner)
    data = next(iter(records.preferred(measured)), None)
    if data is None:
        return ""
    score = words(data, measured[data])
    return f"; {score} is not compared: this task is compared by {records.metric}"


def warnings(winner: Proposal, allowed: Sequence[Proposal]) -> tuple[str, ...]:
    """Return what a user should know before running the stack, each once."""
    own = (*winner.warnings, winner.strategy.advice)
    found = (*own, *_of_seats(winner), *_of_labels(winner, allowed))
    return tuple(dict.fromkeys(warning for warning in found if warning))


def _of_seats(proposal: Proposal) -> Iterator[str]:
    for candidate in (member for seat in proposal.seats for member in seat.members):
        if candidate.note:
            yield f"`{candidate.ref}` {candidate.note}"
        if candidate.adapter.remote:
            yield _remote(candidate)
        elif (note := candidate.adapter.base_note()) is not None:
            yield note
        if proposal.pool.judge.awaits_trust(candidate.adapter):
            plugin = candidate.adapter.manifest.provider.plugin
            yield (
                f"method `{candidate.adapter.manifest.method}` comes with a plugin file that may "
                f"not run yet: read `plugins/{plugin}.py`, then `ahl plugins trust`"
            )
    yield from _inferred(proposal)
    if proposal.task.adapter.manifest.head is None:
        yield f"`{proposal.task.ref}` has no head: it gives features, not labels"


def _remote(candidate: Candidate) -> str:
    """Say what is pulled, and how sure it is that it is there."""
    adapter = candidate.adapter
    source = adapter.manifest.source
    what = "it" if source is None or source.hub_id == adapter.name else source.hub_id
    known = STATUS.get(source.status or "", "") if source else ""
    size = f", {source.weights.size / 1e6:.2g} MB" if source and source.weights else ""
    return f"`{candidate.ref}` is remote: {what} is pulled when it is attached{size}{known}"


def _inferred(proposal: Proposal) -> Iterator[str]:
    source = proposal.task.adapter.manifest.source
    if source is not None and "trained_over" in source.inferred:
        names = " and ".join(proposal.pool.describe(u) for u in at_the_place(proposal.task))
        yield (
            f"that `{proposal.task.ref}` was trained over {names} is inferred: "
            "its source does not say so outright"
        )


def _of_labels(winner: Proposal, allowed: Sequence[Proposal]) -> Iterator[str]:
    """Say so where other adapters for the task have other data, or other labels."""
    manifests = {p.task.ref: p.task.adapter.manifest for p in allowed}
    chosen = winner.task.adapter.manifest
    datasets = {m.dataset for m in manifests.values() if m.dataset}
    asked = winner.pool.request.dataset
    if asked is None and len(datasets) > 1:
        yield (
            f"adapters for {chosen.task} of {len(datasets)} datasets fit "
            f"({', '.join(sorted(datasets))}); this is {chosen.dataset or 'of an unnamed one'}, "
            "`--dataset` chooses"
        )
        return
    labels = {frozenset(m.head.labels) for m in manifests.values() if m.head and m.head.labels}
    if len(labels) > 1:
        yield f"adapters for {chosen.task} with {len(labels)} different label sets fit"


def hub_id(candidate: Candidate) -> str:
    """Return the Hub id of a remote adapter; its name, where the manifest has none."""
    adapter = candidate.adapter
    source = adapter.manifest.source
    return source.hub_id if source else adapter.name


def pulls(proposal: Proposal) -> tuple[str, ...]:
    """Return the Hub ids that attaching will pull, bottom first."""
    members = (member for seat in proposal.seats for member in seat.members)
    return tuple(hub_id(member) for member in members if member.adapter.remote)
