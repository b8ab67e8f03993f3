"""Messages between processes: typed, versioned, and tolerant of other versions.

During a rolling deployment two versions talk to each other, so fields are only ever added, with a default, at the end.
A message of an unknown kind and unknown fields are ignored; `v` is the version of the sender. Each is a map in
MessagePack: `{"type": "hub", "o": process, "k": kind, "v": version, …}`.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import structlog

from chat.log.published import Encoded, Published, Receipt

log = structlog.get_logger(__name__)

VERSION = 1
INLINE_BYTES = 256 * 1024  # larger batches are only announced: other processes read them from the database


class Message(msgspec.Struct, frozen=True, tag_field="k", kw_only=True):
    v: int = VERSION

    def smaller(self) -> "list[Message]":
        """Return the same in smaller messages, in order; none if it cannot be divided."""
        return next((_halves(self, name) for name in ("u", "s", "c") if _is_long(getattr(self, name, 0))), [])


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1


def _halves(message: Message, name: str) -> list[Message]:
    items = getattr(message, name)
    middle = len(items) // 2
    return [msgspec.structs.replace(message, **{name: part}) for part in (items[:middle], items[middle:])]


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive events of one conversation. `events` is empty if they are too large to send."""

    conversation_id: int
    name: bytes  # the conversation's UUID
    events: list[Encoded]
    last_seq: int


class Events(Message, frozen=True, kw_only=True, tag="events"):
    b: list[Batch]

    def smaller(self) -> "list[Message]":
        """Return the same in two messages; one event that is too large is only announced."""
        if len(self.b) > 1:
            return _halves(self, "b")
        [batch] = self.b
        if len(batch.events) > 1:
            middle = len(batch.events) // 2
            first, second = batch.events[:middle], batch.events[middle:]
            parts = (
                msgspec.structs.replace(batch, events=first, last_seq=first[-1].seq),
                msgspec.structs.replace(batch, events=second),
            )
            return [Events(b=[part]) for part in parts]
        return [Events(b=[msgspec.structs.replace(batch, events=[])])] if batch.events else []


class ReceiptFields(msgspec.Struct, frozen=True):
    conversation_id: int
    conversation_uuid: str
    user_id: int
    up_to_seq: int
    moved: bool = True
    shared: bool = True


class ReceiptMoved(Message, frozen=True, kw_only=True, tag="receipt"):
    r: ReceiptFields

    @classmethod
    def of(cls, receipt: Receipt) -> "ReceiptMoved":
        return cls(
            r=ReceiptFields(
                receipt.conversation_id,
                str(receipt.conversation_uuid),
                receipt.user_id,
                receipt.up_to_seq,
                receipt.moved,
                receipt.shared,
            )
        )

    @property
    def receipt(self) -> Receipt:
        return Receipt(**{**msgspec.structs.asdict(self.r), "conversation_uuid": uuid.UUID(self.r.conversation_uuid)})


class TypingChanged(Message, frozen=True, kw_only=True, tag="typing"):
    c: int  # conversation
    u: int  # user
    a: bool  # active


class PresenceChanged(Message, frozen=True, kw_only=True, tag="presence"):
    u: list[int]  # users
    r: bool = False  # recheck who may see them


class ProcessLeft(Message, frozen=True, kw_only=True, tag="left"):
    """Users whose sockets a stopping process closed: other processes report those who do not return."""

    u: list[int]


class SessionsRevoked(Message, frozen=True, kw_only=True, tag="revoked"):
    s: list[str]  # session ids
    reason: str = ""


class UserSuspended(Message, frozen=True, kw_only=True, tag="suspended"):
    u: int


class SocketsSuperseded(Message, frozen=True, kw_only=True, tag="superseded"):
    c: list[str]  # connection ids


class Dropped(Message, frozen=True, kw_only=True, tag="dropped"):
    """The sender could not publish for a while: the others look into the database."""


Known = (
    Events
    | ReceiptMoved
    | TypingChanged
    | PresenceChanged
    | ProcessLeft
    | SessionsRevoked
    | UserSuspended
    | SocketsSuperseded
    | Dropped
)
KINDS = frozenset(one.__struct_config__.tag for one in Known.__args__)


def batch_of(published: Published) -> Batch:
    """Return the batch that is sent to other processes."""
    fits = sum(event.size for event in published.events) <= INLINE_BYTES
    return Batch(
        published.conversation_id,
        published.conversation_uuid.bytes,
        list(published.events) if fits else [],
        published.events[-1].seq,
    )


def to_wire(message: Message) -> dict[str, Any]:
    wire: dict[str, Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    return wire


def encoded(message: Message, *, origin: str, limit: int) -> Iterator[bytes]:
    """Encode a message, in several parts where the engine does not carry it whole."""
    wire = to_wire(message)
    payload = msgspec.msgpack.encode({"type": "hub", "o": origin, **wire})
    if len(payload) <= limit:
        yield payload
        return
    parts = message.smaller()
    if not parts:
        log.warning("hub.message_too_large", kind=wire["k"], bytes=len(payload))
    for part in parts:
        yield from encoded(part, origin=origin, limit=limit)


def from_wire(wire: dict[str, Any]) -> Known | None:
    """Decode a message; None if this version does not know or cannot read it."""
    kind = wire.get("k")
    if not isinstance(kind, str) or kind not in KINDS:
        return None
    try:
        return msgspec.convert(wire, Known, builtin_types=(bytes,))  # type: ignore[arg-type]
    except msgspec.ValidationError as error:
        log.warning("hub.message_unreadable", kind=kind, error=str(error))
        return None
