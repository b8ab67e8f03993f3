"""Locks that only one process at a time holds, across all hosts of a database; no-op on SQLite."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from common.postgresql.base import Connection

# Keys of `pg_advisory_xact_lock`.
KEYS = {"migrate": 0x416C76696172}  # "Alviar"
ASK_SECONDS = 0.2


@contextmanager
def held(name: str) -> Iterator[None]:
    """Wait for the lock and hold it inside the block, by a transaction on a connection of its own.

    Not by the session: behind a pooler the next statement may go to another session, and the lock would never be
    released. It is asked for again and again, each time in a new transaction: one that waits has a snapshot, and an
    index that is made while others write waits for all snapshots. The idle transaction that holds it has none.
    """
    if connection.vendor != "postgresql":
        yield
        return
    own = Connection.connect(**connection.get_connection_params())
    try:
        while True:
            row = own.execute("SELECT pg_try_advisory_xact_lock(%s)", [KEYS[name]]).fetchone()
            if row and row[0]:
                break
            own.rollback()
            time.sleep(ASK_SECONDS)
        yield
    finally:
        own.close()
