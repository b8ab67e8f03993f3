"""Rule for admins: nobody may act on an account with more permissions than their own."""

from typing import Any

from django.contrib.auth.models import Permission
from django.db.models import Q


def held(user: Any) -> set[int]:
    """Return an account's permissions, including those of its groups, also while it is disabled."""
    own = Q(user=user) | Q(group__user=user)
    return set(Permission.objects.filter(own).values_list("pk", flat=True))


def covers(actor: Any, other: Any) -> bool:
    """Return whether `actor` has all permissions of `other`. True for superusers and for oneself."""
    if actor.is_superuser or actor.pk == other.pk:
        return True
    if other.is_superuser or (other.is_staff and not actor.is_staff):
        return False
    return held(other) <= held(actor)
