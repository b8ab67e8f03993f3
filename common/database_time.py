"""How long one request may wait for the database in all: `DATABASE_TIMEOUT_MS`.

A server's threads run each piece of work in `limited()`; commands, migrations and tasks have no limit. PostgreSQL's
own `statement_timeout` would not do: a server that hangs does not look at its clock.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import OperationalError


class TimeOver(OperationalError):
    """The request has waited for the database long enough: 503."""


class _Budget(threading.local):
    left: float | None = None  # seconds; None: no limit


_budget = _Budget()


@contextmanager
def limited(seconds: float | None = None) -> Iterator[None]:
    """Let everything that this thread asks of the database inside wait `seconds` together (default: the setting)."""
    before = _budget.left
    limit = settings.DATABASE_TIMEOUT_MS / 1000 if seconds is None else seconds
    _budget.left = limit or None
    try:
        yield
    finally:
        _budget.left = before


def left() -> float | None:
    """Return the seconds that this thread may still wait; None without a limit. Raises TimeOver where none are left."""
    if _budget.left is not None and _budget.left <= 0:
        raise TimeOver("the database took too long")
    return _budget.left


@contextmanager
def waiting() -> Iterator[None]:
    """Take what the block lasts off the time that is left."""
    started = time.monotonic()
    try:
        yield
    finally:
        spend(time.monotonic() - started)


def spend(seconds: float) -> None:
    if _budget.left is not None:
        _budget.left -= seconds
