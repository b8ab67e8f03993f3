"""Who is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class State:
    online: bool = False
    last_seen_at: datetime | None = None


def states(user_ids: Iterable[int]) -> dict[int, State]:
    """Return whether each of the people has an open socket on any process, and when they were last seen."""
    return {user_id: State() for user_id in user_ids}
