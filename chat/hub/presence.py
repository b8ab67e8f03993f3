"""Presence: open sockets of each user, in Redis with a lifetime, or in this process without Redis.

Nothing is written to the database. Only its own process renews a socket's entry, so that users of a killed process
are offline after `LIFETIME_SECONDS` and the next sweep. While Redis is down each process knows only its own sockets.
All functions block: call them on a thread.
"""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
import structlog
from django.conf import settings
from django.db.models import F, Max

from chat.models import Block, ChatSettings, Membership
from common import outages, shared_clock
from sessions.models import UserSession

log = structlog.get_logger(__name__)

LIFETIME_SECONDS = 35  # together with the longest sweep interval below the 60 s allowed for a killed process
BEAT_SECONDS = 10
SEEN_SECONDS = 30 * 86_400
SCRIPT_ENTRIES = 250  # renewed per script: Redis is blocked meanwhile
AWAY_SECONDS = 2.0  # how long Redis is not used after a failure


@dataclass(frozen=True, slots=True)
class State:
    online: bool = False
    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One open socket."""

    user_id: int
    sid: uuid.UUID
    connection_id: str
    opened_at: float  # seconds since 1970


_local: dict[int, dict[str, Entry]] = defaultdict(dict)
_seen: dict[int, float] = {}
_lock = threading.Lock()
_clients: list[Any] = []
_away_until = 0.0


def opened(entry: Entry) -> list[str]:
    """Add a socket; return the connections that it supersedes: the oldest beyond the limits of session and user."""
    return opened_all([entry])[entry.connection_id]


def opened_all(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Add sockets in order; return by connection those that each supersedes. One round trip."""
    known: dict[str, list[Entry]] = {}
    with _lock:
        for entry in entries:
            _local[entry.user_id][entry.connection_id] = entry
            known[entry.connection_id] = list(_local[entry.user_id].values())
    for chunk in _by_client(entries):
        shared = _ask(chunk[0].user_id, lambda client, chunk=chunk: _open_shared(client, chunk))
        if shared is not None:
            known |= shared
    return {entry.connection_id: _superseded(known[entry.connection_id], entry) for entry in entries}


def closed(entry: Entry) -> None:
    """Remove a socket."""
    closed_all([entry])


def closed_all(entries: Sequence[Entry]) -> None:
    """Remove sockets, in one round trip."""
    now = shared_clock.time()
    with _lock:
        for entry in entries:
            mine = _local.get(entry.user_id, {})
            mine.pop(entry.connection_id, None)
            if not mine:
                _local.pop(entry.user_id, None)
            _seen[entry.user_id] = now
        while len(_seen) > 50_000:
            _seen.pop(next(iter(_seen)))

    def close(client: Any, chunk: list[Entry]) -> None:
        with client.pipeline(transaction=False) as pipe:
            for entry in chunk:
                pipe.hdel(_key(entry.user_id), entry.connection_id)
                pipe.set(_seen_key(entry.user_id), int(now), ex=SEEN_SECONDS)
            pipe.execute()

    for chunk in _by_client(entries):
        _ask(chunk[0].user_id, lambda client, chunk=chunk: close(client, chunk))


def beat() -> None:
    """Renew every socket of this process. Call every `BEAT_SECONDS`."""
    with _lock:
        entries = [entry for mine in _local.values() for entry in mine.values()]
    for start in range(0, len(entries), SCRIPT_ENTRIES):
        for chunk in _by_client(entries[start : start + SCRIPT_ENTRIES]):
            _ask(chunk[0].user_id, lambda client, chunk=chunk: _beat_shared(client, chunk))


def _by_client(entries: Sequence[Entry]) -> Iterable[list[Entry]]:
    """Group the entries by the Redis that stores them."""
    by_client: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_client[entry.user_id % max(1, len(settings.REDIS_URLS))].append(entry)
    return by_client.values()


def states(user_ids: Iterable[int]) -> dict[int, State]:
    """Return for each user whether they have an open socket on any process, and when they were last seen."""
    wanted = set(user_ids)
    online: set[int] = set()
    seen: dict[int, float] = {}
    by_client: dict[int, list[int]] = defaultdict(list)
    for user_id in wanted:
        by_client[user_id % max(1, len(settings.REDIS_URLS))].append(user_id)
    for chunk in by_client.values():
        found = _ask(chunk[0], lambda client, chunk=chunk: _states_shared(client, chunk))
        if found is not None:
            online |= found[0]
            seen |= found[1]
    with _lock:
        online |= {user_id for user_id in wanted if _local.get(user_id)}
        seen |= {user_id: at for user_id in wanted if (at := _seen.get(user_id)) and at > seen.get(user_id, 0)}
    last = {user_id: datetime.fromtimestamp(at, UTC) for user_id, at in seen.items()}
    unknown = wanted - online - set(last)
    if unknown:
        rows = UserSession.objects.filter(user_id__in=unknown).values("user_id").annotate(at=Max("last_seen_at"))
        last |= {row["user_id"]: row["at"] for row in rows}
    return {user_id: State(user_id in online, None if user_id in online else last.get(user_id)) for user_id in wanted}


