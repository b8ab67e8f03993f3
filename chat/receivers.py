"""Signal receivers of the chat: closing and deletion of accounts, export, changed presence rules."""

from typing import Any

from django.db import transaction
from django.db.models import Case, CharField, F, OuterRef, Subquery, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce
from django.db.models.signals import post_delete, post_save
from django.utils import timezone

from chat.hub import tell
from chat.log import events
from chat.media import removal
from chat.media.models import Attachment
from chat.models import Block, ChatSettings, Event, Membership, Mention, Message, Report
from chat.services import members
from chat.services import settings as choices


def leave_everything(user_id: int, **kwargs: Any) -> None:
    """End every membership with `member.left`, handing over groups; erase settings, blocks and unread mentions.

    Messages stay for the other members and show no sender once the account is closed. Runs in the transaction that
    closes the account. Conversations are locked in the order of their ids, as everywhere.
    """
    _end_memberships(user_id, actor_id=user_id)
    removal.forget_person(user_id)
    ChatSettings.objects.filter(user_id=user_id).delete()
    Block.objects.filter(blocker_id=user_id).delete()
    Block.objects.filter(blocked_id=user_id).delete()
    Mention.objects.filter(user_id=user_id).delete()
    Report.objects.filter(reporter_id=user_id).update(reporter=None)


def leave_before_deletion(instance: Any, **kwargs: Any) -> None:
    """End the memberships of a user who is about to be deleted, with events for the others and new group owners.

    Otherwise a group could be left without an owner and with a wrong member count.
    """
    _end_memberships(instance.pk, actor_id=None)


def _end_memberships(user_id: int, *, actor_id: int | None) -> None:
    now = timezone.now()
    ids = Membership.objects.living().filter(user_id=user_id).order_by("conversation_id")
    for conversation_id in list(ids.values_list("conversation_id", flat=True)):
        conversation = events.locked(conversation_id)
        if member := members.living(conversation, user_id):
            members.end(conversation, member, actor_id=actor_id, at=now)


def export(user_id: int, **kwargs: Any) -> dict[str, Any]:
    """Return the user's own chat data for the export: messages, memberships, settings; nothing of others."""
    row = choices.of(user_id)
    settings = {
        "share_receipts": row.share_receipts,
        "share_presence": row.share_presence,
        "quiet_hours": choices.quiet_hours(row),
    }
    conversations = Membership.objects.filter(user_id=user_id).order_by("conversation_id")
    sent = Message.objects.filter(sender_id=user_id, deleted_at=None).order_by("pk")
    blocked = Block.objects.filter(blocker_id=user_id).order_by("pk")
    reports = Report.objects.filter(reporter_id=user_id).order_by("pk")
    return {
        "chat": {
            "settings": settings,
            "conversations": list(
                conversations.values(
                    "role", "joined_at", "left_at", "seen_seq", "muted_until", "pinned", "archived",
                    "notify",
                    uuid=F("conversation__uuid"), kind=F("conversation__kind"), title=_title_seen(),
                )
            ),
            "messages": list(
                sent.values(
                    "uuid", "seq", "content", "created_at", "edited_at", conversation_uuid=F("conversation__uuid")
                )
            ),
            "attachments": list(
                Attachment.objects.filter(uploader_id=user_id)
                .order_by("pk")
                .values(
                    "uuid", "name", "kind", "content_type", "size", "created_at", message_uuid=F("message__uuid")
                )
            ),
            "blocks": list(blocked.values("created_at", user_id=F("blocked_id"))),
            "reports": list(reports.values("uuid", "reason", "status", "created_at", message_uuid=F("message__uuid"))),
        }
    }  # fmt: skip


def _title_seen() -> Case:
    """Return the conversation's title; if the user has left, the last title that they saw."""
    titles = Event.objects.filter(
        conversation_id=OuterRef("conversation_id"),
        kind__in=["conversation.created", "conversation.updated"],
        seq__lte=OuterRef("left_seq"),
    ).order_by("-seq")
    last = Coalesce(Subquery(titles.values(title=KT("payload__title"))[:1], output_field=CharField()), Value(""))
    return Case(When(left_seq=None, then=F("conversation__title")), default=last)


def notice_presence_rules() -> None:
    """Register receivers that update presence when a block or a `share_presence` setting changes."""
    for signal in (post_save, post_delete):
        signal.connect(_block_changed, sender=Block, dispatch_uid="chat.block")
        signal.connect(_settings_changed, sender=ChatSettings, dispatch_uid="chat.settings")


def _block_changed(instance: Block, **kwargs: Any) -> None:
    transaction.on_commit(lambda: tell.tell_presence([instance.blocker_id]), robust=True)


def _settings_changed(instance: ChatSettings, **kwargs: Any) -> None:
    transaction.on_commit(lambda: tell.tell_presence([instance.user_id]), robust=True)
