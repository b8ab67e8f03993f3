"""Cache shared by all processes in PostgreSQL, where there is no Redis (`WAKES_URL` without `REDIS_URL`).

Django's own takes two statements for a `set`, one of which counts the whole table, adds up outside of the database, and
belongs to the request's transaction. While the database is away every call raises `CacheAway`, as `SharedCache` does.
Values are kept as JSON (numbers, texts, lists, dictionaries): who can write into the table runs no code by it.
"""

import json
from collections.abc import Callable, Iterable, Set
from typing import Any, TypeVar

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from common import shared_table
from common.shared_cache import Breaker

T = TypeVar("T")
_breaker = Breaker()  # shared: Django creates a cache object for each thread


class DatabaseCache(BaseCache):
    """Django's cache over `common.shared_table`; every call may raise CacheAway."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self.get_many([key], version).get(key, default)

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        made = self._made(keys, version)
        found = _guarded(lambda: shared_table.get(made))
        return {made[key]: json.loads(value) for (key, _), value in found.items()}

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self.set_many({key: value}, timeout, version)

    def set_many(self, data: dict[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> list[str]:
        values, seconds = self._values(data, version), self._seconds(timeout)
        _guarded(lambda: shared_table.put(values, seconds))
        return []

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        values, seconds = self._values({key: value}, version), self._seconds(timeout)
        return bool(_guarded(lambda: shared_table.add(values, seconds)))

    def add_many(self, data: dict[str, Any], timeout: int) -> Set[str]:
        """Set what is not there yet, each atomically; return the keys that were set."""
        made, values = self._made(data, None), self._values(data, None)
        return {made[key] for key, _ in _guarded(lambda: shared_table.add(values, timeout))}

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        pair, seconds = (self.make_and_validate_key(key, version), ""), self._seconds(timeout)
        return bool(_guarded(lambda: shared_table.touch([pair], seconds)))

    def delete(self, key: str, version: int | None = None) -> bool:
        pair = (self.make_and_validate_key(key, version), "")
        return bool(_guarded(lambda: shared_table.delete([pair])))

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        pairs = [(key, "") for key in self._made(keys, version)]
        _guarded(lambda: shared_table.delete(pairs))

    def hit(self, key: str, seconds: int) -> tuple[int, float]:
        """Count one; return the count and the seconds until the window ends. Atomic."""
        made = self.make_and_validate_key(key)
        return _guarded(lambda: shared_table.hit(made, seconds))

    def clear(self) -> None:
        _guarded(shared_table.clear)

    def _made(self, keys: Iterable[str], version: int | None) -> dict[str, str]:
        return {self.make_and_validate_key(key, version): key for key in keys}

    def _values(self, data: dict[str, Any], version: int | None) -> dict[shared_table.Pair, bytes]:
        return {(made, ""): json.dumps(data[key]).encode() for made, key in self._made(data, version).items()}

    def _seconds(self, timeout: Any) -> float | None:
        seconds: float | None = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return seconds


def _guarded(call: Callable[[], T]) -> T:
    return _breaker.run(call)