def visible(watching: Mapping[int, Iterable[int]]) -> dict[int, set[int]]:
    """Return, for each viewer, the users whose presence they may see.

    This requires a common conversation, the user's consent, and that the user does not block the viewer.
    """
    viewers, targets = set(watching), {target for wanted in watching.values() for target in wanted}
    if not targets:
        return {viewer: set() for viewer in viewers}
    hidden = set(ChatSettings.objects.filter(user_id__in=targets, share_presence=False).values_list("pk", flat=True))
    blocks = set(
        Block.objects.filter(blocker_id__in=targets, blocked_id__in=viewers).values_list("blocked_id", "blocker_id")
    )
    shared = set(
        Membership.objects.living()
        .filter(
            user_id__in=viewers,
            conversation__memberships__user_id__in=targets,
            conversation__memberships__left_seq=None,
        )
        .annotate(other_id=F("conversation__memberships__user_id"))
        .values_list("user_id", "other_id")
        .distinct()
    )
    return {
        viewer: {
            target
            for target in wanted
            if target == viewer
            or ((viewer, target) in shared and target not in hidden and (viewer, target) not in blocks)
        }
        for viewer, wanted in watching.items()
    }


def _superseded(entries: list[Entry], newest: Entry) -> list[str]:
    entries = sorted({entry.connection_id: entry for entry in [*entries, newest]}.values(), key=lambda e: e.opened_at)
    of_session = [entry for entry in entries if entry.sid == newest.sid]
    old = _beyond(of_session, settings.CHAT_SOCKETS_PER_SESSION)
    rest = [entry for entry in entries if entry not in old]
    old += _beyond(rest, settings.CHAT_SOCKETS_PER_USER)
    return [entry.connection_id for entry in old if entry.connection_id != newest.connection_id]


def _beyond(entries: list[Entry], limit: int) -> list[Entry]:
    """Return the oldest entries beyond the limit; 0 means no limit."""
    return entries[: max(0, len(entries) - limit)] if limit else []


# --- Redis: a hash for each person, a field for each socket -----------------------------------------------------------


def _key(user_id: int) -> str:
    return f"alviar:sockets:{user_id}"


def _seen_key(user_id: int) -> str:
    return f"alviar:seen:{user_id}"


def _value(entry: Entry) -> str:
    return f"{entry.opened_at}:{entry.sid.hex}:{int(shared_clock.time())}"


def _entries(user_id: int, found: Mapping[bytes, bytes]) -> list[Entry]:
    """Return the entries that their process still renews."""
    entries = []
    for name, value in found.items():
        opened_at, sid, beaten_at = value.decode().split(":")
        if shared_clock.time() - int(beaten_at) <= LIFETIME_SECONDS:
            entries.append(Entry(user_id, uuid.UUID(sid), name.decode(), float(opened_at)))
    return entries


# One command for many sockets: a command for each of its steps costs ten times as much, here and in Redis.
_OPEN = """
local found = {}
for place, key in ipairs(KEYS) do
    redis.call('HSET', key, ARGV[2 * place], ARGV[2 * place + 1])
    redis.call('EXPIRE', key, ARGV[1])
    found[place] = redis.call('HGETALL', key)
end
return found
"""
_BEAT = """
for place = 1, #KEYS / 2 do
    redis.call('HSET', KEYS[2 * place - 1], ARGV[2 * place + 2], ARGV[2 * place + 3])
    redis.call('EXPIRE', KEYS[2 * place - 1], ARGV[1])
    redis.call('SET', KEYS[2 * place], ARGV[2], 'EX', ARGV[3])
end
"""


def _open_shared(client: Any, entries: list[Entry]) -> dict[str, list[Entry]]:
    told = [text for entry in entries for text in (entry.connection_id, _value(entry))]
    keys = [_key(entry.user_id) for entry in entries]
    found = client.register_script(_OPEN)(keys, [2 * LIFETIME_SECONDS, *told])
    return {
        entry.connection_id: _entries(entry.user_id, dict(zip(flat[::2], flat[1::2], strict=True)))
        for entry, flat in zip(entries, found, strict=True)
    }


def _beat_shared(client: Any, entries: list[Entry]) -> None:
    told = [text for entry in entries for text in (entry.connection_id, _value(entry))]
    keys = [key for entry in entries for key in (_key(entry.user_id), _seen_key(entry.user_id))]
    client.register_script(_BEAT)(keys, [2 * LIFETIME_SECONDS, int(shared_clock.time()), SEEN_SECONDS, *told])


def _states_shared(client: Any, user_ids: list[int]) -> tuple[set[int], dict[int, float]]:
    with client.pipeline(transaction=False) as pipe:
        for user_id in user_ids:
            pipe.hgetall(_key(user_id))
            pipe.get(_seen_key(user_id))
        found = pipe.execute()
    online = {user_id for place, user_id in enumerate(user_ids) if _entries(user_id, found[2 * place])}
    seen = {user_id: float(at) for place, user_id in enumerate(user_ids) if (at := found[2 * place + 1])}
    return online, seen


def _ask(user_id: int, question: Any) -> Any:
    """Return the answer of the user's Redis; None without Redis or while it is down."""
    global _away_until
    if not settings.REDIS_URLS or time.monotonic() < _away_until:
        return None
    try:
        with _lock:
            if not _clients:
                _clients.extend(
                    redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) for url in settings.REDIS_URLS
                )
        return question(_clients[user_id % len(_clients)])
    except Exception as error:
        outages.note("presence.redis_away", error)
        _away_until = time.monotonic() + AWAY_SECONDS
        return None
