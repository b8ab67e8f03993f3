"""Time limit for all database waits of one request together: `DATABASE_TIMEOUT_MS`.

A server's threads run their work inside `limited()`; commands, migrations and tasks have no limit. PostgreSQL's own
`statement_timeout` is not enough: it does not fire when the database server hangs.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import OperationalError


class TimeOver(OperationalError):
    """The request has used up its time limit for the database: 503."""


class _Budget(threading.local):
    left: float | None = None  # seconds; None: no limit


_budget = _Budget()


@contextmanager
def limited(seconds: float | None = None) -> Iterator[None]:
    """Limit all database waits of this thread inside the block to `seconds` together (default: the setting)."""
    before = _budget.left
    limit = settings.DATABASE_TIMEOUT_MS / 1000 if seconds is None else seconds
    _budget.left = limit or None
    try:
        yield
    finally:
        _budget.left = before


def left() -> float | None:
    """Return the seconds that this thread may still wait; None without a limit. Raises TimeOver if none are left."""
    if _budget.left is not None and _budget.left <= 0:
        raise TimeOver("the database took too long")
    return _budget.left


@contextmanager
def waiting() -> Iterator[None]:
    """Subtract the duration of the block from the remaining time."""
    started = time.monotonic()
    try:
        yield
    finally:
        spend(time.monotonic() - started)


def spend(seconds: float) -> None:
    if _budget.left is not None:
        _budget.left -= seconds
