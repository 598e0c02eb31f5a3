"""From the winning stack to the answer: each choice with its reason, and the warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapterhub_lite.resolver.candidates import Candidate
from adapterhub_lite.resolver.preferences import assumed, shared
from adapterhub_lite.resolver.proposals import Proposal, Seat, Share, at_the_place
from adapterhub_lite.resolver.resolution import Choice
from adapterhub_lite.resolver.scores import Records, words


def choices(proposal: Proposal) -> tuple[Choice, ...]:
    """Return the adapters of a stack, bottom first, each with the reason why it is there."""
    return tuple(
        Choice(
            slot=str(seat.slot),
            ref=member.ref,
            digest=member.adapter.digest,
            reason=_share_reason(share) if share else _reason(proposal, seat),
            remote=member.adapter.remote,
        )
        for seat in proposal.seats
        for member, share in zip(seat.members, seat.shares or (None,), strict=True)
    )


def _share_reason(share: Share) -> str:
    tags = " and ".join(f"`{tag}`" for tag in share.candidate.adapter.manifest.tags())
    return f"{100 * share.weight:.0f} % of the average: language adapter for {tags}, {share.why}"


def _reason(proposal: Proposal, seat: Seat) -> str:
    if seat is proposal.seats[-1]:
        return _task_reason(proposal)
    adapter = seat.candidate.adapter
    tags = " and ".join(f"`{tag}`" for tag in adapter.manifest.tags())
    what = f"{adapter.manifest.kind} adapter" + (f" for {tags}" if tags else "")
    if not seat.exact:
        return f"{what}, in the place of {proposal.names(seat)}: same method, config and layers"
    if len(seat.instead_of) > 1:
        return f"{what}, one of {len(seat.instead_of)} that the task adapter was trained over"
    return f"{what}, the one that the task adapter was trained over"


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
        measured = sorted(records.of(winner).items())
        return claim + "".join(f"; {words(*item)}" for item in measured[:1])
    data = shared(winner, [by_assumption], records)
    if data is None:
        return f"{claim}; it has a recorded score on this target, and policy `scores` asks for one"
    ours, theirs = records.of(winner)[data], records.of(by_assumption)[data]
    other = by_assumption.strategy.name
    return f"{claim}; {words(data, ours)}, against {theirs.value:.4g} of {other}"


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
            yield f"`{candidate.ref}` is remote: {hub_id(candidate)} is pulled when it is attached"
    if proposal.task.adapter.manifest.head is None:
        yield f"`{proposal.task.ref}` has no head: it gives features, not labels"


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
    labels = {frozenset(m.head.labels) for m in manifests.values() if m.head}
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
