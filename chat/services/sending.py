"""Store messages: one transaction and a dozen statements for however many are sent at the same time.

The order inside the transaction is what makes it right: the sessions are read first and share-locked (a revoked session
writes nothing, at any time), then the conversations are locked in the order of their ids, and only then membership,
repeats and blocks are read, so that no member is removed and no repeat stored between the look and the write.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.log import encoding
from chat.log.published import Encoded, Published, hand_over
from chat.media import sent as sent_files
from chat.media.models import Attachment
from chat.media.payload import attachment as attachment_payload
from chat.models import Block, Conversation, Event, Membership, Mention, Message
from chat.services import content as contents
from common import bulk_insert
from common.errors import (
    ApplicationError,
    Blocked,
    IdempotencyConflict,
    NotFound,
    TokenNotValid,
    ValidationFailed,
)
from common.metrics import MESSAGES
from sessions.validity import living_ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """A message on its way in. `session_id` is the session's row, None for a request without one."""

    user_id: int
    session_id: int | None
    conversation_uuid: uuid.UUID
    content: str
    client_msg_id: uuid.UUID | None = None
    reply_to: uuid.UUID | None = None
    attachments: tuple[uuid.UUID, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What an `ack` tells. `duplicate`: it had been stored before, nothing was written now."""

    message_uuid: uuid.UUID
    conversation_uuid: uuid.UUID
    seq: int
    created_at: datetime
    client_msg_id: uuid.UUID | None
    duplicate: bool


Outcome = Sent | Exception


def store(sends: Sequence[Send]) -> list[Outcome]:
    """Store all of `sends` in their order; return for each what was stored or why it was refused.

    Refusals harm nobody else. If the batch as a whole fails (two batches race for one `client_msg_id`, a value that the
    database does not take), each message is tried by itself, so that a poisonous one harms only itself.
    """
    outcomes = _store_each(sends)
    MESSAGES.inc(sum(not isinstance(outcome, Exception) and not outcome.duplicate for outcome in outcomes))
    return outcomes


def _store_each(sends: Sequence[Send]) -> list[Outcome]:
    try:
        return _store(sends)
    except (
        OperationalError,
        InterfaceError,
    ) as error:  # the database is away: trying each would take as long again for each
        return [error] * len(sends)
    except Exception as error:
        if len(sends) == 1 and not isinstance(error, IntegrityError):
            return [error]
    outcomes: list[Outcome] = []
    for send in sends:
        try:
            outcomes += _once_more_if_raced(send)
        except Exception as error:
            outcomes.append(error)
    return outcomes


def _once_more_if_raced(send: Send) -> list[Outcome]:
    try:
        return _store([send])
    except IntegrityError:  # stored by a parallel repeat meanwhile: now it is found
        return _store([send])


@dataclass(slots=True)
class _Room:
    """A locked conversation and what the batch adds to it."""

    id: int
    uuid: uuid.UUID
    kind: str
    seq: int
    message_no: int


@dataclass(slots=True)
class _Row:
    """One message about to be written."""

    place: int
    send: Send
    room: _Room
    uuid: uuid.UUID
    seq: int
    message_no: int
    digest: str
    reply_to: Message | None
    mentions: list[int]
    attachments: list[Attachment]
    id: int = 0


def _store(sends: Sequence[Send]) -> list[Outcome]:
    now = timezone.now()
    outcomes: list[Outcome | None] = [None] * len(sends)
    with transaction.atomic():
        living = living_ids({send.session_id for send in sends if send.session_id is not None})
        rooms = _locked_rooms({send.conversation_uuid for send in sends})
        members = _members(rooms, {send.user_id for send in sends})
        known = _known(sends)
        blocked = _blocked(rooms, members)
        replied = _replied({send.reply_to for send in sends if send.reply_to is not None})
        unsent = sent_files.unsent({name for send in sends for name in send.attachments})
        written: list[_Row] = []
        repeats: dict[tuple[int, uuid.UUID], _Row] = {}
        for place, send in enumerate(sends):
            try:
                room = rooms.get(send.conversation_uuid)
                outcome = _admit(place, send, room, living, members, known, repeats, blocked, replied, unsent, now)
            except ApplicationError as error:
                outcomes[place] = error
                continue
            if isinstance(outcome, Sent):
                outcomes[place] = outcome
                continue
            written.append(outcome)
            if send.client_msg_id is not None:
                repeats[send.user_id, send.client_msg_id] = outcome
            outcomes[place] = _sent(outcome, now)
        if written:
            _resolve_mentions(written)
            _write(written, now)
            published = _encode(written, members, now)
            transaction.on_commit(lambda: hand_over(published), robust=True)
    return [outcome for outcome in outcomes if outcome is not None]


def _sent(row: _Row, now: datetime, *, duplicate: bool = False) -> Sent:
    return Sent(
        message_uuid=row.uuid,
        conversation_uuid=row.room.uuid,
        seq=row.seq,
        created_at=now,
        client_msg_id=row.send.client_msg_id,
        duplicate=duplicate,
    )


def _admit(
    place: int,
    send: Send,
    room: _Room | None,
    living: set[int],
    members: dict[tuple[int, int], Any],
    known: dict[tuple[int, uuid.UUID], Message],
    repeats: dict[tuple[int, uuid.UUID], _Row],
    blocked: set[int],
    replied: dict[uuid.UUID, Message],
    unsent: dict[uuid.UUID, Attachment],
    now: datetime,
) -> _Row | Sent:
    """Give the message its numbers, or return the first one of which it is a repeat, or raise why it is refused."""
    if send.session_id is not None and send.session_id not in living:
        raise TokenNotValid("session_revoked")
    # Membership before repeats: who was removed learns nothing more of the conversation, not even of an own message.
    if room is None or (room.id, send.user_id) not in members:
        raise NotFound
    digest = contents.digest(send.content, send.reply_to, send.attachments)
    if send.client_msg_id is not None:
        key = (send.user_id, send.client_msg_id)
        if (row := repeats.get(key)) is not None:
            if (row.digest, row.room.id) != (digest, room.id):
                raise IdempotencyConflict
            return _sent(row, now, duplicate=True)
        if (stored := known.get(key)) is not None:
            if (stored.content_digest, stored.conversation_id) != (digest, room.id):
                raise IdempotencyConflict
            return Sent(
                message_uuid=stored.uuid,
                conversation_uuid=room.uuid,
                seq=stored.seq,
                created_at=stored.created_at,
                client_msg_id=stored.client_msg_id,
                duplicate=True,
            )
    if room.id in blocked:
        raise Blocked
    contents.require_sayable(send.content, may_be_empty=bool(send.attachments))
    answered = None
    if send.reply_to is not None:
        answered = replied.get(send.reply_to)
        membership = members[room.id, send.user_id]
        if (
            answered is None
            or answered.conversation_id != room.id
            or answered.deleted_at is not None
            or answered.seq <= membership.visible_after_seq
        ):
            raise ValidationFailed.of("reply_to", "does_not_exist", _("This message is not in the conversation."))
    attached = sent_files.taken(unsent, send.attachments, user_id=send.user_id)
    room.seq += 1
    room.message_no += 1
    return _Row(
        place=place,
        send=send,
        room=room,
        uuid=uuid.uuid4(),
        seq=room.seq,
        message_no=room.message_no,
        digest=digest,
        reply_to=answered,
        mentions=[],
        attachments=attached,
    )


def _locked_rooms(uuids: set[uuid.UUID]) -> dict[uuid.UUID, _Room]:
    found = (
        Conversation.objects.select_for_update(no_key=True)
        .filter(uuid__in=uuids)
        .order_by("id")  # one order for everybody: two batches can never wait for each other
        .values_list("id", "uuid", "kind", "last_seq", "last_message_no")
    )
    return {row[1]: _Room(*row) for row in found}


def _members(rooms: dict[uuid.UUID, _Room], user_ids: set[int]) -> dict[tuple[int, int], Membership]:
    found = (
        Membership.objects.select_related("user")
        .filter(conversation_id__in=[room.id for room in rooms.values()], user_id__in=user_ids, left_seq=None)
        .only(
            "conversation_id",
            "visible_after_seq",
            "user__username",
            "user__first_name",
            "user__last_name",
            "user__closed_at",
        )
    )
    return {(row.conversation_id, row.user_id): row for row in found}


def _known(sends: Sequence[Send]) -> dict[tuple[int, uuid.UUID], Message]:
    """Return what was stored under these `client_msg_id`s before."""
    ids = [send.client_msg_id for send in sends if send.client_msg_id is not None]
    if not ids:
        return {}
    found = Message.objects.filter(client_msg_id__in=ids, sender_id__in={send.user_id for send in sends}).only(
        "uuid", "seq", "created_at", "client_msg_id", "sender_id", "content_digest", "conversation_id"
    )
    return {
        (row.sender_id, row.client_msg_id): row  # type: ignore[misc]
        for row in found
    }


def _blocked(rooms: dict[uuid.UUID, _Room], members: dict[tuple[int, int], Membership]) -> set[int]:
    """Return the direct conversations in which one of the two blocks the other."""
    direct = [room.id for room in rooms.values() if room.kind == Conversation.Kind.DIRECT]
    if not direct:
        return set()
    pairs: dict[int, list[int]] = defaultdict(list)
    for conversation_id, user_id in Membership.objects.filter(conversation_id__in=direct).values_list(
        "conversation_id", "user_id"
    ):
        pairs[conversation_id].append(user_id)
    everybody = {user_id for pair in pairs.values() for user_id in pair}
    blocks = set(
        Block.objects.filter(Q(blocker_id__in=everybody) & Q(blocked_id__in=everybody)).values_list(
            "blocker_id", "blocked_id"
        )
    )
    return {
        conversation_id
        for conversation_id, pair in pairs.items()
        if any((one, other) in blocks for one in pair for other in pair)
    }


def _replied(uuids: set[uuid.UUID]) -> dict[uuid.UUID, Message]:
    return {row.uuid: row for row in Message.objects.filter(uuid__in=uuids)} if uuids else {}


def mentions_of(content: str, *, conversation_id: int, sender_id: int | None, seq: int) -> list[int]:
    """Return the ids of the members whom the text of message `seq` mentions, in order.

    Never strangers, never oneself, and nobody from whom the message is hidden.
    """
    found = _members_named({conversation_id}, set(names := contents.mentioned(content)), visible_to=seq)
    ids = (found.get((conversation_id, name)) for name in names)
    return [user_id for user_id in dict.fromkeys(ids) if user_id and user_id != sender_id]


def _resolve_mentions(written: list[_Row]) -> None:
    names = {row.place: contents.mentioned(row.send.content) for row in written}
    wanted = {name for found in names.values() for name in found}
    members = _members_named({row.room.id for row in written if names[row.place]}, wanted)
    for row in written:
        ids = (members.get((row.room.id, name)) for name in names[row.place])
        row.mentions = [user_id for user_id in dict.fromkeys(ids) if user_id and user_id != row.send.user_id]


def _members_named(
    conversation_ids: set[int], names: set[str], *, visible_to: int | None = None
) -> dict[tuple[int, str], int]:
    """Return the members of these names, whatever case either is written in."""
    if not names:
        return {}
    named = reduce(or_, (Q(user__username__iexact=name) for name in names))
    found = Membership.objects.filter(named, conversation_id__in=conversation_ids, left_seq=None)
    if visible_to is not None:
        found = found.filter(visible_after_seq__lt=visible_to)
    return {
        (conversation_id, username.casefold()): user_id
        for conversation_id, user_id, username in found.values_list("conversation_id", "user_id", "user__username")
    }


_MESSAGE_COLUMNS = (
    "uuid", "conversation", "seq", "message_no", "sender", "content", "client_msg_id", "content_digest", "reply_to",
    "mentions", "created_at",
)  # fmt: skip
_EVENT_COLUMNS = ("conversation", "seq", "kind", "at", "actor", "message", "payload")


def _write(written: list[_Row], now: datetime) -> None:
    stored = bulk_insert.insert_returning(
        Message,
        _MESSAGE_COLUMNS,
        [
            (
                row.uuid, row.room.id, row.seq, row.message_no, row.send.user_id, row.send.content,
                row.send.client_msg_id, row.digest, row.reply_to.pk if row.reply_to else None, row.mentions, now,
            )
            for row in written
        ],
        ("conversation", "seq", "id"),
    )  # fmt: skip
    ids = {(conversation_id, seq): pk for conversation_id, seq, pk in stored}
    for row in written:
        row.id = ids[row.room.id, row.seq]
    bulk_insert.insert(
        Event,
        _EVENT_COLUMNS,
        [(row.room.id, row.seq, "message.created", now, row.send.user_id, row.id, {}) for row in written],
    )
    bulk_insert.insert(
        Mention,
        ("user", "conversation", "message", "message_no"),
        [(user_id, row.room.id, row.id, row.message_no) for row in written for user_id in row.mentions],
    )
    sent_files.attach((row.id, row.attachments) for row in written if row.attachments)
    _advance(written, now)


def _advance(written: list[_Row], now: datetime) -> None:
    """Move the conversations' heads and mark everything as seen by those who wrote."""
    last = {row.room.id: row for row in written}
    mine = {(row.room.id, row.send.user_id): row for row in written}
    at = connection.ops.adapt_datetimefield_value(now)
    name = connection.ops.quote_name
    conversation, membership = name(Conversation._meta.db_table), name(Membership._meta.db_table)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {conversation} SET last_seq = %s, last_message_no = %s, last_message_id = %s, updated_at = %s "  # noqa: S608
            "WHERE id = %s",
            [(row.seq, row.message_no, row.id, at, row.room.id) for row in last.values()],
        )
        cursor.executemany(
            f"UPDATE {membership} SET seen_seq = %s, seen_message_no = %s, seen_at = %s "  # noqa: S608
            "WHERE conversation_id = %s AND user_id = %s",
            [(row.seq, row.message_no, at, room_id, user_id) for (room_id, user_id), row in mine.items()],
        )


