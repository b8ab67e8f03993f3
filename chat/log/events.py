"""The numbered event log of a conversation: lock its row, save the change, append the event; published after commit.

    with transaction.atomic():
        conversation = events.locked(conversation_id)
        ...
        events.append(conversation, kind="conversation.updated", actor_id=user_id, at=now, payload={...})

`payload` by kind: `member.*` `{user_id, role}`, `conversation.*` `{title, description}`, `reaction.*`
`{emoji, user_id}` and the message, `message.*` only the message. Users' names are not stored but read when the event
is encoded, so that a closed account's name is nowhere.
"""

import time
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from chat.log import encoding, published
from chat.log.published import Published
from chat.models import Conversation, Epoch, Event, Message
from common.errors import NotFound

EPOCH_SECONDS = 10.0


def locked(conversation_id: int) -> Conversation:
    """Lock the conversation's row and return its current state. Raises NotFound.

    Every change to a conversation or its members takes this lock first; several are taken in the order of their ids.
    """
    try:
        return Conversation.objects.select_for_update(no_key=True).get(pk=conversation_id)
    except Conversation.DoesNotExist:
        raise NotFound from None


def append(
    conversation: Conversation,
    *,
    kind: str,
    actor_id: int | None,
    at: datetime,
    message: Message | None = None,
    payload: dict[str, Any] | None = None,
) -> Event:
    """Store an event of the *locked* conversation with its next `seq`; it is published after commit."""
    return append_all(conversation, [(kind, payload or {})], actor_id=actor_id, at=at, message=message)[0]


def append_all(
    conversation: Conversation,
    entries: Iterable[tuple[str, dict[str, Any]]],
    *,
    actor_id: int | None,
    at: datetime,
    message: Message | None = None,
) -> list[Event]:
    """Store `(kind, payload)` entries in order, in two statements; they are published after commit only."""
    entries = list(entries)
    first = conversation.last_seq + 1
    conversation.last_seq += len(entries)
    conversation.updated_at = at
    conversation.save(update_fields=["last_seq", "updated_at"])
    rows = Event.objects.bulk_create(
        Event(
            conversation=conversation,
            seq=first + place,
            kind=kind,
            actor_id=actor_id,
            at=at,
            message=message,
            payload=payload,
        )
        for place, (kind, payload) in enumerate(entries)
    )
    publish_on_commit(conversation, rows)
    return rows


def publish_on_commit(conversation: Conversation, rows: list[Event]) -> None:
    """Encode the events and hand them to the hub once the transaction is committed.

    Encoded under the row lock, with the state at these events: a later edit must not reach users who have left by
    then.
    """
    batch = [Published(conversation.pk, conversation.uuid, tuple(encoding.encode(rows)))]
    # `robust`: the next sweep repairs a failure here, which must not turn a committed change into an error.
    transaction.on_commit(lambda: published.hand_over(batch), robust=True)


def epoch() -> str:
    """Return the id of this event log, created on first use; a restored backup gets a new one.

    Cached for some seconds, since each connect needs it: a backup restored under a running server is noticed by then.
    """
    global _epoch
    value, read_at = _epoch
    if not value or time.monotonic() - read_at > EPOCH_SECONDS:
        row, _created = Epoch.objects.get_or_create(pk=1, defaults={"value": str(uuid.uuid4())})
        value = row.value
        _epoch = (value, time.monotonic())
    return value


_epoch = ("", 0.0)


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"
