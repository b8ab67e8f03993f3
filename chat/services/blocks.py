"""Who wants nothing to do with whom."""

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models import Block, Conversation, Membership
from chat.services import people
from common.errors import Blocked, NotFound, ValidationFailed


def is_blocked_between(user_id: int, other_id: int) -> bool:
    """Return whether either of the two blocks the other: a direct conversation is closed in both directions."""
    return Block.objects.filter(
        Q(blocker_id=user_id, blocked_id=other_id) | Q(blocker_id=other_id, blocked_id=user_id)
    ).exists()


def blocked_directs(conversation_ids: Iterable[int]) -> set[int]:
    """Return those of the conversations that are direct and in which one of the two blocks the other."""
    pairs: dict[int, list[int]] = defaultdict(list)
    direct = Membership.objects.filter(
        conversation_id__in=conversation_ids, conversation__kind=Conversation.Kind.DIRECT
    )
    for conversation_id, user_id in direct.values_list("conversation_id", "user_id"):
        pairs[conversation_id].append(user_id)
    everybody = {user_id for pair in pairs.values() for user_id in pair}
    rows = Block.objects.filter(blocker_id__in=everybody, blocked_id__in=everybody)
    between = set(rows.values_list("blocker_id", "blocked_id")) if everybody else set()
    return {name for name, pair in pairs.items() if any((one, other) in between for one in pair for other in pair)}


def refuse_blocked(conversation: Conversation) -> None:
    """Raise Blocked if the conversation is direct and one of the two blocks the other."""
    if conversation.kind == Conversation.Kind.DIRECT and blocked_directs([conversation.pk]):
        raise Blocked


def blockers_of(user_id: int, among: Iterable[int]) -> set[int]:
    """Return those of `among` who block the person."""
    rows = Block.objects.filter(blocked_id=user_id, blocker_id__in=list(among))
    return set(rows.values_list("blocker_id", flat=True))


def refuse_blockers(user_id: int, *, among: Iterable[int]) -> None:
    """Raise Blocked if one of `among` blocks the person: nobody is drawn into a group by whom they block."""
    if blockers_of(user_id, among):
        raise Blocked


def block(*, user_id: int, blocked_id: int) -> tuple[Block, bool]:
    """Block a person; return the row and whether it is new. Raises ValidationFailed for oneself, NotFound."""
    if blocked_id == user_id:
        raise ValidationFailed.of("user_id", "self", _("You cannot block yourself."))
    people.require_one(blocked_id)
    return Block.objects.get_or_create(
        blocker_id=user_id, blocked_id=blocked_id, defaults={"created_at": timezone.now()}
    )


def unblock(*, user_id: int, blocked_id: int) -> None:
    """Lift a block. Raises NotFound where there is none."""
    deleted, _rows = Block.objects.filter(blocker_id=user_id, blocked_id=blocked_id).delete()
    if not deleted:
        raise NotFound
