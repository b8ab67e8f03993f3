"""Checks that users exist and are active. The chat knows users only by AUTH_USER_MODEL."""

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from common.errors import NotFound, ValidationFailed


def require_one(user_id: int) -> None:
    """Require that the user has an active account.

    Raises NotFound alike for an unknown, suspended or closed account, so that the reason is not revealed.
    """
    if not get_user_model()._default_manager.filter(pk=user_id, is_active=True).exists():
        raise NotFound


def require_all(user_ids: Iterable[int]) -> None:
    """Require that all of them have active accounts. Raises ValidationFailed with the ids that have none."""
    wanted = set(user_ids)
    found = set(get_user_model()._default_manager.filter(pk__in=wanted, is_active=True).values_list("pk", flat=True))
    if unknown := sorted(wanted - found):
        raise ValidationFailed(
            {
                "user_ids": [
                    {
                        "message": _("Nobody has this id: %(user_id)s.") % {"user_id": user_id},
                        "code": "does_not_exist",
                    }
                    for user_id in unknown[:100]
                ]
            }
        )
