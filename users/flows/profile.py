"""One's own profile."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from users.flows import register
from users.models import User


def update(*, user_id: int, changes: Mapping[str, Any]) -> User:
    """Write the given fields; another phone number is an unverified one.

    Raises: ValidationFailed (`unique`) for a name that somebody has or that looks like theirs.
    """
    user = User.objects.get(pk=user_id)
    for field, value in changes.items():
        if field == "phone_number" and value != user.phone_number:
            user.phone_verified = False
        setattr(user, field, value)
    if not changes:
        return user
    if "username" in changes:
        register.require_free(username=user.username, except_id=user_id)
    try:
        with transaction.atomic():
            user.save(update_fields={*changes, "phone_verified"})
    except IntegrityError:
        register.require_free(username=user.username, except_id=user_id)
        raise
    return user
