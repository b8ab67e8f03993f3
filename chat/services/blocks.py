"""Who wants nothing to do with whom."""

from collections.abc import Iterable

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models import Block
from chat.services import people
from common.errors import Blocked, NotFound, ValidationFailed


def is_blocked_between(user_id: int, other_id: int) -> bool:
    """Return whether either of the two blocks the other: a direct conversation is closed in both directions."""
    return Block.objects.filter(
        Q(blocker_id=user_id, blocked_id=other_id) | Q(blocker_id=other_id, blocked_id=user_id)
    ).exists()


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
