"""PostgreSQL backend: Django's, with a pool that fails at once while the database is known to be down."""

from time import monotonic
from typing import Any, TypeVar

import psycopg
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
        left = database_time.left()
        if left is None or (timeout is not None and timeout < left):
            return super().wait(gen, interval, timeout)
        started = monotonic()
        try:
            return super().wait(gen, interval, left)
        except _WaitTimeout:
            self.pgconn.finish()  # in the middle of a result: not usable any more
            monitor.look_now()
            raise psycopg.OperationalError("the database did not answer in time") from None
        except psycopg.OperationalError:
            if self.broken:
                monitor.look_now()
            raise
        finally:
            database_time.spend(monotonic() - started)


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pool = self.settings_dict["OPTIONS"].get("pool")
        if isinstance(pool, dict):
            pool.setdefault("connection_class", Connection)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Take a connection from the pool. Raises OperationalError at once while the database is down, PoolTimeout."""
        left = database_time.left()
        if not self.pool:
            return super().get_new_connection(conn_params)
        monitor.require()
        self.isolation_level = IsolationLevel.READ_COMMITTED  # set by the superclass; we never change it
        self.pool.open()
        try:
            with database_time.waiting():
                return self.pool.getconn(POOL_SECONDS if left is None else min(POOL_SECONDS, left))
        except Exception:
            monitor.look_now()
            raise