def _encode(written: list[_Row], members: dict[tuple[int, int], Membership], now: datetime) -> list[Published]:
    """Encode each message from what is at hand; only replies need a look at their senders."""
    replied_people = encoding.people(row.reply_to.sender_id for row in written if row.reply_to is not None)
    by_room: dict[int, list[Encoded]] = defaultdict(list)
    for row in written:
        answered = row.reply_to
        data = encoding.message_dict(
            uuid=row.uuid,
            conversation_uuid=row.room.uuid,
            seq=row.seq,
            sender=encoding.person(members[row.room.id, row.send.user_id].user),
            content=row.send.content,
            client_msg_id=row.send.client_msg_id,
            reply_to=encoding.excerpt(answered, replied_people.get(answered.sender_id)) if answered else None,  # type: ignore[arg-type]
            attached=[attachment_payload(one) for one in row.attachments],
            reactions=[],
            mentions=row.mentions,
            created_at=now,
        )
        by_room[row.room.id].append(
            encoding.encoded(
                encoding.event_shape(
                    conversation_uuid=row.room.uuid,
                    seq=row.seq,
                    kind="message.created",
                    at=now,
                    actor_id=row.send.user_id,
                    data=data,
                ),
                answered=answered,
            )
        )
    uuids = {row.room.id: row.room.uuid for row in written}
    return [Published(room_id, uuids[room_id], tuple(found)) for room_id, found in by_room.items()]
