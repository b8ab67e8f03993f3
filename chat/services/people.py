"""Who can be talked to. The chat knows people by AUTH_USER_MODEL alone."""

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from common.errors import NotFound, ValidationFailed


def require_one(user_id: int) -> None:
    """Pass if the person has an active account.

    Raises NotFound for none, a suspended and a closed one alike: who is searchable is no secret, why not is.
    """
    if not get_user_model()._default_manager.filter(pk=user_id, is_active=True).exists():
        raise NotFound


def require_all(user_ids: Iterable[int]) -> None:
    """Pass if all of them have active accounts. Raises ValidationFailed that names those who have none."""
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
