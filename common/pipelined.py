"""Several SQL statements in one round trip: prepared in psycopg's pipeline mode on PostgreSQL, one by one on SQLite.

The SQL is the same for both: `any_of(values)` is `= ANY(%s)` with an array on PostgreSQL and `IN (…)` on SQLite.
Django's own cursors bind parameters on the client, which prevents prepared statements, so psycopg's are used.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections
from psycopg.types.datetime import TimestamptzLoader

Statement = tuple[str, list[Any]]
Params = Sequence[Any] | Mapping[str, Any]
KEPT_CURSORS = 32  # of each connection


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def any_of(values: Sequence[Any]) -> Statement:
    """Return the condition that a column is one of `values`, with its parameters."""
    if is_postgresql():
        return "= ANY(%s)", [array(values)]
    return f"IN ({', '.join(['%s'] * len(values))})", [param(value) for value in values]


def array(values: Sequence[Any]) -> Any:
    """Return an array as a parameter of PostgreSQL, which takes its type from the column or a cast.

    Numbers and UUIDs need no quoting, and psycopg takes ten microseconds for a list of one.
    """
    kinds = set(map(type, values))
    if kinds <= {int}:
        return "{" + ",".join(map(str, values)) + "}"
    if kinds == {UUID}:
        return "{" + ",".join([value.hex for value in values]) + "}"
    return list(values)


def param(value: Any) -> Any:
    """Return a value as a parameter: SQLite has no UUID and time types."""
    if is_postgresql():
        return value
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value


def as_uuid(value: Any) -> UUID | None:
    """Convert the database's value of a UUID column."""
    return value if value is None or isinstance(value, UUID) else UUID(value)


def as_time(value: Any) -> datetime:
    """Convert the database's value of a time column."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)  # SQLite keeps UTC without saying so


@contextmanager
def one_trip() -> Iterator[None]:
    """Send the statements inside the block together; fetching waits for the results. No-op on SQLite.

    Around a whole `transaction.atomic()`, the commit is sent with the last statement. Inside a transaction of somebody
    else the statements go one by one, so that a savepoint within the block sees their errors.

    In the block nothing may ask how many rows a statement has written (`update()`, `save()` of a row that exists):
    that is not known before the results are fetched.
    """
    if not is_postgresql():
        yield
        return
    connection.ensure_connection()
    if connection.in_atomic_block:
        with connection.wrap_database_errors:
            yield
        return
    with connection.wrap_database_errors, connection.connection.pipeline():  # type: ignore[union-attr]
        yield


def execute(sql: str, params: Params) -> Any:
    """Execute a statement and return its cursor; on PostgreSQL it is prepared at its first use on a connection."""
    here = connections[DEFAULT_DB_ALIAS]  # once: each look-up through the proxy costs two microseconds
    if here.vendor == "postgresql":
        return _cursor(here.connection).execute(sql, params, prepare=True)
    plain = here.cursor()
    plain.execute(sql, params)
    return plain


def _cursor(open_connection: Any) -> Any:
    cursor = psycopg.Cursor(open_connection)  # type: ignore[var-annotated]
    # Times are read by psycopg's loader in C; Django's, in Python, takes ten times as long for the same in UTC.
    cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
    return cursor


def fetch_one(sql: str, params: Params) -> Any:
    """Return the one row of a statement that stands alone, or None; connects first where there is no connection."""
    return _alone(sql, params, lambda cursor: cursor.fetchone(), execute=_execute_again)


def _execute_again(sql: str, params: Params) -> Any:
    """Execute a statement by the cursor that its connection has kept, which knows how to write and read its values.

    To make a cursor, and what it learns at its first row, takes as long as the rest. For statements of one row alone,
    since a kept cursor holds its last result.
    """
    here = connections[DEFAULT_DB_ALIAS]
    if here.vendor != "postgresql" or here.connection._pipeline is not None:  # there many are under way at once
        return execute(sql, params)
    kept: dict[str, tuple[Any, str]] = here.connection.__dict__.setdefault("kept_cursors", {})
    if sql not in kept:
        if len(kept) >= KEPT_CURSORS:
            kept.clear()
        kept[sql] = _cursor(here.connection), sql
    cursor, same = kept[sql]
    return cursor.execute(same, params, prepare=True)  # what it has learnt counts for the same object only


def fetch_all(sql: str, params: Params) -> Any:
    """Return the rows of a statement that stands alone; connects first where there is no connection."""
    return _alone(sql, params, lambda cursor: cursor.fetchall())


def send(sql: str, params: Params) -> None:
    """Execute a statement whose result nobody wants; inside `one_trip()` without waiting for it."""
    _alone(sql, params, lambda cursor: None)


def _alone(
    sql: str, params: Params, fetch: Callable[[Any], Any], execute: Callable[[str, Params], Any] = execute
) -> Any:
    here = connections[DEFAULT_DB_ALIAS]
    if here.queries_logged or here.execute_wrappers:  # somebody counts or watches: they know Django's cursors alone
        with here.cursor() as cursor:
            cursor.execute(sql, params)
            return fetch(cursor)
    here.ensure_connection()
    with here.wrap_database_errors:
        return fetch(execute(sql, params))
