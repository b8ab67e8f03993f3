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


def _keys(sid: uuid.UUID) -> list[str]:
    """Return the keys of all slots of a session."""
    name = str(sid)  # once: it costs more than the rest
    return [f"socket:{name}:{slot}" for slot in range(_slot_count())]


def _slot_count() -> int:
    return settings.CHAT_SOCKETS_PER_SESSION + 2  # a superseded socket may still be closing


def opened(sid: uuid.UUID, connection_id: str) -> None:
    """Add a socket to the count. May block on the cache: do not call it on the event loop."""
    opened_all([(sid, connection_id)])


def opened_all(connections: Iterable[tuple[uuid.UUID, str]]) -> None:
    """Add sockets (sid, connection_id) to the count: one round trip, one more for those whose slot was taken."""
    waiting = [(sid, str(connection_id)) for sid, connection_id in connections]
    try:
        for slot in range(_slot_count()):
            wanted: dict[str, tuple[uuid.UUID, str]] = {}  # of two of one session, each tries in a round of its own
            for sid, connection_id in waiting:
                wanted.setdefault(_key(sid, slot), (sid, connection_id))
            taken = _add_all({key: connection_id for key, (_sid, connection_id) in wanted.items()})
            placed = {wanted[key] for key in taken}
            with _lock:
                _slots.update(dict.fromkeys(placed, slot))
            waiting = [one for one in waiting if one not in placed]
            if not waiting:
                return
    except Exception:
        log.warning("sockets.cache_away")


def _add_all(values: dict[str, str]) -> Iterable[str]:
    """Return the keys that were free, and now are ours."""
    if hasattr(cache, "add_many"):
        return cache.add_many(values, LIFETIME_SECONDS)  # type: ignore[no-any-return]
    return [key for key, value in values.items() if cache.add(key, value, LIFETIME_SECONDS)]


def closed(sid: uuid.UUID, connection_id: str) -> None:
    """Remove a socket from the count."""
    closed_all([(sid, connection_id)])


def closed_all(connections: Iterable[tuple[uuid.UUID, str]]) -> None:
    """Remove sockets from the count, in one round trip."""
    with _lock:
        keys = [
            _key(sid, slot)
            for sid, connection_id in connections
            if (slot := _slots.pop((sid, str(connection_id)), None)) is not None
        ]
    if not keys:
        return
    try:
        cache.delete_many(keys)
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
    if missing:
        opened_all(missing)


def count(sids: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Return how many sockets each session has open."""
    keys = {key: sid for sid in sids for key in _keys(sid)}
    counts = dict.fromkeys(keys.values(), 0)
    try:
        found = cache.get_many(keys)
    except Exception:
        log.warning("sockets.cache_away")
        found = {}
    for key in found:
        counts[keys[key]] += 1
    return counts
