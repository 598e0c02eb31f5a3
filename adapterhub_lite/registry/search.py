"""Questions to the registry: one adapter by ref, or all that fit.

Every question is answered from an index, so that its cost does not grow with the registry.  Filters
that come with a language are put to the `languages` table, whose rows repeat the columns that
narrow; without a language they are put to `adapters`.  A question of one shape is built once and
then only gets new values: building it takes SQLAlchemy longer than the database takes to answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union,
)

from adapterhub_lite import base_names
from adapterhub_lite.adapter import Adapter, BaseIdentity
from adapterhub_lite.digests import SHORT
from adapterhub_lite.errors import RefError, near
from adapterhub_lite.foreign.text import command
from adapterhub_lite.registry import rows
from adapterhub_lite.registry.tables import ADAPTERS, BASES, LANGUAGES, NAMES

SHORTEST = 6
"""Letters that a digest's beginning must have to be a ref by itself."""

_REF = re.compile(r"[A-Za-z0-9._\-/]+(@[A-Za-z0-9._\-/]*)?")
_HEX = re.compile(r"[0-9a-f]{1,64}")
_WINDOW = 100
_SHOWN = 8

_ALIASES = (
    select(func.aggregate_strings(NAMES.c.name, " "))
    .where(NAMES.c.adapter_id == ADAPTERS.c.id, NAMES.c.is_alias)
    .correlate(ADAPTERS)
    .scalar_subquery()
)
_RECORDS = select(
    ADAPTERS.c.id,
    ADAPTERS.c.digest,
    ADAPTERS.c.name,
    ADAPTERS.c.manifest,
    ADAPTERS.c.added,
    ADAPTERS.c.remote,
    _ALIASES.label("aliases"),
)


def find(connection: Connection, filters: Mapping[str, Any], limit: int | None) -> list[Adapter]:
    """Return the adapters that fit, by name, then digest.

    `filters` are columns of `adapters`, and `base` (an identity), `base_name`, `tags` and `role`.
    """
    asked = {key: value for key, value in filters.items() if value is not None}
    base = asked.pop("base", None)
    if base is not None:
        asked |= base_values(base)
    if "base_name" in asked:
        asked["other_base_name"] = base_names.other(asked["base_name"])
    tags = asked.pop("tags", None)
    if tags is not None:
        asked |= {f"tag{number}": tag for number, tag in enumerate(tags)}
    if limit:
        asked["limit"] = limit
    query = _question(frozenset(asked), None if tags is None else len(tags))
    adapters = [rows.adapter(row) for row in connection.execute(query, asked)]
    for adapter in adapters:
        rows.check_columns(adapter, asked, tags)
    return adapters


def base_values(base: BaseIdentity) -> dict[str, str]:
    """Return the values that a condition on a base asks for: both its names, its fingerprint."""
    named = {"name": base.name, "other_name": base_names.other(base.name)}
    return named | {"fingerprint": base.fingerprint} if base.fingerprint else named


@lru_cache(maxsize=1024)
def _question(shape: frozenset[str], tags: int | None) -> Select[Any]:
    """Return the query for one set of filters and one number of tags."""
    query = _RECORDS.order_by(ADAPTERS.c.name, ADAPTERS.c.digest)
    narrow = {"kind", "task"} & shape
    if "limit" in shape:
        query = query.limit(bindparam("limit"))
    if tags is not None or "role" in shape:
        query = query.where(ADAPTERS.c.id.in_(_with_language(shape, tags, narrow)))
    else:
        query = query.where(*_narrowed(ADAPTERS, shape, narrow))
    rest = sorted(shape & {"method", "dataset", "config_digest", "remote"})
    return query.where(*(ADAPTERS.c[key] == bindparam(key) for key in rest))


def _with_language(shape: frozenset[str], tags: int | None, narrow: set[str]) -> Any:
    query = select(LANGUAGES.c.adapter_id).where(*_narrowed(LANGUAGES, shape, narrow))
    if "role" in shape:
        query = query.where(LANGUAGES.c.role == bindparam("role"))
    if tags is None:
        return query
    wanted: list[BindParameter[str]] = [bindparam(f"tag{number}") for number in range(tags)]
    member: ColumnElement[bool] = literal_column(
        "macro <> tag"
    )  # spelt like the index that only has such rows
    # Members of a macrolanguage are few, adapters for a task many: `|| ''` keeps SQLite from
    # walking through the task's index for the former.
    members = select(LANGUAGES.c.adapter_id).where(
        *_narrowed(LANGUAGES, shape, narrow - {"task"}),
        *([LANGUAGES.c.task + "" == bindparam("task")] if "task" in narrow else []),
        *([LANGUAGES.c.role == bindparam("role")] if "role" in shape else []),
    )
    return union(
        query.where(LANGUAGES.c.tag.in_(wanted)),
        members.where(member, LANGUAGES.c.macro.in_(wanted)),
    )


