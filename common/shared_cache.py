"""Cache shared by all processes in Redis or Valkey: several servers sharded by hash, a cluster, or Sentinel's master.

Django's own treats a second server as a replica of the first, has no timeout, and retries a dead server at every call.
Here a failing call raises `CacheAway` within `TIMEOUT_SECONDS`, and all other calls raise it at once for
`PAUSE_SECONDS`; callers continue without it (rates count per process, socket counts keep their last values).
"""

import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import psycopg
import structlog
from django.core.cache.backends import redis as django_redis
from django.core.cache.backends.redis import RedisCache
from django.db import DatabaseError
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from common import redis_places
from common.metrics import STORE_FAILURES

log = structlog.get_logger(__name__)
T = TypeVar("T")

TIMEOUT_SECONDS = 0.5
PAUSE_SECONDS = 5.0


OUTAGES = (RedisError, RedisClusterException, OSError, psycopg.Error, DatabaseError)


class CacheAway(Exception):
    """The shared cache did not answer."""


class Breaker:
    """Circuit breaker: opens at a failure; after the pause one call tries again while the others still fail fast."""

    def __init__(self) -> None:
        self._closed_at = 0.0
        self._is_away = False  # and logged
        self._lock = threading.Lock()

    def run(self, call: Callable[[], T]) -> T:
        """Run `call`. Raises: CacheAway."""
        tried = self._enter()
        try:
            result = call()
        except OUTAGES as error:
            STORE_FAILURES.labels("cache.away").inc()
            with self._lock:
                self._closed_at = time.monotonic() + PAUSE_SECONDS
                news, self._is_away = not self._is_away, True
            if news:
                log.warning("cache.away", error=type(error).__name__)
            raise CacheAway from error
        if tried:
            with self._lock:
                self._closed_at, self._is_away = 0.0, False
            log.info("cache.back")
        return result

    def _enter(self) -> bool:
        """Return whether this call is the retry after the pause. Raises: CacheAway during the pause."""
        if not self._closed_at:
            return False
        with self._lock:
            if self._closed_at > time.monotonic():
                raise CacheAway
            if not self._closed_at:
                return False
            self._closed_at = time.monotonic() + PAUSE_SECONDS
            return True


# The type stubs lack the internals that are overridden here.
RedisCacheClient: Any = django_redis.RedisCacheClient


class ShardedClient(RedisCacheClient):
    """Cache client that distributes keys over independent servers by hash."""

    # Increments and, at the first count, sets the expiry, atomically, so that no window is left without one.
    _HIT = """
    local count = redis.call('INCR', KEYS[1])
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) left = tonumber(ARGV[1]) end
    return {count, left}
    """

    def __init__(self, servers: list[str], **options: Any) -> None:
        limits = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        super().__init__(servers, **limits, retry=Retry(NoBackoff(), 0), **options)
        self._clients: dict[int, Any] = {}

    def _index(self, key: Any) -> int:
        return zlib.crc32(str(key).encode()) % len(self._servers)

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        return self._at(self._index(key))

    def _at(self, index: int) -> Any:
        client = self._clients.get(index)
        if client is None and redis_places.kind_of(self._servers[index]) != "single":
            client = self._clients[index] = redis_places.client(self._servers[index], timeout_s=TIMEOUT_SECONDS)
        elif client is None:
            self._pools[index] = self._pool_class.from_url(self._servers[index], **self._pool_options)
            client = self._clients[index] = self._client(connection_pool=self._pools[index])
        return client

    def _by_server(self, keys: Iterable[Any]) -> dict[int, list[Any]]:
        if len(self._servers) == 1:
            return {0: every} if (every := list(keys)) else {}
        groups: dict[int, list[Any]] = defaultdict(list)
        for key in keys:
            groups[self._index(key)].append(key)
        return groups

    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for index, group in self._by_server(keys).items():
            client = self._at(index)
            values = (client.mget_nonatomic if isinstance(client, RedisCluster) else client.mget)(group)
            found |= {
                key: self._serializer.loads(value)
                for key, value in zip(group, values, strict=True)
                if value is not None
            }
        return found

    def set_many(self, data: dict[Any, Any], timeout: int | None) -> None:
        for index, group in self._by_server(data).items():
            pipeline = self._at(index).pipeline(transaction=False)
            for key in group:
                pipeline.set(key, self._serializer.dumps(data[key]), ex=timeout)
            pipeline.execute()

    def add_many(self, data: dict[Any, Any], timeout: int) -> set[Any]:
        """Set what is not there yet; return the keys that were set."""
        added: set[Any] = set()
        for index, group in self._by_server(data).items():
            pipeline = self._at(index).pipeline(transaction=False)
            for key in group:
                pipeline.set(key, self._serializer.dumps(data[key]), ex=timeout, nx=True)
            added.update(key for key, is_new in zip(group, pipeline.execute(), strict=True) if is_new)
        return added

    def delete_many(self, keys: Iterable[Any]) -> None:
        for index, group in self._by_server(keys).items():
            self._at(index).delete(*group)

    def clear(self) -> bool:
        for index in range(len(self._servers)):
            client = self._at(index)
            everywhere = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(client, RedisCluster) else {}
            client.flushdb(**everywhere)
        return True

    def hit(self, key: str, seconds: int) -> tuple[int, float]:
        count, left_ms = self.get_client(key).eval(self._HIT, 1, key, seconds * 1000)
        return count, left_ms / 1000


_breaker = Breaker()  # shared: Django creates a cache object for each thread


class SharedCache(RedisCache):
    """Django's Redis cache with timeouts and sharding; every call may raise CacheAway."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = ShardedClient

    def validate_key(self, key: str) -> None:
        """Look at no key: Django walks through each letter for what memcached refuses; Redis takes any."""

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """Return the values that are there; what precedes each key is made once."""
        lead = self.make_key("", version=version)
        made = {f"{lead}{key}": key for key in keys}
        client: Any = self._cache
        return {made[name]: value for name, value in _breaker.run(lambda: client.get_many(made)).items()}

    def hit(self, key: str, seconds: int) -> tuple[int, float]:
        """Count one; return the count and the seconds until the window ends. Atomic."""
        made = self.make_and_validate_key(key)
        client: Any = self._cache
        return _breaker.run(lambda: client.hit(made, seconds))

    def add_many(self, data: dict[str, Any], timeout: int) -> set[str]:
        """Set what is not there yet, each atomically; return the keys that were set."""
        made = {self.make_and_validate_key(key): key for key in data}
        client: Any = self._cache
        added = _breaker.run(lambda: client.add_many({key: data[name] for key, name in made.items()}, timeout))
        return {made[key] for key in added}


def _guarded(name: str) -> Any:
    def call(self: SharedCache, *args: Any, **kwargs: Any) -> Any:
        method = getattr(super(SharedCache, self), name)
        return _breaker.run(lambda: method(*args, **kwargs))

    call.__name__ = name
    return call


for _name in (
    "add", "get", "set", "touch", "delete", "has_key", "incr", "set_many", "delete_many", "clear",
):  # fmt: skip
    setattr(SharedCache, _name, _guarded(_name))
