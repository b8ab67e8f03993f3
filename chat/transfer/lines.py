"""The JSON lines of an exported conversation: what each kind of line holds, and which columns it fills.

A line refers only to lines before it. People go by their username, everything else by its uuid, so that numbers of one
database mean nothing in another; `seq`, `message_no` and every uuid stay what they are.
"""

from datetime import datetime
from typing import Any

FORMAT = 1
ROWS = 500  # read and written at a time: what bounds the memory
BYTES = 192 * 1024  # of one `bytes` line, before base64

CONVERSATION = (
    "uuid", "kind", "title", "description", "history_visible", "created_at", "updated_at", "last_seq",
    "last_message_no",
)  # fmt: skip
MEMBER = (
    "role", "joined_at", "joined_seq", "joined_message_no", "visible_after_seq", "left_at", "left_seq", "seen_seq",
    "seen_message_no", "seen_at", "muted_until", "pinned", "archived", "notify",
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

# Each counted in the last line and by whoever imports.
COUNTED = ("conversation", "member", "message", "revision", "reaction", "event", "attachment")


def columns(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the values that a line holds, times to the microsecond (the wire has milliseconds)."""
    values = {name: getattr(row, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
