"""The table that processes share where there is no Redis: keys, fields and values with an end, in PostgreSQL.

It has a few connections of its own: what is counted here must not be rolled back with a request's transaction, nor lock
a row until its end. Every statement is one transaction; rows are written in the order of their keys, so that two
statements never wait for each other.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import connection
from psycopg_pool import ConnectionPool

from common import database_time
from common.postgresql import monitor
from common.postgresql.base import Connection

TIMEOUT_SECONDS = 0.5
CONNECTIONS = 4
PURGE_EVERY = 1_000  # writes
PURGE_ROWS = 500

NEVER_SECONDS = 3e9  # a lifetime without an end

Pair = tuple[str, str]  # key, field

_INSERT = (
    "INSERT INTO common_sharedentry AS entry (key, field, value, count, expires_at)"
    " SELECT key, field, value, 0, now() + make_interval(secs => %s::float8)"
    " FROM unnest(%s::text[], %s::text[], %s::bytea[]) AS new(key, field, value)"
    " ON CONFLICT (key, field) DO UPDATE SET "
)

_pools: dict[str, ConnectionPool[Connection]] = {}
_lock = threading.Lock()
_writes = 0


def get(keys: Iterable[str]) -> dict[Pair, bytes]:
    """Return what the keys hold now."""
    rows = _run("SELECT key, field, value FROM common_sharedentry WHERE key = ANY(%s) AND expires_at > now()", [*keys])
    return {(key, field): value for key, field, value in rows}


def put(values: Mapping[Pair, bytes], seconds: float | None) -> None:
    """Set all; `None`: without an end."""
    _run(_INSERT + "value = excluded.value, expires_at = excluded.expires_at", *_columns(values, seconds))
    _purge_now_and_then(len(values))


def add(values: Mapping[Pair, bytes], seconds: float | None) -> set[Pair]:
    """Set what is not there yet, each atomically; return those that were set."""
    rows = _run(
        _INSERT + "value = excluded.value, expires_at = excluded.expires_at"
        " WHERE entry.expires_at <= now() RETURNING entry.key, entry.field",
        *_columns(values, seconds),
    )
    _purge_now_and_then(len(values))
    return {(key, field) for key, field in rows}


def touch(pairs: Sequence[Pair], seconds: float | None) -> int:
    """Give the entries that are there a new end; return how many."""
    return len(
        _run(
            "UPDATE common_sharedentry AS entry SET expires_at = now() + make_interval(secs => %s::float8)"
            " FROM unnest(%s::text[], %s::text[]) AS new(key, field)"
            " WHERE entry.key = new.key AND entry.field = new.field AND entry.expires_at > now() RETURNING 1",
            NEVER_SECONDS if seconds is None else seconds,
            [key for key, _ in pairs],
            [field for _, field in pairs],
        )
    )


def delete(pairs: Iterable[Pair]) -> int:
    """Delete entries; return how many were there."""
    ordered = sorted(pairs)
    rows = _run(
        "DELETE FROM common_sharedentry AS entry USING unnest(%s::text[], %s::text[]) AS old(key, field)"
        " WHERE entry.key = old.key AND entry.field = old.field RETURNING entry.expires_at > now()",
        [key for key, _ in ordered],
        [field for _, field in ordered],
    )
    return sum(is_living for (is_living,) in rows)


def hit(key: str, seconds: float) -> tuple[int, float]:
    """Count one in a window that begins with its first; return the count and the seconds until it ends. Atomic."""
    [(count, left)] = _run(
        "INSERT INTO common_sharedentry AS entry (key, field, value, count, expires_at)"
        " VALUES (%s, '', '', 1, now() + make_interval(secs => %s)) ON CONFLICT (key, field) DO UPDATE SET"
        " count = CASE WHEN entry.expires_at <= now() THEN 1 ELSE entry.count + 1 END,"
        " expires_at = CASE WHEN entry.expires_at <= now() THEN excluded.expires_at ELSE entry.expires_at END"
        " RETURNING count, extract(epoch FROM expires_at - now())::float8",
        key,
        float(seconds),
    )
    _purge_now_and_then(1)
    return count, left


def clear() -> None:
    _run("DELETE FROM common_sharedentry")


def purge(limit: int = PURGE_ROWS) -> int:
    """Delete entries that have ended, at most `limit`; return how many."""
    return len(
        _run(
            "DELETE FROM common_sharedentry WHERE (key, field) IN (SELECT key, field FROM common_sharedentry"
            " WHERE expires_at <= now() LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING 1",
            limit,
        )
    )


def _columns(values: Mapping[Pair, bytes], seconds: float | None) -> list[Any]:
    ordered = sorted(values)
    end = NEVER_SECONDS if seconds is None else seconds
    return [end, [key for key, _ in ordered], [field for _, field in ordered], [values[pair] for pair in ordered]]


def _run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run one statement. Raises psycopg.Error, within about `TIMEOUT_SECONDS`."""
    monitor.require()
    with database_time.limited(TIMEOUT_SECONDS), _pool().connection(TIMEOUT_SECONDS) as one:
        found = one.execute(statement, parameters)
        return found.fetchall() if found.description else []


def _pool() -> ConnectionPool[Connection]:
    """Return the pool of Django's database; tests change its name."""
    parameters = _parameters()
    name = str(parameters["dbname"])
    with _lock:
        if name not in _pools:
            _pools[name] = ConnectionPool(
                kwargs=parameters | {"autocommit": True},
                connection_class=Connection,
                min_size=0,
                max_size=CONNECTIONS,
                max_idle=300,
                reconnect_timeout=1,
                open=True,
            )
        return _pools[name]


def _parameters() -> dict[str, Any]:
    return dict(connection.get_connection_params())


def close() -> None:
    """Close the connections (for tests, whose databases are dropped)."""
    with _lock:
        for pool in _pools.values():
            pool.close()
        _pools.clear()


def _purge_now_and_then(written: int) -> None:
    global _writes
    _writes += written
    if _writes >= PURGE_EVERY:
        _writes = 0
        purge()
