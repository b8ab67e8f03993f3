"""Who may act on whose account: nobody on one that holds more rights than their own."""

from typing import Any

from django.contrib.auth.models import Permission
from django.db.models import Q


def held(user: Any) -> set[int]:
    """Return the permissions of an account, its groups' included, also while it is disabled."""
    own = Q(user=user) | Q(group__user=user)
    return set(Permission.objects.filter(own).values_list("pk", flat=True))


def covers(actor: Any, other: Any) -> bool:
    """Tell whether `actor` holds all that `other` holds. A superuser holds everything; oneself is covered."""
    if actor.is_superuser or actor.pk == other.pk:
        return True
    if other.is_superuser or (other.is_staff and not actor.is_staff):
        return False
    return held(other) <= held(actor)
