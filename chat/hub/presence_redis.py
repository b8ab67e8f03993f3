"""Open sockets in Redis: a hash for each user, a field for each socket.

Users are shared out over places: one for each Redis, and in a cluster a few slots, each by a hash tag, since one script
works on the keys of one slot.
"""

from collections.abc import Sequence
from typing import Any

from chat.hub.presence_entries import LIFETIME_SECONDS, SEEN_SECONDS, Entry, living, value_of
from common import redis_places, shared_clock

TIMEOUT_SECONDS = 1.0
CLUSTER_PLACES = 16

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
_CLOSE = """
for place = 1, #KEYS / 2 do
    redis.call('HDEL', KEYS[2 * place - 1], ARGV[place + 2])
    redis.call('SET', KEYS[2 * place], ARGV[1], 'EX', ARGV[2])
end
"""
_BEAT = """
for place = 1, #KEYS / 2 do
    redis.call('HSET', KEYS[2 * place - 1], ARGV[2 * place + 2], ARGV[2 * place + 3])
    redis.call('EXPIRE', KEYS[2 * place - 1], ARGV[1])
    redis.call('SET', KEYS[2 * place], ARGV[2], 'EX', ARGV[3])
end
"""


class RedisSockets:
    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.is_cluster = redis_places.kind_of(urls[0]) == "cluster"

    def place_of(self, user_id: int) -> int:
        """Return what a user shares a round trip with."""
        return user_id % (CLUSTER_PLACES if self.is_cluster else len(self.urls))

    def _client(self, user_id: int) -> Any:
        url = self.urls[0 if self.is_cluster else self.place_of(user_id)]
        return redis_places.client(url, timeout_s=TIMEOUT_SECONDS)

    def _key(self, user_id: int) -> str:
        return f"alviar:sockets:{self._tag(user_id)}{user_id}"

    def _seen_key(self, user_id: int) -> str:
        return f"alviar:seen:{self._tag(user_id)}{user_id}"

    def _tag(self, user_id: int) -> str:
        return f"{{{self.place_of(user_id)}}}:" if self.is_cluster else ""

    # All entries or users of one call are of one place.

    def open(self, entries: Sequence[Entry]) -> dict[str, list[Entry]]:
        """Add sockets; return by connection all sockets of its user."""
        told = [text for entry in entries for text in (entry.connection_id, value_of(entry))]
        keys = [self._key(entry.user_id) for entry in entries]
        client = self._client(entries[0].user_id)
        found = client.eval(_OPEN, len(keys), *keys, 2 * LIFETIME_SECONDS, *told)
        return {
            entry.connection_id: living(entry.user_id, _text(dict(zip(flat[::2], flat[1::2], strict=True))))
            for entry, flat in zip(entries, found, strict=True)
        }

    def close(self, entries: Sequence[Entry], now: float) -> None:
        """Remove sockets and record when their users were last seen."""
        keys = [key for entry in entries for key in (self._key(entry.user_id), self._seen_key(entry.user_id))]
        gone = [entry.connection_id for entry in entries]
        self._client(entries[0].user_id).eval(_CLOSE, len(keys), *keys, int(now), SEEN_SECONDS, *gone)

    def beat(self, entries: Sequence[Entry]) -> None:
        told = [text for entry in entries for text in (entry.connection_id, value_of(entry))]
        keys = [key for entry in entries for key in (self._key(entry.user_id), self._seen_key(entry.user_id))]
        client = self._client(entries[0].user_id)
        client.eval(_BEAT, len(keys), *keys, 2 * LIFETIME_SECONDS, int(shared_clock.time()), SEEN_SECONDS, *told)

    def states(self, user_ids: Sequence[int]) -> tuple[set[int], dict[int, float]]:
        """Return who is online, and when each was last seen (seconds since 1970)."""
        with self._client(user_ids[0]).pipeline(transaction=False) as pipe:
            for user_id in user_ids:
                pipe.hgetall(self._key(user_id))
                pipe.get(self._seen_key(user_id))
            found = pipe.execute()
        online = {user_id for place, user_id in enumerate(user_ids) if living(user_id, _text(found[2 * place]))}
        seen = {user_id: float(at) for place, user_id in enumerate(user_ids) if (at := found[2 * place + 1])}
        return online, seen


def _text(found: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}
