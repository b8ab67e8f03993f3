"""The event that a peer tells its members: Alviar's own shape, so that the frames weigh the same."""

import uuid
from datetime import UTC, datetime
from typing import Any

CONVERSATION = str(uuid.uuid4())


def event(seq: int, content: str, client_msg_id: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "conversation_uuid": CONVERSATION,
        "seq": seq,
        "kind": "message.created",
        "at": now,
        "actor_id": 1,
        "data": {
            "uuid": str(uuid.uuid4()),
            "conversation_uuid": CONVERSATION,
            "seq": seq,
            "sender": {"id": 1, "username": "person0000", "first_name": "", "last_name": ""},
            "content": content,
            "client_msg_id": client_msg_id,
            "reply_to": None,
            "attachments": [],
            "reactions": [],
            "mentions": [],
            "created_at": now,
            "edited_at": None,
            "deleted_at": None,
        },
    }
