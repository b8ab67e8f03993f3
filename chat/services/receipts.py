"""Read positions. They only move forward, and are shown to others only by users who share receipts."""

import uuid

from django.db import transaction
from django.db.models import Max

from chat.log import published
from chat.log.published import Receipt
from chat.models import ChatSettings, Membership, Message
from chat.services import access
from common import shared_clock


def mark_seen(*, user_id: int, conversation_uuid: uuid.UUID, up_to_seq: int | None = None) -> Receipt:
    """Mark everything up to `up_to_seq` as seen (None: up to the newest event); members get a receipt after commit.

    Never moves backwards or beyond the newest event. Raises NotFound.
    """
    with transaction.atomic():
        membership = access.member_of(user_id, conversation_uuid)
        head = membership.conversation.last_seq
        wanted = head if up_to_seq is None else min(up_to_seq, head)
        moved = wanted > membership.seen_seq and _move(membership, wanted)
        shared = ChatSettings.objects.filter(user_id=user_id, share_receipts=False).first() is None
        receipt = Receipt(
            conversation_id=membership.conversation_id,
            conversation_uuid=conversation_uuid,
            user_id=user_id,
            up_to_seq=max(wanted, membership.seen_seq),
            moved=moved,
            shared=shared,
        )
        if moved:
            transaction.on_commit(lambda: published.hand_over_receipt(receipt), robust=True)
    return receipt


def _move(membership: Membership, seq: int) -> bool:
    """Move forward by a conditional UPDATE, unless another request has moved further meanwhile."""
    newest = Message.objects.filter(
        conversation_id=membership.conversation_id, seq__lte=seq, seq__gt=membership.seen_seq
    ).aggregate(number=Max("message_no"))["number"]
    changes = {"seen_seq": seq, "seen_at": shared_clock.now()}
    if newest is not None:
        changes["seen_message_no"] = max(newest, membership.seen_message_no)
    return bool(Membership.objects.filter(pk=membership.pk, seen_seq__lt=seq).update(**changes))
