"""Blocks between people, and the one definition of a blocked direct conversation."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models import Block, Conversation, Membership
from chat.services import people
from common.errors import Blocked, NotFound, ValidationFailed
from common.pipelined import Statement, any_of, execute


def is_blocked_between(user_id: int, other_id: int) -> bool:
    """Return whether either of the two blocks the other: a direct conversation is closed in both directions."""
    return Block.objects.filter(
        Q(blocker_id=user_id, blocked_id=other_id) | Q(blocker_id=other_id, blocked_id=user_id)
    ).exists()


def blocked_directs(conversation_ids: Iterable[int]) -> set[int]:
    """Return the conversations that are direct and in which one member blocks the other."""
    ids = sorted(set(conversation_ids))
    return {row[0] for row in execute(*blocked_statement("id", ids)).fetchall()} if ids else set()


def blocked_statement(column: str, values: Sequence[Any]) -> Statement:
    """Return the SQL of `blocked_directs`, by `id` or `uuid`, to be sent in one round trip with other statements."""
    wanted, params = any_of(values)
    quote = connection.ops.quote_name
    conversation, membership, block = (quote(model._meta.db_table) for model in (Conversation, Membership, Block))
    return (
        f"SELECT m.conversation_id FROM {conversation} c JOIN {membership} m ON m.conversation_id = c.id "  # noqa: S608
        f"JOIN {membership} o ON o.conversation_id = c.id AND o.user_id <> m.user_id "
        f"JOIN {block} b ON b.blocker_id = m.user_id AND b.blocked_id = o.user_id "
        f"WHERE c.{column} {wanted} AND c.kind = 'direct'",
        params,
    )


def refuse_blocked(conversation: Conversation) -> None:
    """Raise Blocked if the conversation is direct and one member blocks the other."""
    if conversation.kind == Conversation.Kind.DIRECT and blocked_directs([conversation.pk]):
        raise Blocked


def blockers_of(user_id: int, among: Iterable[int]) -> set[int]:
    """Return the users in `among` who block the user."""
    rows = Block.objects.filter(blocked_id=user_id, blocker_id__in=list(among))
    return set(rows.values_list("blocker_id", flat=True))


def refuse_blockers(user_id: int, *, among: Iterable[int]) -> None:
    """Raise Blocked if one of `among` blocks the user, who then must not add them to a group."""
    if blockers_of(user_id, among):
        raise Blocked


def block(*, user_id: int, blocked_id: int) -> tuple[Block, bool]:
    """Block a user; return the row and whether it is new. Raises ValidationFailed for oneself, NotFound."""
    if blocked_id == user_id:
        raise ValidationFailed.of("user_id", "self", _("You cannot block yourself."))
    people.require_one(blocked_id)
    return Block.objects.get_or_create(
        blocker_id=user_id, blocked_id=blocked_id, defaults={"created_at": timezone.now()}
    )


def unblock(*, user_id: int, blocked_id: int) -> None:
    """Remove a block. Raises NotFound if there is none."""
    deleted, _rows = Block.objects.filter(blocker_id=user_id, blocked_id=blocked_id).delete()
    if not deleted:
        raise NotFound
