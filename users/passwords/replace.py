"""Password replacement: the rules, and what a new password ends. Every way to set one calls `take_effect`."""

import uuid
from datetime import datetime

from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from common import passwords
from common.client import Client
from common.errors import ValidationFailed
from common.signals import security_event
from sessions.services import lifecycle as sessions
from users.mail import enqueue, single_use
from users.models import TotpFactor, User
from users.passwords import lockout


def validate(password: str, *, user: User, field: str) -> None:
    """Raise ValidationFailed under `field`, with the validators' own codes. `user` may be unsaved."""
    try:
        password_validation.validate_password(passwords.normalise(password), user)
    except ValidationError as error:
        raise ValidationFailed(
            {field: [{"message": one.messages[0], "code": one.code or "invalid"} for one in error.error_list]}
        ) from None


def replace(user: User, encoded: str) -> bool:
    """Write the hash unless the password was changed since `user` was read; return whether it was written.

    Call inside a transaction, with `take_effect` after it. The row stays locked until that has committed.
    """
    if not User.objects.filter(pk=user.pk, password=user.password, is_active=True).rewrite(password=encoded):
        return False
    user.password = encoded
    return True


def take_effect(
    user_id: int,
    *,
    by: str,
    at: datetime,
    client: Client | None = None,
    sid: uuid.UUID | None = None,
) -> None:
    """End what the old password had authorised, in the transaction that wrote the new one, and notify the owner.

    Ends every session except `sid`, reset links, pending address changes, mailed codes (bound to the password's time),
    an unconfirmed authenticator app, remembered devices, and the lockout.

    `by`: "change", "reset", "admin" or "operator" (a shell, `manage.py changepassword`, a fixture).
    """
    with transaction.atomic():
        User.objects.filter(pk=user_id).rewrite(
            password_changed_at=at, device_token_version=F("device_token_version") + 1
        )
        single_use.void_resets(user_id)
        single_use.call_off_changes(user_id)
        TotpFactor.objects.filter(user_id=user_id).update(pending_secret="", pending_at=None)
        lockout.unlock(user_id)
        reason = "password_reset" if by == "reset" else "password_changed"
        sessions.revoke_all(user_id=user_id, except_sid=sid, reason=reason)
        security_event.send(
            sender=User,
            user_id=user_id,
            kind="password_changed",
            at=at,
            client=client,
            session_id=sid,
            detail={"by": by},
        )
        enqueue.send(user_id, "password_changed")
