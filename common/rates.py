"""Rates, counted atomically across processes in the shared cache; per process while that is away.

`allow(name="login", key=address)` counts one and raises `Throttled` beyond the rate named in `settings.RATE_LIMITS`.
"""

import re
import threading
import time
from functools import lru_cache

import structlog
from django.conf import settings
from django.core.cache import cache

from common.errors import Throttled

log = structlog.get_logger(__name__)
_UNITS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600, "d": 86_400, "day": 86_400}
_RATE = re.compile(r"(\d+)\s*/\s*(\d*)\s*([a-z]+)")


@lru_cache
def parse(rate: str) -> tuple[int, int] | None:
    """Return (count, seconds) of `30/min` or `300/5min`, None for `0` (none). Raises ValueError."""
    if rate.strip() in {"", "0"}:
        return None
    match = _RATE.fullmatch(rate.strip())
    if not match or match[3] not in _UNITS:
        raise ValueError(f"{rate!r} is not a rate such as 30/min or 300/5min")
    return int(match[1]), int(match[2] or 1) * _UNITS[match[3]]


def allow(*, name: str, key: str) -> None:
    """Count one use and pass, or raise Throttled with the seconds until the window ends."""
    wait = hit(name=name, key=key)
    if wait is not None:
        raise Throttled(retry_after=wait)


def hit(*, name: str, key: str) -> float | None:
    """Count one use; return None while within the rate, else the seconds to wait."""
    rate = parse(settings.RATE_LIMITS[name])
    if rate is None:
        return None
    limit, seconds = rate
    now = time.time()
    window = int(now // seconds)
    slot = f"rate:{name}:{key}:{window}"
    try:
        cache.add(slot, 0, timeout=seconds + 1)
        count = cache.incr(slot)
    except Exception:  # the cache is away: count on, in this process alone
        log.warning("rates.cache_away", rate=name)
        count = _local_incr(slot, now, seconds)
    return None if count <= limit else (window + 1) * seconds - now


_local: dict[str, tuple[float, int]] = {}
_local_lock = threading.Lock()


def _local_incr(slot: str, now: float, seconds: int) -> int:
    with _local_lock:
        if len(_local) > 10_000:
            for old in [key for key, (ends, _) in _local.items() if ends < now]:
                del _local[old]
        ends, count = _local.get(slot, (now + seconds, 0))
        _local[slot] = (ends, count + 1)
        return count + 1
