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

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect, Table

Row: TypeAlias = Mapping[str, Any]
Values: TypeAlias = Callable[[Row], Sequence[Any]]


def insert_all(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, each with a value for every column."""
    if not rows:
        return
    values = _values(table, connection.dialect)
    columns = ", ".join(column.name for column in table.columns)
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {table.name} ({columns}) FROM STDIN", map(values, rows))
    else:
        marks = ", ".join("?" * len(table.columns))
        statement = f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"  # noqa: S608  # ours
        connection.exec_driver_sql(statement, [tuple(values(row)) for row in rows])


def _copy(connection: Connection, statement: str, rows: map[Sequence[Any]]) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(statement, None, error) from error


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
