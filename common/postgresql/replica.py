"""Reads from a standby (`DATABASE_REPLICA_URL`) that are never older than a read from the primary would be.

`read` asks the primary for the end of its log and the standby whether it has replayed up to there. Only then does the
standby serve: everything that was committed when the read began is seen, whoever wrote it. A standby that is behind,
on another branch of history, silent or gone costs a short wait now and then, and the primary serves.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections

from common import database_time, pipelined
from common.metrics import REPLICA_READS

log = structlog.get_logger(__name__)

T = TypeVar("T")
ALIAS = "replica"
CONNECT_SECONDS = 0.5  # for a connection and its position
READ_SECONDS = 2.0  # for the read itself, of a request's DATABASE_TIMEOUT_MS
BEHIND_SECONDS = 1.0  # how long nobody asks a standby that was behind
AWAY_SECONDS = 3.0  # … or that did not answer
PAUSES = (0.002, 0.004, 0.008, 0.016, 0.032)  # between questions to a standby that is behind

# The branch of history (timeline) stands in the name of the log's file. What is committed asynchronously may be seen
# before it is flushed.
_END = """
    SELECT CASE current_setting('synchronous_commit')
           WHEN 'off' THEN pg_current_wal_insert_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn,
           ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int,
           (SELECT system_identifier FROM pg_control_system())
"""
# What a standby says of its timeline may be late, never early.
_REPLAYED = """
    SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn,
           greatest((SELECT timeline_id FROM pg_control_checkpoint()),
                    (SELECT min_recovery_end_timeline FROM pg_control_recovery())),
           (SELECT system_identifier FROM pg_control_system())
    WHERE pg_is_in_recovery()
"""


class _Reading(threading.local):
    is_on = False


_reading = _Reading()
_not_before = 0.0  # time.monotonic() until which the standby is left alone
_is_in_doubt = False  # it was not fresh or did not answer when last asked


class Router:
    """Reads inside `read` go to the standby; everything else, and every write, to the primary."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return alias()

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == ALIAS else None


def alias() -> str:
    return ALIAS if _reading.is_on else DEFAULT_DB_ALIAS


def connection() -> Any:
    """Return the connection for a plain SQL read."""
    return connections[alias()]


def read(function: Callable[[], T]) -> T:
    """Return what `function` returns, which only reads, on the standby if that is fresh and on the primary otherwise.

    It may be called twice. Not inside a transaction, whose own changes the standby cannot have.
    """
    if ALIAS not in settings.DATABASES:
        return function()
    if not connections[DEFAULT_DB_ALIAS].in_atomic_block and _may_ask():
        wanted = pipelined.fetch_one(_END, [])
        try:
            with database_time.waiting():
                if _is_fresh(wanted):
                    with database_time.limited(_at_most(READ_SECONDS)), _on_replica():
                        found = function()
                    _trust()
                    REPLICA_READS.labels("replica").inc()
                    return found
        except (OperationalError, InterfaceError) as error:
            _give_up("away", AWAY_SECONDS, error)
    REPLICA_READS.labels("primary").inc()
    return function()


def _may_ask() -> bool:
    global _not_before
    now = time.monotonic()
    if now < _not_before:
        return False
    if _is_in_doubt:  # one thread finds out, the others do not wait with it
        _not_before = now + CONNECT_SECONDS
    return True


@contextmanager
def _on_replica() -> Iterator[None]:
    _reading.is_on = True
    try:
        yield
    finally:
        _reading.is_on = False


def _at_most(seconds: float) -> float:
    left = database_time.left()
    return seconds if left is None else min(seconds, left / 2)


def _is_fresh(wanted: tuple[Any, int, int]) -> bool:
    """Return whether this thread's connection is to a standby that has replayed `wanted`, waiting a moment for it."""
    end, timeline, system = wanted
    with database_time.limited(_at_most(CONNECT_SECONDS)), connections[ALIAS].cursor() as cursor:
        for pause in (*PAUSES, None):
            cursor.execute(_REPLAYED)
            replayed = cursor.fetchone()
            if replayed is None or replayed[1:] != (timeline, system):
                _give_up("other", AWAY_SECONDS)
                return False
            if replayed[0] is not None and replayed[0] >= end:
                return True
            if pause is not None:
                time.sleep(pause)
    _give_up("behind", BEHIND_SECONDS)
    return False


def state() -> str:
    """Return `fresh`, `behind` or `other` (no standby of this primary). Raises OperationalError if it is away."""
    end, *place = pipelined.fetch_one(_END, [])
    with database_time.limited(CONNECT_SECONDS), connections[ALIAS].cursor() as cursor:
        cursor.execute(_REPLAYED)
        replayed = cursor.fetchone()
    if replayed is None or list(replayed[1:]) != place:
        return "other"
    return "fresh" if replayed[0] >= end else "behind"


def _trust() -> None:
    global _is_in_doubt, _not_before
    if _is_in_doubt:
        _is_in_doubt, _not_before = False, 0.0


def _give_up(why: str, seconds: float, error: Exception | None = None) -> None:
    """Leave the standby alone for a while. `why`: away, behind, other (no standby of this primary)."""
    global _is_in_doubt, _not_before
    _is_in_doubt, _not_before = True, time.monotonic() + seconds
    REPLICA_READS.labels(why).inc()
    if error is not None:
        connections[ALIAS].close()
        log.debug("replica.away", error=repr(error))
