"""Changes to one's own profile."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from users.flows import register
from users.models import User


def update(*, user_id: int, changes: Mapping[str, Any]) -> User:
    """Write the given fields; a new phone number is unverified.

    Raises: ValidationFailed (`unique`) for a name that is taken or looks like a taken one.
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
