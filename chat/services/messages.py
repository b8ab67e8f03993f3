"""Services of messages: send, edit, delete, react, history. Used by the socket and by REST."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists
from django.utils.translation import gettext_lazy as _

from chat.log import events
from chat.media import removal
from chat.models import Conversation, Event, Membership, Mention, Message, MessageRevision, Reaction
from chat.search import index
from chat.services import blocks, sending
from chat.services import content as contents
from chat.services import emoji as one_emoji
from chat.services.sending import Send, Sent
from common import shared_clock
from common.errors import NotFound, PermissionRefused, ValidationFailed
from common.text import is_blank
from sessions.services.validity import require_living

DISTINCT_REACTIONS = 50


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Result of an edit, deletion or reaction, for its `ack`; `seq` is the message's if nothing had to change."""

    message: Message
    conversation_uuid: uuid.UUID
    seq: int
    at: datetime


def send(
    *,
    user_id: int,
    session_id: int | None,
    conversation_uuid: uuid.UUID,
    content: str,
    client_msg_id: uuid.UUID | None = None,
    reply_to: uuid.UUID | None = None,
    attachments: Sequence[uuid.UUID] = (),
) -> Sent:
    """Store one message and return its result for the `ack`; a repeat is a duplicate and stores nothing.

    Raises NotFound, Blocked, IdempotencyConflict, ValidationFailed, TokenNotValid.
    """
    outcome = sending.store(
        [
            Send(
                user_id=user_id,
                session_id=session_id,
                conversation_uuid=conversation_uuid,
                content=content,
                client_msg_id=client_msg_id,
                reply_to=reply_to,
                attachments=tuple(attachments),
            )
        ]
    )[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@transaction.atomic
def edit(*, user_id: int, session_id: int | None, message_uuid: uuid.UUID, content: str) -> Changed:
    """Edit the content of one's own message; the earlier content is kept for moderators.

    Raises NotFound (also if deleted), PermissionRefused for another user's message or after `CHAT_EDIT_WINDOW`.
    """
    _require_living(session_id)
    conversation, _membership, message = _locked(user_id, message_uuid)
    if message.sender_id != user_id:
        raise PermissionRefused
    now = shared_clock.now()
    window = settings.CHAT_EDIT_WINDOW
    if window and now > message.created_at + timedelta(seconds=window):
        raise PermissionRefused(_("This message can no longer be changed."))
    blocks.refuse_blocked(conversation)
    contents.require_sayable(content, may_be_empty=is_blank(content) and message.attachments.exists())
    if content == message.content:
        return Changed(message=message, conversation_uuid=conversation.uuid, seq=message.seq, at=now)
    _keep_revision(message, by=user_id, at=now)
    message.content, message.edited_at = content, now
    message.mentions = _mention_anew(message)
    message.save(update_fields=["content", "edited_at", "mentions"])
    index.change(message)
    return _told(conversation, message, "message.edited", user_id, now)


@transaction.atomic
def delete(*, user_id: int, session_id: int | None, message_uuid: uuid.UUID) -> Changed:
    """Delete a message, as its sender or as owner or admin of the group. It keeps its `seq` and loses its content.

    Raises NotFound (also if already deleted), PermissionRefused.
    """
    _require_living(session_id)
    conversation, membership, message = _locked(user_id, message_uuid)
    moderates = conversation.kind == Conversation.Kind.GROUP and membership.role != Membership.Role.MEMBER
    if message.sender_id != user_id and not moderates:
        raise PermissionRefused
    return _take_back(conversation, message, user_id)


@transaction.atomic
def moderate(*, moderator_id: int, message_uuid: uuid.UUID) -> bool:
    """Delete a message as a moderator, who need not be a member; return whether it was still there."""
    conversation_id = Message.objects.filter(uuid=message_uuid).values_list("conversation_id", flat=True).first()
    if conversation_id is None:
        return False
    conversation = events.locked(conversation_id)
    message = Message.objects.filter(uuid=message_uuid, deleted_at=None).first()
    if message is None:
        return False
    _take_back(conversation, message, moderator_id)
    return True


def _take_back(conversation: Conversation, message: Message, user_id: int) -> Changed:
    now = shared_clock.now()
    _keep_revision(message, by=user_id, at=now)
    return empty(conversation, message, actor_id=user_id, at=now)


def empty(conversation: Conversation, message: Message, *, actor_id: int | None, at: datetime) -> Changed:
    """Delete content and attachments of a message in the *locked* conversation, and append `message.deleted`."""
    message.content, message.deleted_at, message.mentions = "", at, []
    message.save(update_fields=["content", "deleted_at", "mentions"])
    message.reactions.all().delete()
    removal.remove(message.attachments.all())
    index.remove(message)
    Mention.objects.filter(message=message).delete()
    return _told(conversation, message, "message.deleted", actor_id, at)


@transaction.atomic
def react(
    *, user_id: int, session_id: int | None, message_uuid: uuid.UUID, emoji: str, remove: bool = False
) -> Changed:
    """Add or remove one's own reaction. Idempotent. Raises NotFound, ValidationFailed, Blocked."""
    _require_living(session_id)
    # A reaction from before the emoji validation can still be removed.
    emoji = (one_emoji.qualified(emoji) or emoji) if remove else one_emoji.require(emoji)
    conversation, _membership, message = _locked(user_id, message_uuid)
    now = shared_clock.now()
    if remove:
        changed = Reaction.objects.filter(message=message, user_id=user_id, emoji=emoji).delete()[0] > 0
    else:
        blocks.refuse_blocked(conversation)
        _require_room(message, emoji)
        _reaction, changed = Reaction.objects.get_or_create(
            message=message, user_id=user_id, emoji=emoji, defaults={"created_at": now}
        )
    if not changed:
        return Changed(message=message, conversation_uuid=conversation.uuid, seq=message.seq, at=now)
    kind = "reaction.removed" if remove else "reaction.added"
    return _told(conversation, message, kind, user_id, now, {"emoji": emoji, "user_id": user_id})


def page(
    membership: Membership, *, before_seq: int | None, after_seq: int | None, limit: int
) -> tuple[list[Message], bool]:
    """Return a page of messages in ascending order, and whether there are more in the reading direction.

    Uses the index `(conversation, seq)`: the cost depends on the page, not on the conversation. Membership is a part of
    the same statement: nothing is shown to somebody who was removed since `membership` was read.
    """
    visible = Message.objects.filter(
        Exists(Membership.objects.living().filter(pk=membership.pk)),
        conversation_id=membership.conversation_id,
        seq__gt=max(membership.visible_after_seq, after_seq or 0),
    )
    if before_seq is not None:
        visible = visible.filter(seq__lt=before_seq)
    if after_seq is not None:
        found = list(visible.order_by("seq")[: limit + 1])
        return found[:limit], len(found) > limit
    found = list(visible.order_by("-seq")[: limit + 1])
    return found[:limit][::-1], len(found) > limit


def _require_living(session_id: int | None) -> None:
    if session_id is not None:
        require_living(session_id)


def _locked(user_id: int, message_uuid: uuid.UUID) -> tuple[Conversation, Membership, Message]:
    """Lock the message's conversation; return all three as read under the lock. Raises NotFound."""
    conversation_id = (
        Message.objects.visible_to(user_id).filter(uuid=message_uuid).values_list("conversation_id", flat=True).first()
    )
    if conversation_id is None:
        raise NotFound
    conversation = events.locked(conversation_id)
    membership = Membership.objects.living().filter(conversation=conversation, user_id=user_id).first()
    message = Message.objects.filter(uuid=message_uuid, deleted_at=None).first()
    if membership is None or message is None or message.seq <= membership.visible_after_seq:
        raise NotFound
    return conversation, membership, message


def _require_room(message: Message, emoji: str) -> None:
    used = set(message.reactions.values_list("emoji", flat=True).distinct())
    if emoji not in used and len(used) >= DISTINCT_REACTIONS:
        raise ValidationFailed.of("emoji", "too_many_reactions", _("This message has too many different reactions."))


def _keep_revision(message: Message, *, by: int, at: datetime) -> None:
    MessageRevision.objects.create(message=message, content=message.content, replaced_at=at, replaced_by_id=by)


def _mention_anew(message: Message) -> list[int]:
    found = sending.mentions_of(
        message.content,
        conversation_id=message.conversation_id,
        sender_id=message.sender_id,
        seq=message.seq,
    )
    Mention.objects.filter(message=message).exclude(user_id__in=found).delete()
    Mention.objects.bulk_create(
        [
            Mention(
                user_id=user_id,
                conversation_id=message.conversation_id,
                message=message,
                message_no=message.message_no,
            )
            for user_id in found
        ],
        ignore_conflicts=True,
    )
    return found


def _told(
    conversation: Conversation,
    message: Message,
    kind: str,
    user_id: int | None,
    at: datetime,
    payload: dict[str, object] | None = None,
) -> Changed:
    event: Event = events.append(conversation, kind=kind, actor_id=user_id, at=at, message=message, payload=payload)
    return Changed(message=message, conversation_uuid=conversation.uuid, seq=event.seq, at=at)
