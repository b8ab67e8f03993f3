"""Frames that the server sends, and the `error` frame for each application error."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext as _

from chat.log.published import Encoded
from chat.protocol.incoming import FrameRefused
from chat.services.content import TooLong
from common import json
from common.errors import (
    ApplicationError,
    Blocked,
    IdempotencyConflict,
    NotFound,
    PermissionRefused,
    TemporarilyUnavailable,
    Throttled,
    TokenNotValid,
    ValidationFailed,
    from_exception,
)

VERSION = 1


@dataclass(kw_only=True, slots=True)
class Outgoing:
    """`None` in a field that may be absent means absent."""

    TYPE: ClassVar[str] = ""

    def encode(self) -> bytes:
        body = {"type": self.TYPE}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None:
                body[one.name] = value
        return json.dumps(body)


@dataclass(kw_only=True, slots=True)
class Limits:
    frame_bytes: int
    content_chars: int
    messages_per_10s: int = field(metadata={"description": "0: no limit."})


@dataclass(kw_only=True, slots=True)
class HelloFrame(Outgoing):
    """The first frame. From here on the socket is live."""

    TYPE: ClassVar[str] = "hello"
    v: int = VERSION
    connection_id: str
    session_id: UUID
    user_id: int
    epoch: str
    server_time: datetime
    heartbeat_interval_ms: int
    token_expires_at: datetime
    limits: Limits


@dataclass(kw_only=True, slots=True)
class AckFrame(Outgoing):
    """Stored. `duplicate`: it had been before."""

    TYPE: ClassVar[str] = "ack"
    ref: str | int | None = None
    client_msg_id: UUID | None = None
    message_uuid: UUID
    conversation_uuid: UUID
    seq: int
    created_at: datetime
    duplicate: bool


@dataclass(kw_only=True, slots=True)
class EventShape:
    """One event of a conversation's log."""

    conversation_uuid: UUID
    seq: int
    kind: str
    at: datetime
    actor_id: int | None
    data: dict[str, Any]


@dataclass(kw_only=True, slots=True)
class EventsFrame(Outgoing):
    """Events in order: live, of a catch-up, or of a burst, all in one shape."""

    TYPE: ClassVar[str] = "events"
    ref: str | int | None = None
    events: list[EventShape]


@dataclass(kw_only=True, slots=True)
class GapFrame(Outgoing):
    """Too far behind: drop the conversation, read its newest page by REST, take `last_seq` as the cursor."""

    TYPE: ClassVar[str] = "gap"
    ref: str | int | None = None
    conversation_uuid: UUID
    from_seq: int = field(metadata={"description": "The first one missing."})
    last_seq: int


@dataclass(kw_only=True, slots=True)
class ReceiptFrame(Outgoing):
    """Somebody has seen everything up to `up_to_seq`."""

    TYPE: ClassVar[str] = "receipt"
    ref: str | int | None = None
    conversation_uuid: UUID
    user_id: int
    up_to_seq: int


@dataclass(kw_only=True, slots=True)
class TypingShownFrame(Outgoing):
    """Somebody is typing, or no longer."""

    TYPE: ClassVar[str] = "typing"
    conversation_uuid: UUID
    user_id: int
    active: bool


@dataclass(kw_only=True, slots=True)
class PresenceOf:
    user_id: int
    online: bool
    last_seen_at: datetime | None


@dataclass(kw_only=True, slots=True)
class PresenceShownFrame(Outgoing):
    """Who is there, of those that were asked for."""

    TYPE: ClassVar[str] = "presence"
    ref: str | int | None = None
    users: list[PresenceOf]


@dataclass(kw_only=True, slots=True)
class RemovedFrame(Outgoing):
    """No longer a member."""

    TYPE: ClassVar[str] = "removed"
    conversation_uuid: UUID


@dataclass(kw_only=True, slots=True)
class ResumedFrame(Outgoing):
    """The catch-up is complete; what follows is live."""

    TYPE: ClassVar[str] = "resumed"
    ref: str | int | None = None


