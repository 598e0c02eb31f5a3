"""Which rows of a batch get which composition, and how a site is computed for them.

Rows of one composition are computed together; the base runs once for the whole batch.  Rows that
are not next to each other are brought together by one gather and put back by another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from adapterhub_lite.errors import AttachError
from adapterhub_lite.model.compile import Compiled


@dataclass(frozen=True, slots=True)
class Group:
    """Rows `start:stop` (after ordering) and their composition."""

    compiled: Compiled
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a forward pass does: one composition for all rows, or groups of rows."""

    whole: Compiled | None
    groups: tuple[Group, ...] = ()
    order: Tensor | None = None
    back: Tensor | None = None

    @property
    def size(self) -> int:
        """How many rows the groups cover."""
        return self.groups[-1].stop if self.groups else 0


def plan_rows(rows: Sequence[Compiled]) -> Plan:
    """Return the plan for one composition a row."""
    if all(row is rows[0] for row in rows):
        return Plan(whole=None, groups=(Group(rows[0], 0, len(rows)),))
    places: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault(id(row), []).append(number)
    groups: list[Group] = []
    order: list[int] = []
    for members in places.values():
        groups.append(Group(rows[members[0]], len(order), len(order) + len(members)))
        order += members
    if order == sorted(order):
        return Plan(whole=None, groups=tuple(groups))
    forward = torch.tensor(order)
    return Plan(None, tuple(groups), order=forward, back=torch.argsort(forward))


def check_size(plan: Plan, rows: int | None, expansion: int = 1) -> None:
    """Raise `AttachError` where a batch has another number of rows than the plan has names.

    `expansion` is into how many rows `generate` makes each one of its input.
    """
    if plan.size and rows is not None and rows != plan.size:
        by = f" and `generate` makes {expansion} of each" if expansion > 1 else ""
        raise AttachError(
            f"this batch has {rows} rows, `rows(...)` named {plan.size}{by}",
            hint="name one composition a row, in the batch's order",
        )


def by_rows(
    plan: Plan,
    key: str,
    compute: Callable[[Compiled, slice], Tensor],
    default: Callable[[slice], Tensor],
    size: int,
) -> Tensor | None:
    """Return a site's result for all rows in plan order, or `None` where no group has work there.

    `compute` and `default` get slices into tensors that `arrange` has put in plan order.
    """
    if all(key not in group.compiled.runs for group in plan.groups):
        return None
    check_size(plan, size)
    parts = []
    for group in plan.groups:
        rows = slice(group.start, group.stop)
        busy = key in group.compiled.runs
        parts.append(compute(group.compiled, rows) if busy else default(rows))
    joined = torch.cat(parts)
    return joined if plan.back is None else joined.index_select(0, plan.back.to(joined.device))


def arrange(plan: Plan, tensor: Tensor) -> Tensor:
    """Return `tensor` with its rows in plan order."""
    return tensor if plan.order is None else tensor.index_select(0, plan.order.to(tensor.device))
