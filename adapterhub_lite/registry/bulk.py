"""Rows into a table, many at once, at the speed of the driver.

`Connection.execute(insert(table), rows)` looks at every value of every row again, which takes as
long as SQLite takes to store them, and sends PostgreSQL a statement a row.  Here SQLite gets one
statement and all rows, PostgreSQL a COPY; only columns whose type has something to convert are
converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect, Table

Row: TypeAlias = Mapping[str, Any]
Values: TypeAlias = Callable[[Row], Sequence[Any]]

ASK = 500
"""Values in one `IN (...)`: well below any database's limit on parameters."""


def insert_all(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, each with a value for every column."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
    else:
        _execute(connection, "INSERT", table, rows)


def replace_all(connection: Connection, table: Table, key: str, rows: Sequence[Row]) -> None:
    """Insert rows, at least one, in the place of those with the same `key`, the primary key."""
    if connection.dialect.name == "postgresql":
        column = table.c[key]
        for first in range(0, len(rows), ASK):
            some = [row[key] for row in rows[first : first + ASK]]
            connection.execute(delete(table).where(column.in_(some)))
        _copy(connection, table, rows)
    else:
        _execute(connection, "INSERT OR REPLACE", table, rows)


def _execute(connection: Connection, verb: str, table: Table, rows: Sequence[Row]) -> None:
    marks = ", ".join("?" * len(table.columns))
    statement = f"{verb} INTO {table.name} ({_columns(table)}) VALUES ({marks})"
    values = _values(table, connection.dialect)
    connection.exec_driver_sql(statement, [tuple(values(row)) for row in rows])


def _copy(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    driver: Any = connection.connection.driver_connection
    statement = f"COPY {table.name} ({_columns(table)}) FROM STDIN"
    values = _values(table, connection.dialect)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(values(row))
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


def _columns(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


@lru_cache(maxsize=64)
def _values(table: Table, dialect: Dialect) -> Values:
    """Return what makes a row the driver's values, in the order of the table's columns."""
    types = [column.type.dialect_impl(dialect) for column in table.columns]
    converted = [
        (place, lru_cache(maxsize=64)(convert))  # flags and moments: few values, many rows
        for place, convert in enumerate(type_.bind_processor(dialect) for type_ in types)
        if convert is not None
    ]
    in_order = itemgetter(*(column.name for column in table.columns))
    if not converted:
        return in_order

    def values(row: Row) -> list[Any]:
        found = list(in_order(row))
        for place, convert in converted:
            found[place] = convert(found[place])
        return found

    return values
