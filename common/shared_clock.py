"""The clock that all processes share: this host's, corrected by the database's where they are a second or more apart.

Clocks of hosts drift apart. What one process writes and another compares within seconds (a task's lease, presence, the
grace of a rotation, a lockout, the step of an authenticator app) must not depend on that.
"""

import time as _time
from datetime import datetime, timedelta

import structlog
from django.db import connection
from django.utils import timezone

log = structlog.get_logger(__name__)

TOLERATED_SECONDS = 1.0  # well-kept clocks are closer, and need no correction
_offset = 0.0  # seconds to add to this host's clock


def now() -> datetime:
    return timezone.now() + timedelta(seconds=_offset) if _offset else timezone.now()


def time() -> float:
    """Return the seconds since 1970."""
    return _time.time() + _offset


def synchronise() -> None:
    """Ask the database for its time. Blocks; task workers call it every few seconds (servers: `postgresql.monitor`)."""
    if connection.vendor != "postgresql":  # SQLite: the database is on this host
        return
    asked_at = _time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        compare(cursor.fetchone()[0], asked_at=asked_at)


def compare(theirs: datetime, *, asked_at: float) -> None:
    """Correct the clock by the database's answer `theirs` to a question of this host's time `asked_at`."""
    global _offset
    took = _time.time() - asked_at
    doubt = TOLERATED_SECONDS + took / 2
    offset = theirs.timestamp() - asked_at - took / 2
    if abs(offset) < doubt:
        offset = 0.0
    elif abs(offset - _offset) < doubt:  # nothing new: a slow answer must not make the clock jump
        return
    if offset and not _offset:
        log.warning("clock.apart", ahead_s=round(-offset, 1))
    elif _offset and not offset:
        log.info("clock.right")
    _offset = offset
