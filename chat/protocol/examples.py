"""An example of every frame and every event, for AsyncAPI. A test parses those of the client and validates all."""

from typing import Any

CONVERSATION, MESSAGE = "0b9f2c7e-6c1d-4f0e-9a57-3d2f1c4b8a60", "7c6d1f2a-8e3b-4a90-b1d4-5e9f0a7c3b21"
CLIENT_MSG_ID = "5f0c2a1e-4b7d-4c58-9d3e-2a6b8f1e7c90"
NOW, LATER = "2026-11-21T10:00:00.123Z", "2026-11-21T11:00:00.000Z"
EPOCH = "k3x9"
ALICE = {"id": 42, "username": "alice", "first_name": "Alice", "last_name": "Moreau"}
TOKEN = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"  # noqa: S105  # of nobody

CLIENT: dict[str, dict[str, Any]] = {
    "message": {"conversation_uuid": CONVERSATION, "content": "The tide is out", "client_msg_id": CLIENT_MSG_ID},
    "mark_as_seen": {"conversation_uuid": CONVERSATION, "up_to_seq": 17},
    "edit": {"message_uuid": MESSAGE, "content": "The tide is in", "ref": 7},
    "delete": {"message_uuid": MESSAGE, "ref": 8},
    "react": {"message_uuid": MESSAGE, "emoji": "🌊"},
    "resume": {"epoch": EPOCH, "cursors": {CONVERSATION: 16}},
    "sync": {"conversation_uuid": CONVERSATION, "after_seq": 14},
    "typing": {"conversation_uuid": CONVERSATION, "active": True},
    "presence": {"user_ids": [43, 44]},
    "authenticate": {"token": TOKEN},
    "ping": {"ref": "p1"},
}

_MESSAGE = {
    "uuid": MESSAGE,
    "conversation_uuid": CONVERSATION,
    "seq": 17,
    "sender": ALICE,
    "content": "The tide is out",
    "client_msg_id": CLIENT_MSG_ID,
    "reply_to": None,
    "attachments": [],
    "reactions": [],
    "mentions": [],
    "created_at": NOW,
    "edited_at": None,
    "deleted_at": None,
}
_REACTION = {"message_uuid": MESSAGE, "emoji": "🌊", "user_id": 43}
_CONVERSATION = {"uuid": CONVERSATION, "kind": "group", "title": "Garden", "description": "Who waters what"}
_ATTACHMENT = {"uuid": "4e8b0a6c-1d7f-4b39-8c52-9a3e5f7d2c10", "kind": "image", "state": "ready"}
_DATA: dict[str, dict[str, Any]] = {
    "message.created": _MESSAGE,
    "message.edited": {**_MESSAGE, "content": "The tide is in", "edited_at": LATER},
    "message.deleted": {**_MESSAGE, "content": "", "deleted_at": LATER},
    "reaction.added": _REACTION,
    "reaction.removed": _REACTION,
    "attachment.ready": {"message_uuid": MESSAGE, "attachment": _ATTACHMENT},
    "member.joined": {"user": ALICE, "role": "member"},
    "member.left": {"user": ALICE, "role": None},
    "member.role_changed": {"user": ALICE, "role": "admin"},
    "conversation.created": _CONVERSATION,
    "conversation.updated": {**_CONVERSATION, "title": "Garden and balcony"},
}
EVENTS: dict[str, dict[str, Any]] = {
    kind: {"kind": kind, "conversation_uuid": CONVERSATION, "seq": 17, "at": NOW, "actor_id": 42, "data": data}
    for kind, data in _DATA.items()
}

SERVER: dict[str, dict[str, Any]] = {
    "hello": {
        "v": 1,
        "connection_id": "c7f2a0",
        "session_id": "d3a1b7f0-2c4e-4d86-9f15-8b0c6e7a4d32",
        "user_id": 42,
        "epoch": EPOCH,
        "server_time": NOW,
        "heartbeat_interval_ms": 25000,
        "token_expires_at": LATER,
        "auth_time": NOW,
        "amr": ["pwd"],
        "limits": {"frame_bytes": 65536, "content_chars": 4000, "messages_per_10s": 50},
    },
    "ack": {
        "client_msg_id": CLIENT_MSG_ID,
        "message_uuid": MESSAGE,
        "conversation_uuid": CONVERSATION,
        "seq": 17,
        "created_at": NOW,
        "duplicate": False,
    },
    "events": {"events": [EVENTS["message.created"]]},
    "gap": {"conversation_uuid": CONVERSATION, "from_seq": 15, "last_seq": 1017},
    "receipt": {"conversation_uuid": CONVERSATION, "user_id": 43, "up_to_seq": 17},
    "typing": {"conversation_uuid": CONVERSATION, "user_id": 43, "active": True},
    "presence": {"users": [{"user_id": 43, "online": False, "last_seen_at": NOW}]},
    "removed": {"conversation_uuid": CONVERSATION},
    "resumed": {},
    "pong": {"ref": "p1", "server_time": NOW},
    "authenticated": {"token_expires_at": LATER},
    "token_expiring": {"in_s": 60},
    "error": {
        "client_msg_id": CLIENT_MSG_ID,
        "code": "throttled",
        "detail": "Too many requests. Please slow down.",
        "retryable": True,
        "retry_after_ms": 4000,
    },
    "bye": {"code": "server_drain", "close": 4410, "reconnect_in_ms": 1200},
}


def frame(kind: str, *, by_client: bool) -> dict[str, Any]:
    """Return the example of a frame with its `type`."""
    return {"type": kind, **(CLIENT if by_client else SERVER)[kind]}
