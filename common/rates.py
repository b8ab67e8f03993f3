"""Rate limits, counted atomically across processes in the shared cache; per process while that is down.

`allow(name="login", key=address)` counts one and raises `Throttled` beyond the rate named in `settings.RATE_LIMITS`.
A window begins with the first use in it and is not made longer by further ones.
"""

import re
import threading
import time
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import cache

from common.errors import Throttled
from common.metrics import RATE_LIMITED
from common.shared_cache import CacheAway

_UNITS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400}
_RATE = re.compile(r"(\d+)\s*/\s*(\d*)\s*([a-z]+)")
_LOCAL_ENTRIES = 100_000


@lru_cache
def parse(rate: str) -> tuple[int, int] | None:
    """Return (count, seconds) of `30/min` or `300/5min`, None for `0` and `0/min` (none). Raises ValueError."""
    if rate.strip() in {"", "0"}:
        return None
    match = _RATE.fullmatch(rate.strip())
    if not match or match[3] not in _UNITS:
        raise ValueError(f"{rate!r} is not a rate such as 30/min or 300/5min")
    if not int(match[1]):
        return None
    return int(match[1]), int(match[2] or 1) * _UNITS[match[3]]


def allow(*, name: str, key: str) -> None:
    """Count one use; raise Throttled, with the seconds until the window ends, if over the limit."""
    wait = hit(name=name, key=key)
    if wait is not None:
        RATE_LIMITED.labels(name).inc()
        raise Throttled(retry_after=wait)


def hit(*, name: str, key: str) -> float | None:
    """Count one use; return None while within the rate, else the seconds to wait."""
    rate = parse(settings.RATE_LIMITS[name])
    if rate is None:
        return None
    limit, seconds = rate
    slot = f"rate:{name}:{key}"
    try:
        count, left = cache.hit(slot, seconds) if hasattr(cache, "hit") else _count(cache, slot, seconds)
    except CacheAway:  # continue counting in this process only
        count, left = _local.hit(slot, seconds)
    return None if count <= limit else max(left, 0.001)


def _count(store: Any, slot: str, seconds: int) -> tuple[int, float]:
    """Count in a cache of this process (`LocMemCache`), whose `add` and `incr` are atomic."""
    for _attempt in range(3):
        now = time.time()
        store.add(f"{slot}:end", now + seconds, timeout=seconds)
        store.add(slot, 0, timeout=seconds)
        try:
            count = store.incr(slot)
        except ValueError:  # the window ended between the two calls
            continue
        return count, (store.get(f"{slot}:end") or now + seconds) - now
    return _local.hit(slot, seconds)


class _Local:
    """Windows of this process only: slot to (end, count)."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def hit(self, slot: str, seconds: int) -> tuple[int, float]:
        now = time.time()
        with self._lock:
            if len(self._windows) >= _LOCAL_ENTRIES:
                self._windows = {key: window for key, window in self._windows.items() if window[0] > now}
            end, count = self._windows.get(slot, (0.0, 0))
            if end <= now:
                end, count = now + seconds, 0
            self._windows[slot] = (end, count + 1)
        return count + 1, end - now


_local = _Local()
