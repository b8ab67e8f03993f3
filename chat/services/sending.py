"""Storing of new messages: one transaction and a dozen statements for a whole batch.

The order inside the transaction guarantees correctness: first the sessions are read and share-locked (a revoked session
never writes), then the conversations are locked in the order of their ids, and only then membership, repeats and blocks
are read, so that no member is removed and no repeat stored between the check and the write.
"""

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.utils.translation import gettext_lazy as _

from chat.log import encoding
from chat.log.published import Encoded, Published, Receipt, hand_over, hand_over_receipt
from chat.media import sent as sent_files
from chat.media.models import Attachment
from chat.media.payload import attachment as attachment_payload
from chat.models import Membership, Message
from chat.services import content as contents
from chat.services import mentions, store_sql
from chat.services.store_sql import Member, Room
from common import pipelined, shared_clock
from common.errors import (
    AccountClosed,
    ApplicationError,
    Blocked,
    IdempotencyConflict,
    NotFound,
    SlowMode,
    TokenNotValid,
    ValidationFailed,
)
from common.metrics import MESSAGES


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """A message to be stored. `session_id` is the session's row id, None for a request without a session."""

    user_id: int
    session_id: int | None
    conversation_uuid: uuid.UUID
    content: str
    client_msg_id: uuid.UUID | None = None
    reply_to: uuid.UUID | None = None
    attachments: tuple[uuid.UUID, ...] = ()
    connection_id: str = ""  # of the socket that sent it


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """Result of a stored message, for its `ack`. `duplicate`: it was stored before, nothing was written now."""

    message_uuid: uuid.UUID
    conversation_uuid: uuid.UUID
    seq: int
    created_at: datetime
    client_msg_id: uuid.UUID | None
    duplicate: bool


Outcome = Sent | Exception


def store(sends: Sequence[Send]) -> list[Outcome]:
    """Store all of `sends` in order; return for each the result or the reason of its refusal.

    A refusal does not affect the others. If the batch fails as a whole (a race for one `client_msg_id`, a value that
    the database refuses), each message is stored by itself, so that a bad one affects only itself.
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
    ) as error:  # the database is down: trying each message would take as long every time
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
    except IntegrityError:  # a parallel repeat has stored it meanwhile: the second try finds it
        return _store([send])


@dataclass(slots=True)
class _Row:
    """One message about to be written."""

    place: int
    send: Send
    room: Room
    uuid: uuid.UUID
    seq: int
    message_no: int
    digest: str
    reply_to: Message | None
    mentions: list[int]
    attachments: list[Attachment]
    id: int = 0


def _store(sends: Sequence[Send]) -> list[Outcome]:
    now = shared_clock.now()
    outcomes: list[Outcome | None] = [None] * len(sends)
    with pipelined.one_trip(), transaction.atomic():
        found = store_sql.read(
            session_ids={send.session_id for send in sends if send.session_id is not None},
            room_uuids={send.conversation_uuid for send in sends},
            user_ids={send.user_id for send in sends},
            client_msg_ids={send.client_msg_id for send in sends if send.client_msg_id is not None},
            at=now,
        )
        replied = _replied({send.reply_to for send in sends if send.reply_to is not None})
        unsent = sent_files.unsent({name for send in sends for name in send.attachments})
        written: list[_Row] = []
        repeats: dict[tuple[int, uuid.UUID], _Row] = {}
        for place, send in enumerate(sends):
            try:
                outcome = _admit(
                    send, place=place, found=found, repeats=repeats, replied=replied, unsent=unsent, at=now
                )
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
            store_sql.write(written, at=now, ids=any(row.attachments for row in written))
            sent_files.attach((row.id, row.attachments) for row in written if row.attachments)
            published = _encode(written, found.members, now)
            receipts = _receipts(written, found.members)
            transaction.on_commit(lambda: _publish(published, receipts), robust=True)
    return [outcome for outcome in outcomes if outcome is not None]


def _publish(published: list[Published], receipts: list[Receipt]) -> None:
    hand_over(published)
    for receipt in receipts:
        hand_over_receipt(receipt)


def _receipts(written: list[_Row], members: dict[tuple[int, int], Member]) -> list[Receipt]:
    """Return the read positions that the senders reach by sending: their own message.

    Other members get a receipt only if more than this message was unread; otherwise the message itself implies it.
    """
    last = {(row.room.id, row.send.user_id): row for row in written}
    first = {(row.room.id, row.send.user_id): row for row in reversed(written)}
    return [
        Receipt(
            conversation_id=row.room.id,
            conversation_uuid=row.room.uuid,
            user_id=row.send.user_id,
            up_to_seq=row.seq,
            moved=True,
            shared=members[key].share_receipts and members[key].seen_message_no < first[key].message_no - 1,
            by_connection=row.send.connection_id,
        )
        for key, row in last.items()
    ]


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
    send: Send,
    *,
    place: int,
    found: store_sql.Found,
    repeats: dict[tuple[int, uuid.UUID], _Row],
    replied: dict[uuid.UUID, Message],
    unsent: dict[uuid.UUID, Attachment],
    at: datetime,
) -> _Row | Sent:
    """Assign the message its numbers, or return the stored message that it repeats, or raise the refusal."""
    room = found.rooms.get(send.conversation_uuid)
    if send.session_id is not None and send.session_id not in found.living:
        raise TokenNotValid("session_revoked")
    # Membership before repeats: a removed user learns nothing more about the conversation, not even about own messages.
    if room is None or (room.id, send.user_id) not in found.members:
        raise NotFound
    digest = contents.digest(send.content, send.reply_to, send.attachments)
    if send.client_msg_id is not None:
        key = (send.user_id, send.client_msg_id)
        if (row := repeats.get(key)) is not None:
            if (row.digest, row.room.id) != (digest, room.id):
                raise IdempotencyConflict
            return _sent(row, at, duplicate=True)
        if (stored := found.known.get(key)) is not None:
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
    if room.id in found.closed:
        raise AccountClosed
    if room.id in found.blocked:
        raise Blocked
    membership = found.members[room.id, send.user_id]
    _require_slowness(room, membership, at)
    contents.require_sayable(send.content, may_be_empty=bool(send.attachments))
    answered = None
    if send.reply_to is not None:
        answered = replied.get(send.reply_to)
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
    membership.last_sent_at = at
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


def _require_slowness(room: Room, member: Member, at: datetime) -> None:
    """Raise SlowMode if the group's slow mode makes this member wait; owners and admins are free."""
    if not room.slow_mode_seconds or member.last_sent_at is None or member.role != Membership.Role.MEMBER:
        return
    wait_s = room.slow_mode_seconds - (at - member.last_sent_at).total_seconds()
    if wait_s > 0:
        raise SlowMode(retry_after=min(wait_s, room.slow_mode_seconds))  # the clock may have been ahead


