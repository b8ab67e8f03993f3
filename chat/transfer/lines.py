"""Format of the exported JSON lines: the kinds of lines and the columns of each.

A line refers only to earlier lines. Users are identified by username, everything else by uuid, since row ids differ
between databases; `seq`, `message_no` and every uuid are kept.
"""

from datetime import datetime
from typing import Any

FORMAT = 1
ROWS = 500  # read and written at a time, which limits the memory
BYTES = 192 * 1024  # per `bytes` line, before base64

CONVERSATION = (
    "uuid", "kind", "title", "description", "history_visible", "slow_mode_seconds", "created_at",
    "updated_at", "last_seq", "last_message_no",
)  # fmt: skip
MEMBER = (
    "role", "joined_at", "joined_seq", "joined_message_no", "visible_after_seq", "left_at", "left_seq", "seen_seq",
    "seen_message_no", "seen_at", "last_sent_at", "muted_until", "pinned", "archived", "notify",
)  # fmt: skip
MESSAGE = (
    "uuid", "seq", "message_no", "content", "client_msg_id", "content_digest", "created_at", "edited_at", "deleted_at",
)  # fmt: skip
REVISION = ("content", "replaced_at")
REACTION = ("emoji", "created_at")
EVENT = ("seq", "kind", "at")
ATTACHMENT = (
    "uuid", "place", "state", "kind", "name", "content_type", "size", "width", "height", "duration_ms", "thumbhash",
    "waveform", "has_thumbnail", "created_at",
)  # fmt: skip

# Columns that files of earlier versions lack.
ADDED: dict[str, Any] = {"slow_mode_seconds": 0, "last_sent_at": None}

# Counted in the last line and by the import.
COUNTED = ("conversation", "member", "message", "revision", "reaction", "event", "attachment")


def columns(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the column values for a line, times to the microsecond (the API has milliseconds)."""
    values = {name: getattr(row, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
