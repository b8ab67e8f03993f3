"""Frames that the server sends, and the `error` frame for each application error."""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _
from msgspec import Meta

from chat.log.published import Encoded
from chat.protocol.events import Time
from chat.protocol.incoming import FrameRefused
from chat.services.content import TooLong
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

_encoder = msgspec.json.Encoder(enc_hook=str)  # lazy translations

Echoed = Annotated[Any, Meta(description="As the client sent it.", extra_json_schema={"type": ["string", "integer"]})]


class Outgoing(msgspec.Struct, kw_only=True, tag_field="type", omit_defaults=True):
    """`None` in a field that may be absent means absent."""

    def encode(self) -> bytes:
        try:
            return _encoder.encode(self)
        except RecursionError:  # a deeply nested `ref` that was decoded on a shallower stack
            return _encoder.encode(msgspec.structs.replace(self, ref=None))  # type: ignore[call-arg]


class Limits(msgspec.Struct, kw_only=True):
    frame_bytes: int
    content_chars: int
    messages_per_10s: Annotated[int, Meta(description="0: no limit.")]


class HelloFrame(Outgoing, kw_only=True, tag="hello"):
    """The first frame. From here on the socket is live."""

    v: int
    connection_id: str
    session_id: UUID
    user_id: int
    epoch: str
    server_time: Time
    heartbeat_interval_ms: int
    token_expires_at: Time
    auth_time: Time
    amr: list[str]
    limits: Limits


class AckFrame(Outgoing, kw_only=True, tag="ack"):
    """Stored. `duplicate`: it had been before."""

    ref: Echoed = None
    client_msg_id: UUID | None = None
    message_uuid: UUID
    conversation_uuid: UUID
    seq: int
    created_at: Time
    duplicate: bool


class EventsFrame(Outgoing, kw_only=True, tag="events"):
    """Events in order: live, of a catch-up, or of a burst, all in one shape."""

    ref: Echoed = None
    events: list[dict[str, Any]]


class GapFrame(Outgoing, kw_only=True, tag="gap"):
    """Too far behind: drop the conversation, read its newest page by REST, take `last_seq` as the cursor."""

    ref: Echoed = None
    conversation_uuid: UUID
    from_seq: Annotated[int, Meta(description="The first one missing.")]
    last_seq: int


class ReceiptFrame(Outgoing, kw_only=True, tag="receipt"):
    """Somebody has seen everything up to `up_to_seq`."""

    ref: Echoed = None
    conversation_uuid: UUID
    user_id: int
    up_to_seq: int


class TypingShownFrame(Outgoing, kw_only=True, tag="typing"):
    """Somebody is typing, or no longer."""

    conversation_uuid: UUID
    user_id: int
    active: bool


class PresenceOf(msgspec.Struct, kw_only=True):
    user_id: int
    online: bool
    last_seen_at: Time | None


class PresenceShownFrame(Outgoing, kw_only=True, tag="presence"):
    """Who is there, of those that were asked for."""

    ref: Echoed = None
    users: list[PresenceOf]


class RemovedFrame(Outgoing, kw_only=True, tag="removed"):
    """No longer a member."""

    conversation_uuid: UUID


class ResumedFrame(Outgoing, kw_only=True, tag="resumed"):
    """The catch-up is complete; what follows is live."""

    ref: Echoed = None


class PongFrame(Outgoing, kw_only=True, tag="pong"):
    ref: Echoed = None
    server_time: Time


class AuthenticatedFrame(Outgoing, kw_only=True, tag="authenticated"):
    """The newer token holds."""

    ref: Echoed = None
    token_expires_at: Time


class TokenExpiringFrame(Outgoing, kw_only=True, tag="token_expiring"):
    """Refresh, then `authenticate`."""

    in_s: int


class ErrorFrame(Outgoing, kw_only=True, tag="error"):
    """A frame was refused; the socket lives on, unless it is the answer to a handshake."""

    ref: Echoed = None
    client_msg_id: Echoed = None
    code: str
    detail: str
    retryable: bool
    retry_after_ms: int | None = None
    reason: str | None = None  # of `throttled`: `slow_mode`, a wait in that conversation alone


class ByeFrame(Outgoing, kw_only=True, tag="bye"):
    """Just before the server closes."""

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

RETRYABLE = {"throttled", "temporarily_unavailable", "internal"}


def encode_events(events: Iterable[Encoded], *, ref: Any = None) -> bytes:
    """Return an `events` frame of already encoded events."""
    start = b'{"type":"events",' if ref is None else b'{"type":"events","ref":' + _encoder.encode(ref) + b","
    return start + b'"events":[' + b",".join([event.raw for event in events]) + b"]}"


def error_of(exc: Exception, *, ref: Any = None, client_msg_id: Any = None) -> ErrorFrame:
    """Return the `error` frame for an exception raised while handling a frame."""
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
        reason=error.reason or None if isinstance(error, Throttled) else None,
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