def _replied(uuids: set[uuid.UUID]) -> dict[uuid.UUID, Message]:
    return {row.uuid: row for row in Message.objects.filter(uuid__in=uuids)} if uuids else {}


def mentions_of(content: str, *, conversation_id: int, sender_id: int | None, seq: int) -> list[int]:
    """Return the ids of the members that the text of message `seq` mentions, in order.

    Never non-members, oneself, or members from whom the message is hidden.
    """
    found = mentions.mentioned(content)
    members = _members_named({conversation_id}, {name for names in found for name in names}, visible_to=seq)
    return [user_id for user_id in mentions.chosen(found, members.get(conversation_id, {})) if user_id != sender_id]


def _resolve_mentions(written: list[_Row]) -> None:
    found = {row.place: mentions.mentioned(row.send.content) for row in written}
    wanted = {name for one in found.values() for names in one for name in names}
    members = _members_named({row.room.id for row in written if found[row.place]}, wanted)
    for row in written:
        meant = mentions.chosen(found[row.place], members.get(row.room.id, {}))
        row.mentions = [user_id for user_id in meant if user_id != row.send.user_id]


def _members_named(
    conversation_ids: set[int], names: set[str], *, visible_to: int | None = None
) -> dict[int, dict[str, int]]:
    """Return the members with these folded names, by conversation and name."""
    if not names:
        return {}
    found = Membership.objects.living().filter(user__search_username__in=names, conversation_id__in=conversation_ids)
    if visible_to is not None:
        found = found.filter(visible_after_seq__lt=visible_to)
    members: dict[int, dict[str, int]] = defaultdict(dict)
    for conversation_id, user_id, name in found.values_list("conversation_id", "user_id", "user__search_username"):
        members[conversation_id][name] = user_id
    return members


def _encode(written: list[_Row], members: dict[tuple[int, int], Member], now: datetime) -> list[Published]:
    """Encode each message from the data at hand; only replies need a query for their senders."""
    replied_people = encoding.people(row.reply_to.sender_id for row in written if row.reply_to is not None)
    by_room: dict[int, list[Encoded]] = defaultdict(list)
    for row in written:
        answered = row.reply_to
        data = encoding.message_dict(
            uuid=row.uuid,
            conversation_uuid=row.room.uuid,
            seq=row.seq,
            sender=encoding.person(members[row.room.id, row.send.user_id]),
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
