"""JSON representations of conversations and members for REST, in the same number of queries for any page size."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce, RowNumber

from chat.hub import presence
from chat.log import encoding
from chat.models import Conversation, Membership, Mention, Message
from chat.services import blocks
from common.errors import NotFound

# Members included in a conversation; the members list has all.
MEMBERS_SHOWN = 20


def conversation(viewer_id: int, row: Conversation) -> dict[str, Any]:
    """Return one conversation: a row of the list plus its description. The viewer is a member."""
    return {**conversations(viewer_id, [row])[0], "description": row.description}


def conversations(viewer_id: int, rows: Sequence[Conversation]) -> list[dict[str, Any]]:
    """Return rows of the conversation list for a viewer; conversations that they have just left are dropped."""
    ids = [row.pk for row in rows]
    mine = {row.conversation_id: row for row in _own_rows(viewer_id).filter(conversation_id__in=ids)}
    shown = _first_members(viewer_id, ids)
    last = _last_messages(viewer_id, [row for row in rows if row.pk in mine], mine)
    return [
        {
            **_own(row, mine[row.pk]),
            "members": shown[row.pk],
            "last_message": last.get(row.pk),
        }
        for row in rows
        if row.pk in mine
    ]


def _own(row: Conversation, mine: Any) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "kind": row.kind,
        "title": row.title,
        "members_count": row.members_count,
        "last_seq": row.last_seq,
        "seen_seq": mine.seen_seq,
        "unread_count": unread_count(row, mine),
        "mention_count": mine.mention_count,
        "muted_until": mine.muted_until,
        "pinned": mine.pinned,
        "archived": mine.archived,
        "my_role": mine.role,
        "history_visible": row.history_visible,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        **({"slow_mode_seconds": row.slow_mode_seconds} if row.slow_mode_seconds else {}),
    }


def unread_count(row: Conversation, mine: Any) -> int:
    """Return the number of messages after the last seen one, without deleted ones (`mine` is from `_own_rows`).

    Message numbers are subtracted; only deleted messages are counted, with an index of just these.
    """
    return max(0, row.last_message_no - mine.seen_message_no - mine.taken_back)


def _own_rows(viewer_id: int) -> QuerySet[Any]:
    """Return the viewer's memberships with `mention_count` and `taken_back`, counted over unread rows only.

    Subqueries, not joins: with a join PostgreSQL reads all mentions of a conversation and drops most.
    """
    unread = Mention.objects.filter(
        user_id=viewer_id, conversation_id=OuterRef("conversation_id"), message_no__gt=OuterRef("seen_message_no")
    )
    gone = Message.objects.filter(
        conversation_id=OuterRef("conversation_id"),
        message_no__gt=OuterRef("seen_message_no"),
        deleted_at__isnull=False,
    )
    return (
        Membership.objects.living()
        .filter(user_id=viewer_id)
        .annotate(
            mention_count=Coalesce(Subquery(_count(unread)), 0),
            taken_back=Coalesce(Subquery(_count(gone)), 0),
        )
    )


def _count(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.order_by().values("conversation_id").annotate(count=Count("pk")).values("count")


def _last_messages(
    viewer_id: int, rows: Sequence[Conversation], mine: dict[int, Membership]
) -> dict[int, dict[str, Any]]:
    """Return the last message by conversation, if the viewer may see it."""
    last = [row.last_message_id for row in rows if row.last_message_id]
    messages = [
        message
        for message in Message.objects.filter(pk__in=last)
        if message.seq > mine[message.conversation_id].visible_after_seq
    ]
    bodies = encoding.messages(messages, viewer_id=viewer_id)
    return {message.conversation_id: bodies[message.pk] for message in messages}


def member_rows() -> QuerySet[Membership]:
    """Return living memberships with everything that a row of the members list needs."""
    return (
        Membership.objects.living()
        .select_related("user")
        .only(
            "conversation_id", "user", "role", "seen_seq", "joined_at",
            "user__id", "user__username", "user__first_name", "user__last_name", "user__closed_at",
        )
        .annotate(
            share_receipts=Coalesce(F("user__chat_settings__share_receipts"), True),
            share_presence=Coalesce(F("user__chat_settings__share_presence"), True),
        )
    )  # fmt: skip


def _first_members(viewer_id: int, ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    # The window function reads only an index of ids; users are joined to the few remaining rows in a separate query,
    # since a planner that overestimates their number would read the whole table.
    first = (
        Membership.objects.living()
        .filter(conversation_id__in=ids)
        .annotate(place=Window(RowNumber(), partition_by="conversation_id", order_by="pk"))
        .filter(place__lte=MEMBERS_SHOWN)
    )
    rows = list(member_rows().filter(pk__in=list(first.values_list("pk", flat=True))).order_by("conversation_id", "pk"))
    shown: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row, body in zip(rows, members(viewer_id, rows), strict=True):
        shown[row.conversation_id].append(body)
    return shown


def members(viewer_id: int, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return rows of the members list from `member_rows()`.

    What a user does not share is null or false for everybody else; presence also for users that they block.
    """
    others = {row.user_id for row in rows} - {viewer_id}
    hidden = blocks.blockers_of(viewer_id, others) | {row.user_id for row in rows if not row.share_presence}
    states = presence.states({row.user_id for row in rows} - (hidden - {viewer_id}))
    return [_member(row, viewer_id, states.get(row.user_id)) for row in rows]


def _member(row: Any, viewer_id: int, state: Any) -> dict[str, Any]:
    return {
        "user": encoding.person(row.user),
        "role": row.role,
        "seen_seq": row.seen_seq if row.share_receipts or row.user_id == viewer_id else None,
        "joined_at": row.joined_at,
        "online": bool(state and state.online),
        "last_seen_at": state.last_seen_at if state else None,
    }


def seen(viewer_id: int, conversation_uuid: UUID) -> dict[str, Any]:
    """Return the viewer's read position and unread counts."""
    mine = _own_rows(viewer_id).select_related("conversation").filter(conversation__uuid=conversation_uuid).first()
    if mine is None:  # they have left meanwhile
        raise NotFound
    return {
        "conversation_uuid": conversation_uuid,
        "seen_seq": mine.seen_seq,
        "unread_count": unread_count(mine.conversation, mine),
        "mention_count": mine.mention_count,
    }