@dataclass(kw_only=True, slots=True)
class PongFrame(Outgoing):
    TYPE: ClassVar[str] = "pong"
    ref: str | int | None = None
    server_time: datetime


@dataclass(kw_only=True, slots=True)
class AuthenticatedFrame(Outgoing):
    """The newer token holds."""

    TYPE: ClassVar[str] = "authenticated"
    ref: str | int | None = None
    token_expires_at: datetime


@dataclass(kw_only=True, slots=True)
class TokenExpiringFrame(Outgoing):
    """Refresh, then `authenticate`."""

    TYPE: ClassVar[str] = "token_expiring"
    in_s: int


@dataclass(kw_only=True, slots=True)
class ErrorFrame(Outgoing):
    """A frame was refused; the socket lives on, unless it is the answer to a handshake."""

    TYPE: ClassVar[str] = "error"
    ref: str | int | None = None
    client_msg_id: str | int | None = None
    code: str
    detail: str
    retryable: bool
    retry_after_ms: int | None = None


@dataclass(kw_only=True, slots=True)
class ByeFrame(Outgoing):
    """Just before the server closes."""

    TYPE: ClassVar[str] = "bye"
    code: str
    close: int
    reconnect_in_ms: int | None = None


OUTGOING: tuple[type[Outgoing], ...] = (
    HelloFrame, AckFrame, EventsFrame, GapFrame, ReceiptFrame, TypingShownFrame, PresenceShownFrame, RemovedFrame,
    ResumedFrame, PongFrame, AuthenticatedFrame, TokenExpiringFrame, ErrorFrame, ByeFrame,
)  # fmt: skip

ERROR_CODES = (
    "bad_frame", "unknown_type", "conversation_required", "not_found", "permission_denied", "blocked",
    "validation_error", "too_long", "throttled", "idempotency_conflict", "token_not_valid",
    "temporarily_unavailable", "internal",
)  # fmt: skip

EVENT_KINDS = (
    "message.created", "message.edited", "message.deleted", "reaction.added", "reaction.removed", "member.joined",
    "member.left", "member.role_changed", "conversation.created", "conversation.updated",
)  # fmt: skip

RETRYABLE = {"throttled", "temporarily_unavailable", "internal"}


def encode_events(events: Iterable[Encoded], *, ref: Any = None) -> bytes:
    """Write an `events` frame of events that are encoded already."""
    start = b'{"type":"events",' if ref is None else b'{"type":"events","ref":' + json.dumps(ref) + b","
    return start + b'"events":[' + b",".join([event.raw for event in events]) + b"]}"


def error_of(exc: Exception, *, ref: Any = None, client_msg_id: Any = None) -> ErrorFrame:
    """Return the `error` that answers a frame whose handling raised `exc`."""
    if isinstance(exc, FrameRefused):
        return ErrorFrame(
            ref=exc.ref if ref is None else ref,
            client_msg_id=exc.client_msg_id if client_msg_id is None else client_msg_id,
            code=exc.code,
            detail=exc.detail,
            retryable=exc.code in RETRYABLE,
        )
    error = from_exception(exc) or ApplicationError(_("Something went wrong on our side."))
    code = code_of(error)
    return ErrorFrame(
        ref=ref,
        client_msg_id=client_msg_id,
        code=code,
        detail=str(error.detail),
        retryable=code in RETRYABLE,
        retry_after_ms=None if error.retry_after is None else error.retry_after * 1000,
    )


def code_of(error: ApplicationError) -> str:
    match error:
        case TooLong():
            return "too_long"
        case (
            ValidationFailed() | NotFound() | PermissionRefused() | Blocked() | Throttled() | IdempotencyConflict()
            | TokenNotValid() | TemporarilyUnavailable()
        ):  # fmt: skip
            return error.code
        case _:
            return "internal"
