"""PostgreSQL backend: Django's, with a pool that fails at once while the database is known to be down.

A server that takes no writes (a standby, or the old primary after a failover) counts as down: its connections are
dropped, so that the next attempt goes to whatever the address leads to now.
"""

from time import monotonic
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from psycopg.errors import _WaitTimeout

from common import database_time
from common.postgresql import monitor

T = TypeVar("T")
POOL_SECONDS = 3.0  # how long a request waits for a connection
_INTERVAL = 0.1  # psycopg's own interval for checking signals


class Connection(psycopg.Connection[Any]):
    """A connection whose waits end within the remaining time of the thread's limit."""

    def wait(self, gen: Any, interval: float = _INTERVAL, timeout: float | None = None) -> Any:
        try:
            return self._wait_within_limit(gen, interval, timeout)
        except psycopg.errors.ReadOnlySqlTransaction:
            self.drop()
            raise psycopg.OperationalError("the database takes no writes") from None

    def _wait_within_limit(self, gen: Any, interval: float, timeout: float | None) -> Any:
        left = database_time.left()
        if left is None or (timeout is not None and timeout < left):
            return super().wait(gen, interval, timeout)
        started = monotonic()
        try:
            return super().wait(gen, interval, left)
        except _WaitTimeout:
            self.drop()  # in the middle of a result: not usable any more
            raise psycopg.OperationalError("the database did not answer in time") from None
        except psycopg.OperationalError:
            if self.broken:
                monitor.look_now()
            raise
        finally:
            database_time.spend(monotonic() - started)

    def takes_writes(self) -> bool:
        """Return whether the server said so at connect, or later when that changed (PostgreSQL 14 and newer)."""
        said = self.pgconn.parameter_status
        return b"on" not in (said(b"in_hot_standby"), said(b"default_transaction_read_only"))

    def drop(self) -> None:
        """Close the connection whatever is under way on it."""
        self.pgconn.finish()
        monitor.look_now()


class DatabaseWrapper(base.DatabaseWrapper):
    _params: dict[str, Any] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pool = self.settings_dict["OPTIONS"].get("pool")
        if isinstance(pool, dict):
            pool.setdefault("connection_class", Connection)

    def get_connection_params(self) -> dict[str, Any]:
        """Return the parameters; Django makes them anew at each request, although a pool has long connected by them."""
        if self.alias not in self._connection_pools:  # type: ignore[attr-defined]
            return super().get_connection_params()  # type: ignore[no-any-return]
        if self._params is None:
            self._params = super().get_connection_params()
        return self._params

    def _set_autocommit(self, autocommit: bool) -> None:
        if self.connection is None or self.connection.autocommit != autocommit:  # a trip through psycopg's machinery
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Take a connection from the pool. Raises OperationalError at once while the database is down, PoolTimeout."""
        left, pool = database_time.left(), self.pool
        if not pool:
            return super().get_new_connection(conn_params)
        is_primary = self.alias == DEFAULT_DB_ALIAS
        if is_primary:
            monitor.require()
        self.isolation_level = IsolationLevel.READ_COMMITTED  # set by the superclass; we never change it
        if pool.closed:
            pool.open()
        started = monotonic()
        try:
            found = pool.getconn(POOL_SECONDS if left is None else min(POOL_SECONDS, left))
        except Exception:
            monitor.look_now()
            raise
        finally:
            database_time.spend(monotonic() - started)
        # A pooler repeats what its first connection was told.
        if is_primary and settings.DATABASE_POOLED_BY == "none" and not found.takes_writes():
            found.drop()
            pool.putconn(found)
            raise psycopg.OperationalError("the database takes no writes")
        return found
