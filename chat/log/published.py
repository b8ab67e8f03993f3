"""Hand-over of committed events from the log to the code that delivers them.

The log and the services call `hand_over` after commit; the hub and push register with `listen`. Neither side imports
the other.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec


class Encoded(msgspec.Struct, frozen=True, array_like=True):
    """One event, encoded once for all sockets. Other processes receive it in this form.

    Only ever append fields, with a default: a process of the previous version sends fewer and ignores further ones.
    """

    seq: int
    kind: str
    raw: bytes
    member_id: int | None = None  # for `member.*`: the user whose membership changes
    # Reduced versions as `(seq, raw)`, highest `seq` first: for members from whom everything up to `seq` is hidden.
    reduced: tuple[tuple[int, bytes], ...] = ()
    # Up to where history is hidden from now on: in `member.joined` for that member, in other events for all.
    visible_after: int | None = None

    def seen_from(self, visible_after: int) -> "Encoded":
        """Return the event for a member from whom everything up to `visible_after` is hidden."""
        for seq, raw in self.reduced:
            if visible_after >= seq:
                return msgspec.structs.replace(self, raw=raw, reduced=())
        return self

    @property
    def size(self) -> int:
        """Return the bytes of all versions together."""
        return len(self.raw) + sum(len(raw) for _seq, raw in self.reduced)


@dataclass(frozen=True, slots=True)
class Published:
    """Consecutive events of one conversation, committed."""

    conversation_id: int
    conversation_uuid: uuid.UUID
    events: tuple[Encoded, ...]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The position up to which a user has read. `moved`: it is further than before; `shared`: the others may know."""

    conversation_id: int
    conversation_uuid: uuid.UUID
    user_id: int
    up_to_seq: int
    moved: bool
    shared: bool
    by_connection: str = ""  # the socket that sent the message: its `ack` implies the position


_listeners: list[Callable[[list[Published]], None]] = []
_receipt_listeners: list[Callable[[Receipt], None]] = []


def hand_over(batch: list[Published]) -> None:
    """Pass committed events to every listener. Call after commit only."""
    for listener in _listeners:
        listener(batch)


def listen(listener: Callable[[list[Published]], None]) -> None:
    """Call `listener` with every committed batch, in the thread that committed it."""
    if listener not in _listeners:
        _listeners.append(listener)


def hand_over_receipt(receipt: Receipt) -> None:
    """Pass a committed read position to every listener. Call after commit only."""
    for listener in _receipt_listeners:
        listener(receipt)


def listen_to_receipts(listener: Callable[[Receipt], None]) -> None:
    """Call `listener` with every committed read position, in the thread that committed it."""
    if listener not in _receipt_listeners:
        _receipt_listeners.append(listener)
