"""Changes to one's own profile."""

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from common.client import Client
from sessions.services import lifecycle as sessions
from users.factors import events
from users.flows import register
from users.models import User


def update(*, user_id: int, changes: Mapping[str, Any], sid: uuid.UUID | None, client: Client) -> User:
    """Write the given fields; a new phone number is unverified, and the loss of a verified one is told.

    Raises: ValidationFailed (`unique`) for a name that is taken or looks like a taken one.
    """
    if not changes:
        return User.objects.get(pk=user_id)
    if "username" in changes:
        register.require_free(username=changes["username"], except_id=user_id)
    try:
        with transaction.atomic():
            # Locked: what a number is worth is written beside it, never beside another request's number.
            user: User = User.objects.select_for_update(no_key=True).get(pk=user_id)
            written = set(changes)
            if changes.get("phone_number", user.phone_number) != user.phone_number:
                sessions.hold(user_id=user_id, sid=sid)
                if user.phone_verified:
                    events.tell("phone_changed", user_id=user_id, sid=sid, client=client, verified=False)
                user.phone_verified = False
                written.add("phone_verified")
            for field, value in changes.items():
                setattr(user, field, value)
            user.save(update_fields=written)
    except IntegrityError:
        register.require_free(username=changes.get("username", ""), except_id=user_id)
        raise
    return user
