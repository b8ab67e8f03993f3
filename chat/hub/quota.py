"""Rate limit for one socket."""

import time
from collections import deque


class Quota:
    """At most `limit` in any `seconds` (0: no limit). `over` counts the refusals since the last success."""

    __slots__ = ("limit", "over", "seconds", "times")

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds, self.over = limit, seconds, 0
        self.times: deque[float] | None = None

    @property
    def is_full(self) -> bool:
        return bool(self.limit) and self.times is not None and len(self.times) >= self.limit

    def take(self, now: float | None = None) -> float | None:
        """Count one and return None, or the seconds to wait if over the limit."""
        if not self.limit:
            return None
        now = time.monotonic() if now is None else now
        if self.times is None:
            self.times = deque()
        times = self.times
        while times and times[0] <= now - self.seconds:
            times.popleft()
        if len(times) >= self.limit:
            self.over += 1
            return times[0] + self.seconds - now
        times.append(now)
        self.over = 0
        return None
