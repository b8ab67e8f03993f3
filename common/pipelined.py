"""Several statements in one round trip: prepared on PostgreSQL by psycopg's pipeline mode, one by one on SQLite.

Written once for both: `any_of(values)` is `= ANY(%s)` with an array there and `IN (…)` here. Django's own cursors bind
on the client, where nothing can be prepared, so these are psycopg's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection

Statement = tuple[str, list[Any]]


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def any_of(values: Sequence[Any]) -> Statement:
    """Return the condition that a column is one of `values`, with its parameters."""
    if is_postgresql():
        return "= ANY(%s)", [list(values)]
    return f"IN ({', '.join(['%s'] * len(values))})", [param(value) for value in values]


def param(value: Any) -> Any:
    """Return a value as a parameter: SQLite has neither UUID nor time."""
    if is_postgresql():
        return value
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value


def as_uuid(value: Any) -> UUID | None:
    """Return what the database gave for a UUID column."""
    return value if value is None or isinstance(value, UUID) else UUID(value)


def as_time(value: Any) -> datetime:
    """Return what the database gave for a time column."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


@contextmanager
def one_trip() -> Iterator[None]:
    """Send what is executed inside together; whoever fetches waits for the answer. No-op on SQLite.

    Around a whole `transaction.atomic()` the commit travels with the last statement.
    """
    if not is_postgresql():
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():  # type: ignore[union-attr]
        yield


def execute(sql: str, params: Sequence[Any]) -> Any:
    """Execute a statement and return its cursor; on PostgreSQL it is prepared at its first use on a connection."""
    if is_postgresql():
        cursor = psycopg.Cursor(connection.connection)  # type: ignore[var-annotated,arg-type]
        return cursor.execute(sql, params, prepare=True)  # type: ignore[arg-type]
    plain = connection.cursor()
    plain.execute(sql, params)
    return plain
