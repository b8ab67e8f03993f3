"""Open sockets in PostgreSQL, where there is no Redis: a key for each user, a field for each socket."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from chat.hub.presence_entries import LIFETIME_SECONDS, SEEN_SECONDS, Entry, living, value_of
from common import shared_table


class TableSockets:
    def place_of(self, user_id: int) -> int:
        """Return what a user shares a round trip with: everybody."""
        return 0

    def open(self, entries: Sequence[Entry]) -> dict[str, list[Entry]]:
        """Add sockets; return by connection all sockets of its user."""
        shared_table.put(_values(entries), 2 * LIFETIME_SECONDS)
        found = _by_user(entry.user_id for entry in entries)
        return {entry.connection_id: living(entry.user_id, found[entry.user_id]) for entry in entries}

    def close(self, entries: Sequence[Entry], now: float) -> None:
        """Remove sockets and record when their users were last seen."""
        shared_table.delete((_key(entry.user_id), entry.connection_id) for entry in entries)
        shared_table.put({(_seen_key(entry.user_id), ""): b"%d" % now for entry in entries}, SEEN_SECONDS)

    def beat(self, entries: Sequence[Entry]) -> None:
        shared_table.put(_values(entries), 2 * LIFETIME_SECONDS)

    def states(self, user_ids: Sequence[int]) -> tuple[set[int], dict[int, float]]:
        """Return who is online, and when each was last seen (seconds since 1970)."""
        found = shared_table.get(key for user_id in user_ids for key in (_key(user_id), _seen_key(user_id)))
        sockets = _sorted(found)
        online = {user_id for user_id in user_ids if living(user_id, sockets[_key(user_id)])}
        seen = {user_id: float(at) for user_id in user_ids if (at := found.get((_seen_key(user_id), "")))}
        # A killed process recorded no end: its last beat is known while its entries last.
        for user_id in set(user_ids) - online:
            beats = [float(value.rpartition(":")[2]) for value in sockets[_key(user_id)].values()]
            if beats:
                seen[user_id] = max(*beats, seen.get(user_id, 0.0))
        return online, seen


def _key(user_id: int) -> str:
    return f"sockets:{user_id}"


def _seen_key(user_id: int) -> str:
    return f"seen:{user_id}"


def _values(entries: Iterable[Entry]) -> dict[shared_table.Pair, bytes]:
    return {(_key(entry.user_id), entry.connection_id): value_of(entry).encode() for entry in entries}


def _by_user(user_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    wanted = {_key(user_id): user_id for user_id in user_ids}
    found = _sorted(shared_table.get(wanted))
    return {user_id: found[key] for key, user_id in wanted.items()}


def _sorted(found: Mapping[shared_table.Pair, bytes]) -> dict[str, dict[str, str]]:
    by_key: dict[str, dict[str, str]] = defaultdict(dict)
    for (key, field), value in found.items():
        by_key[key][field] = value.decode()
    return by_key
