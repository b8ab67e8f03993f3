"""Monitor thread that checks the database every two seconds, so that requests do not have to wait to find out.

While it is down, requests are refused at once (503) instead of waiting for a connection; one that takes no writes
counts as down. One line is logged when it goes down and one when it is back; then the pool's stale connections are
dropped. Its answers also correct the shared clock. Only servers start the monitor.
"""

import threading
import time
from contextlib import suppress
from typing import Any

import structlog
from django.db import OperationalError, connections

from common import database_time, shared_clock
from common.metrics import DATABASE_AWAY, DATABASE_REFUSED

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
AWAY_SECONDS = 0.5  # interval while it is down
ASKED = "SELECT current_setting('transaction_read_only'), clock_timestamp()"
ANSWER_SECONDS = 2  # connect_timeout takes whole seconds, at least two


class DatabaseAway(OperationalError):
    """The database is known to be down."""


class DatabaseReadOnly(OperationalError):
    """The database answers, but takes no writes."""


class Monitor:
    def __init__(self, alias: str = "default") -> None:
        self.alias = alias
        self.away_since: float | None = None
        self._connection: Any = None
        self._look_now = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="database-monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._look_now.set()
        if self._thread is not None:
            self._thread.join(ANSWER_SECONDS + 1)
            self._thread = None
        DATABASE_AWAY.set(0)

    def look_now(self) -> None:
        self._look_now.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except Exception:
                log.exception("database.monitor_failed")
            self._look_now.wait(LOOK_SECONDS if self.away_since is None else AWAY_SECONDS)
            if self.away_since is not None:
                self._stop.wait(AWAY_SECONDS)  # at most this often, however many requests call `look_now`
            self._look_now.clear()
        self._close()

    def _look(self) -> None:
        """Check on the monitor's own connection; if that has died, on a new one before deciding."""
        started = time.monotonic()
        error = self._ask()
        if error is not None and time.monotonic() - started < ANSWER_SECONDS / 2:  # not after a timeout
            error = self._ask()
            if error is None:
                self._renew_pool()  # it restarted, and the pool's connections died like ours
        if error is None:
            self._is_back()
        elif self.away_since is None:
            self.away_since = time.monotonic()
            DATABASE_AWAY.set(1)
            log.warning("database.away", error=type(error).__name__, reason=str(error).strip().partition("\n")[0][:200])

    def _ask(self) -> Exception | None:
        from common.postgresql.base import Connection

        try:
            with database_time.limited(ANSWER_SECONDS):
                if self._connection is None:
                    parameters = connections[self.alias].get_connection_params()
                    parameters |= {"connect_timeout": ANSWER_SECONDS, "autocommit": True}
                    self._connection = Connection.connect(**parameters)
                asked_at = time.time()
                read_only, now = self._connection.execute(ASKED).fetchone()
                if self.alias == "default":
                    shared_clock.compare(now, asked_at=asked_at)
                if read_only == "on":
                    raise DatabaseReadOnly("it takes no writes: a standby, or read-only by its settings")
        except Exception as error:
            self._close()
            return error
        return None

    def _is_back(self) -> None:
        if self.away_since is None:
            return
        self._renew_pool()
        seconds = time.monotonic() - self.away_since
        self.away_since = None
        DATABASE_AWAY.set(0)
        log.info("database.back", away_s=round(seconds, 1))

    def _renew_pool(self) -> None:
        pool = connections[self.alias]._connection_pools.get(self.alias)  # type: ignore[attr-defined]
        if pool is not None:
            with suppress(Exception):
                pool.drain()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.pgconn.finish()


_monitor: Monitor | None = None


async def start() -> None:
    """Start the monitor if the database is PostgreSQL (a hook of `common.lifespan`)."""
    global _monitor
    if connections["default"].vendor == "postgresql" and _monitor is None:
        _monitor = Monitor()
        _monitor.start()


async def stop() -> None:
    global _monitor
    if _monitor is not None:
        monitor, _monitor = _monitor, None
        monitor.stop()


def require() -> None:
    """Raise DatabaseAway while the database is known to be down."""
    if _monitor is not None and _monitor.away_since is not None:
        DATABASE_REFUSED.inc()
        raise DatabaseAway("the database is away")


def is_away() -> bool:
    return _monitor is not None and _monitor.away_since is not None


def look_now() -> None:
    """Check now: an error suggests that the database is down."""
    if _monitor is not None:
        _monitor.look_now()
