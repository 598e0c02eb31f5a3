"""`gc`: objects that no record needs are set aside, kept for a while, and then removed.

A registry that was lost, replaced or damaged makes every object look like garbage.  So nothing
happens unless the registry passes its check and is the only one that the store serves; if it names
none of the objects, or most would go, that has to be confirmed; and what goes only moves to the
store's trash, from which `gc` puts it back as soon as a record needs it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from adapterhub_lite.errors import HomeError, RegistryError
from adapterhub_lite.registry import upkeep
from adapterhub_lite.registry.objects import ObjectStore, Trashed
from adapterhub_lite.registry.owners import Owner

if TYPE_CHECKING:
    from adapterhub_lite.registry.registry import Registry

KEEP_DAYS = 14
"""How long the trash keeps an object."""

_FEW = 10
"""Objects that may go unconfirmed even if they are most of what there is."""

SET_ASIDE, PUT_BACK, REMOVED = "set aside", "put back", "removed"


@dataclass(frozen=True, slots=True)
class Garbage:
    """Something that `gc` moved or removed: which object or file, its bytes, and what was done."""

    place: str
    size: int
    action: str

    def __str__(self) -> str:
        return f"{self.action} {self.place} ({self.size:,} bytes)"


@dataclass(frozen=True, slots=True)
class _Plan:
    put_back: Sequence[Trashed]
    set_aside: Sequence[str]
    removed: Sequence[str]


def collect(
    registry: Registry,
    store: ObjectStore,
    *,
    others: Iterable[Owner] = (),
    needed_elsewhere: frozenset[str] = frozenset(),
    keep_days: int = KEEP_DAYS,
    confirmed: bool = False,
    dry_run: bool = False,
) -> list[Garbage]:
    """Set aside what no record needs, remove what has been aside for long; return what was done.

    Args:
        registry: the registry whose records count.
        store: the objects.
        others: other homes that the store serves and whose records are not among those needed.
        needed_elsewhere: digests that records of other homes need.
        keep_days: days in the trash; 0 removes at once.
        confirmed: also if the registry names no object, or most would go.
        dry_run: change nothing, and return what would be done.

    Raises:
        HomeError: the store serves others, or the removal has to be confirmed.
        RegistryError: the registry does not pass its check.
    """
    _check_others(store, tuple(others))
    with store.cleaning():
        _check_registry(registry)
        needed = upkeep.needed(registry) | needed_elsewhere
        objects = set(store.digests())
        orphans = sorted(d for d in objects - needed if store.abandoned(d))
        if not (confirmed or dry_run):
            _check_share(store, objects, orphans)
        plan = _plan(store, needed - objects, orphans, keep_days)
        garbage = [
            *(Garbage(t.digest, store.size(t.place), PUT_BACK) for t in plan.put_back),
            *(Garbage(d, store.size(d), SET_ASIDE) for d in plan.set_aside),
            *(Garbage(p, store.size(p), REMOVED) for p in plan.removed),
        ]
        if not dry_run:
            _carry_out(store, plan)
    return garbage


def _plan(
    store: ObjectStore, missing: Iterable[str], orphans: Sequence[str], keep_days: int
) -> _Plan:
    trash = store.trash()
    latest = {item.digest: item for item in trash}
    put_back = [latest[digest] for digest in sorted(missing) if digest in latest]
    oldest = datetime.now(UTC).date() - timedelta(days=keep_days)
    expired = [t.place for t in trash if t.day <= oldest and t not in put_back]
    if keep_days == 0:
        return _Plan(put_back, (), [*store.leftovers(), *expired, *orphans])
    return _Plan(put_back, orphans, [*store.leftovers(), *expired])


def _carry_out(store: ObjectStore, plan: _Plan) -> None:
    today = datetime.now(UTC).date()
    for item in plan.put_back:
        store.put_back(item)
    for digest in plan.set_aside:
        store.set_aside(digest, today)
    for place in plan.removed:
        store.discard(place)


def _check_others(store: ObjectStore, others: tuple[Owner, ...]) -> None:
    if others:
        names = ", ".join(map(str, others))
        raise HomeError(
            f"the object store `{store.label}` serves other homes too: {names}",
            hint="`ahl gc --shared` keeps what any of them needs; `ahl gc --forget HOME` if one "
            "does not use the store any more",
            homes=[other.folder for other in others],
        )


def _check_registry(registry: Registry) -> None:
    problems = upkeep.check_registry(registry)
    if problems:
        count = f" ({len(problems)} problems)" if len(problems) > 1 else ""
        raise RegistryError(
            f"registry `{registry.database.label}` does not pass its check{count}: "
            f"{problems[0].message}; nothing was removed",
            hint="`ahl verify` lists what is wrong; `ahl rebuild` makes a registry from the "
            "objects",
        )


def _check_share(store: ObjectStore, objects: set[str], orphans: Sequence[str]) -> None:
    if not orphans:
        return
    if len(orphans) == len(objects):
        message = f"the registry names none of the {len(objects)} objects in `{store.label}`"
    elif len(orphans) > max(_FEW, len(objects) // 2):
        message = f"{len(orphans)} of the {len(objects)} objects in `{store.label}` have no record"
    else:
        return
    raise HomeError(
        f"{message}, as after the loss of a registry; nothing was removed",
        hint="`ahl rebuild` makes their records again; if they are to go, `ahl gc --dry-run` lists "
        "them and `ahl gc --yes` sets them aside",
    )
