"""Counter of each session's open sockets, kept in the cache with a lifetime, so that a killed process leaves none.

A socket takes the first free of its session's numbered slots by `cache.add`, which is atomic across processes; there
is no list to read, change and write. Never raises: while the cache is down the last known count is used, then 0.
"""

import contextlib
import threading
import uuid
from collections.abc import Iterable

import structlog
from django.conf import settings
from django.core.cache import cache

log = structlog.get_logger(__name__)

LIFETIME_SECONDS = 90  # `beat` at least every 30 s

_slots: dict[tuple[uuid.UUID, str], int] = {}  # of this process
_lock = threading.Lock()


def _key(sid: uuid.UUID, slot: int) -> str:
    return f"socket:{sid}:{slot}"


def _slot_count() -> int:
    return settings.CHAT_SOCKETS_PER_SESSION + 2  # a superseded socket may still be closing


def opened(sid: uuid.UUID, connection_id: str) -> None:
    """Add a socket to the count. May block on the cache: do not call it on the event loop."""
    connection_id = str(connection_id)
    try:
        for slot in range(_slot_count()):
            if cache.add(_key(sid, slot), connection_id, LIFETIME_SECONDS):
                with _lock:
                    _slots[sid, connection_id] = slot
                return
    except Exception:
        log.warning("sockets.cache_away")


def closed(sid: uuid.UUID, connection_id: str) -> None:
    """Remove a socket from the count."""
    with _lock:
        slot = _slots.pop((sid, str(connection_id)), None)
    if slot is None:
        return
    try:
        cache.delete(_key(sid, slot))
    except Exception:
        log.warning("sockets.cache_away")


def beat(connections: Iterable[tuple[uuid.UUID, str]]) -> None:
    """Renew the entries of this process's sockets (sid, connection_id); lost entries are added again."""
    living = {}
    missing = []
    with _lock:
        for sid, connection_id in connections:
            slot = _slots.get((sid, str(connection_id)))
            if slot is None:
                missing.append((sid, str(connection_id)))
            else:
                living[_key(sid, slot)] = str(connection_id)
    with contextlib.suppress(Exception):
        if living:
            cache.set_many(living, LIFETIME_SECONDS)
    for sid, connection_id in missing:
        opened(sid, connection_id)


def count(sids: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Return how many sockets each session has open."""
    keys = {_key(sid, slot): sid for sid in sids for slot in range(_slot_count())}
    counts = dict.fromkeys(keys.values(), 0)
    try:
        found = cache.get_many(keys)
    except Exception:
        log.warning("sockets.cache_away")
        found = {}
    for key in found:
        counts[keys[key]] += 1
    return counts
