"""One open socket, as processes share it: `opened_at:sid:beaten_at` under the user and the connection."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from common import shared_clock

LIFETIME_SECONDS = 35  # together with the longest sweep interval below the 60 s allowed for a killed process
SEEN_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Entry:
    """One open socket."""

    user_id: int
    sid: uuid.UUID
    connection_id: str
    opened_at: float  # seconds since 1970


def value_of(entry: Entry) -> str:
    return f"{entry.opened_at}:{entry.sid.hex}:{int(shared_clock.time())}"


def living(user_id: int, found: Mapping[str, str]) -> list[Entry]:
    """Return the entries that their process still renews; `found` maps connections to values."""
    entries = []
    for name, value in found.items():
        opened_at, sid, beaten_at = value.split(":")
        if shared_clock.time() - int(beaten_at) <= LIFETIME_SECONDS:
            entries.append(Entry(user_id, uuid.UUID(sid), name, float(opened_at)))
    return entries
