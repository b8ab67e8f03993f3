"""How many sockets a session has open, kept in the cache with a lifetime: a killed process leaves no ghosts.

A socket takes the first free of its session's numbered slots by `cache.add`, which is atomic across processes; there
is no list to read, change and write. Never raises: with the cache away the count is what it last was, then 0.
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
    return settings.CHAT_SOCKETS_PER_SESSION + 2  # the superseded one may still be closing


def opened(sid: uuid.UUID, connection_id: str) -> None:
    """Count a socket. May block on the cache: not from the event loop."""
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
    """Count a socket no longer."""
    with _lock:
        slot = _slots.pop((sid, str(connection_id)), None)
    if slot is None:
        return
    try:
        cache.delete(_key(sid, slot))
    except Exception:
        log.warning("sockets.cache_away")


def beat(connections: Iterable[tuple[uuid.UUID, str]]) -> None:
    """Prolong the sockets (sid, connection_id) of this process; one that the cache has lost is counted again."""
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