def _narrowed(table: Table, shape: frozenset[str], narrow: set[str]) -> list[ColumnElement[bool]]:
    found = [table.c[key] == bindparam(key) for key in sorted(narrow)]
    if "name" in shape:
        same = same_base(known="fingerprint" in shape)
        found.append(table.c.base_id.in_(select(BASES.c.id).where(same)))
    if "base_name" in shape:
        spellings = BASES.c.name.in_((bindparam("base_name"), bindparam("other_base_name")))
        found.append(table.c.base_id.in_(select(BASES.c.id).where(spellings)))
    return found


def same_base(*, known: bool) -> ColumnElement[bool]:
    """Return `BaseIdentity.same_as` as a condition; `known`: the base has a fingerprint."""
    named = BASES.c.name.in_((bindparam("name"), bindparam("other_name")))
    if not known:
        return named
    return or_(BASES.c.fingerprint == bindparam("fingerprint"), named & (BASES.c.fingerprint == ""))


_MEANT = select(NAMES.c.adapter_id).where(NAMES.c.name == bindparam("name")).scalar_subquery()
_BY_NAME = _RECORDS.where(ADAPTERS.c.id == _MEANT)
_BY_DIGEST = (
    _RECORDS.where(ADAPTERS.c.digest >= bindparam("low"), ADAPTERS.c.digest < bindparam("high"))
    .order_by(ADAPTERS.c.digest)
    .limit(_SHOWN + 1)
)
_EVER_NAMED = or_(ADAPTERS.c.name == bindparam("name"), ADAPTERS.c.id == _MEANT)
_BY_BOTH = _BY_DIGEST.where(_EVER_NAMED)
_VERSIONS = _RECORDS.where(_EVER_NAMED).order_by(ADAPTERS.c.digest).limit(_SHOWN + 1)


def get(connection: Connection, ref: str) -> Any:
    """Return the row of the one adapter that `ref` means.

    Raises:
        RefError: no adapter, or several.
    """
    if not _REF.fullmatch(ref):
        raise RefError(
            f"`{ref}` is no name, alias or digest",
            hint="names are letters, digits and `. _ - /`, with an optional `@digest`",
            ref=ref,
        )
    name, at, prefix = ref.partition("@")
    if at and not _HEX.fullmatch(prefix):
        raise RefError(
            f"`{ref}`: after `@` comes the beginning of a digest, found `{prefix}`",
            hint=f"{command('ahl', 'show', name)} prints it" if name else "write `name@digest`",
            ref=ref,
        )
    found = _both(connection, name, prefix) if at else _either(connection, ref)
    if len(found) == 1:
        return found[0]
    raise _ambiguous(ref, found) if found else _unknown(connection, ref)


def _both(connection: Connection, name: str, prefix: str) -> list[Any]:
    return list(connection.execute(_BY_BOTH, {"name": name, **_range(prefix)}))


def _either(connection: Connection, ref: str) -> list[Any]:
    found = list(connection.execute(_BY_NAME, {"name": ref}))
    if len(ref) < SHORTEST or not _HEX.fullmatch(ref):
        return found
    known = {row.id for row in found}
    digests = connection.execute(_BY_DIGEST, _range(ref))
    return [*found, *(row for row in digests if row.id not in known)]


def _range(prefix: str) -> dict[str, str]:
    return {"low": prefix, "high": prefix + "g"}  # the letter after the last of hexadecimal


def _refs(found: Sequence[Any], between: str) -> str:
    shown = between.join(f"`{row.name}@{row.digest[:SHORT]}`" for row in found[:_SHOWN])
    return shown + (" and more" if len(found) > _SHOWN else "")


def _ambiguous(ref: str, found: Sequence[Any]) -> RefError:
    return RefError(
        f"`{ref}` fits several adapters: {_refs(found, ', ')}",
        hint="give a name, or more of the digest",
        ref=ref,
        found=[row.digest for row in found],
    )


def _unknown(connection: Connection, ref: str) -> RefError:
    name, at, prefix = ref.partition("@")
    versions = list(connection.execute(_VERSIONS, {"name": name}))
    if at and versions:
        return RefError(
            f"no adapter `{name}` has a digest that begins with `{prefix}`",
            hint=f"there is {_refs(versions, ' and ')}",
            ref=ref,
        )
    if versions:
        return RefError(
            f"`{ref}` means no adapter now; it was the name of some",
            hint=f"name one outright: {_refs(versions, ' or ')}",
            ref=ref,
        )
    message = f"no adapter `{ref}` in the registry"
    return RefError(message, hint=near(name, nearby(connection, name)), ref=ref)


def nearby(connection: Connection, name: str) -> list[str]:
    """Return names around `name` in the order of names: where a misspelt one is usually found."""
    column = NAMES.c.name
    after = select(column).where(column >= name).order_by(column).limit(_WINDOW)
    before = select(column).where(column < name).order_by(column.desc()).limit(_WINDOW)
    return [*connection.scalars(before), *connection.scalars(after)]
