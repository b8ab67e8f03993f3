"""Deletion of messages past their retention (`CHAT_RETENTION_…_DAYS`), including the copies for moderators."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.log import events
from chat.models import Conversation, Message, MessageRevision
from chat.services import messages
from common import purging


def _bounds() -> dict[str, datetime]:
    """Return the oldest creation time that is kept, by kind of conversation; a kind without one keeps everything."""
    days = {
        Conversation.Kind.DIRECT: settings.CHAT_RETENTION_DIRECT_DAYS,
        Conversation.Kind.GROUP: settings.CHAT_RETENTION_GROUP_DAYS,
    }
    now = timezone.now()
    return {kind: now - timedelta(days=count) for kind, count in days.items() if count}


def _older(bounds: dict[str, datetime], prefix: str = "") -> Q:
    # The latest bound is repeated on its own, because the index can answer only that one.
    past = Q()
    for kind, before in bounds.items():
        past |= Q(**{f"{prefix}conversation__kind": kind, f"{prefix}created_at__lt": before})
    return past & Q(**{f"{prefix}created_at__lt": max(bounds.values())})


def due_messages(bounds: dict[str, datetime]) -> QuerySet[Message]:
    """Return the expired messages, oldest first; read from the index `chat_message_age`."""
    return Message.objects.filter(_older(bounds), deleted_at=None).order_by("created_at")


def expire(limit: int) -> int:
    """Delete at most `limit` expired messages with their events, conversation by conversation; return how many."""
    if not (bounds := _bounds()):
        return 0
    due: dict[int, list[int]] = defaultdict(list)
    for conversation_id, pk in due_messages(bounds).values_list("conversation_id", "pk")[:limit]:
        due[conversation_id].append(pk)
    for conversation_id in sorted(due):
        with transaction.atomic():
            conversation = events.locked(conversation_id)
            for message in Message.objects.filter(pk__in=due[conversation_id], deleted_at=None).order_by("pk"):
                messages.empty(conversation, message, actor_id=None, at=timezone.now())
    return sum(map(len, due.values()))


def old_revisions() -> QuerySet[MessageRevision]:
    bounds = _bounds()
    return MessageRevision.objects.filter(_older(bounds, "message__")) if bounds else MessageRevision.objects.none()


purging.register("messages past their time", expire)
purging.register("old revisions", purging.delete_batch(old_revisions))
