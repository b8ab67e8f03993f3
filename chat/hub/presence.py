"""Presence: open sockets of each user, in what processes share with a lifetime, or in this process if it is alone.

Only its own process renews a socket's entry, so that users of a killed process are offline after `LIFETIME_SECONDS`
and the next sweep. While the shared store is down each process knows only its own sockets. All functions block: call
them on a thread.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings
from django.db.models import F, Max

from chat.hub.presence_entries import Entry
from chat.hub.presence_redis import RedisSockets
from chat.hub.presence_table import TableSockets
from chat.models import Block, ChatSettings, Membership
from common import outages, shared_clock
from sessions.models import UserSession

log = structlog.get_logger(__name__)

BEAT_SECONDS = 10
SCRIPT_ENTRIES = 250  # renewed in one go: Redis is blocked meanwhile
AWAY_SECONDS = 2.0  # how long the shared store is not used after a failure


@dataclass(frozen=True, slots=True)
class State:
    online: bool = False
    last_seen_at: datetime | None = None


_local: dict[int, dict[str, Entry]] = defaultdict(dict)
_seen: dict[int, float] = {}
_lock = threading.Lock()
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
    for shared in _ask(entries, lambda store, chunk: store.open(chunk), _user_of):
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

    _ask(entries, lambda store, chunk: store.close(chunk, now), _user_of)


def beat() -> None:
    """Renew every socket of this process. Call every `BEAT_SECONDS`."""
    with _lock:
        entries = [entry for mine in _local.values() for entry in mine.values()]
    for start in range(0, len(entries), SCRIPT_ENTRIES):
        _ask(entries[start : start + SCRIPT_ENTRIES], lambda store, chunk: store.beat(chunk), _user_of)


def states(user_ids: Iterable[int]) -> dict[int, State]:
    """Return for each user whether they have an open socket on any process, and when they were last seen."""
    wanted = set(user_ids)
    online: set[int] = set()
    seen: dict[int, float] = {}
    for shared_online, shared_seen in _ask(list(wanted), lambda store, chunk: store.states(chunk), int):
        online |= shared_online
        seen |= shared_seen
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


# --- What processes share ---------------------------------------------------------------------------------------------


def _store() -> RedisSockets | TableSockets | None:
    if settings.SHARED_STORE == "redis":
        return RedisSockets(settings.REDIS_URLS)
    return TableSockets() if settings.SHARED_STORE == "database" else None


def _user_of(entry: Entry) -> int:
    return entry.user_id


def _ask(items: Sequence[Any], question: Callable[[Any, list[Any]], Any], user_of: Callable[[Any], int]) -> list[Any]:
    """Return the answers to a question, one for each place of the users; none where the store is down or there is none.

    `question` gets the store and the items of one place.
    """
    global _away_until
    store = _store()
    if store is None or time.monotonic() < _away_until:
        return []
    by_place: dict[int, list[Any]] = defaultdict(list)
    for item in items:
        by_place[store.place_of(user_of(item))].append(item)
    answers = []
    for chunk in by_place.values():
        try:
            answers.append(question(store, chunk))
        except Exception as error:
            outages.note("presence.store_away", error)
            _away_until = time.monotonic() + AWAY_SECONDS
            break
    return answers
