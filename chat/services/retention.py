"""Deletion of messages past their retention (`CHAT_RETENTION_…_DAYS`), including the copies for moderators."""

from collections import defaultdict
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.log import events
from chat.models import Conversation, Message, MessageRevision
from chat.services import messages
from common import purging


def _older(prefix: str = "") -> Q | None:
    """Return the condition for expired messages, None if everything is kept for ever."""
    now, past = timezone.now(), Q()
    for kind, days in (
        (Conversation.Kind.DIRECT, settings.CHAT_RETENTION_DIRECT_DAYS),
        (Conversation.Kind.GROUP, settings.CHAT_RETENTION_GROUP_DAYS),
    ):
        if days:
            before = now - timedelta(days=days)
            past |= Q(**{f"{prefix}conversation__kind": kind, f"{prefix}created_at__lt": before})
    return past or None


def expire(limit: int) -> int:
    """Delete at most `limit` expired messages with their events, conversation by conversation; return how many."""
    if (past := _older()) is None:
        return 0
    due: dict[int, list[int]] = defaultdict(list)
    rows = Message.objects.filter(past, deleted_at=None).order_by("pk").values_list("conversation_id", "pk")[:limit]
    for conversation_id, pk in rows:
        due[conversation_id].append(pk)
    for conversation_id in sorted(due):
        with transaction.atomic():
            conversation = events.locked(conversation_id)
            for message in Message.objects.filter(pk__in=due[conversation_id], deleted_at=None).order_by("pk"):
                messages.empty(conversation, message, actor_id=None, at=timezone.now())
    return sum(map(len, due.values()))


def old_revisions() -> QuerySet[MessageRevision]:
    past = _older("message__")
    return MessageRevision.objects.none() if past is None else MessageRevision.objects.filter(past)


purging.register("messages past their time", expire)
purging.register("old revisions", purging.delete_batch(old_revisions))
