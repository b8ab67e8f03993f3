"""The rules for a new password, the same at registration, change and reset."""

import uuid
from datetime import datetime

from django.contrib.auth import password_validation
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError

from common.client import Client
from common.errors import ValidationFailed
from common.signals import security_event
from users.mail import enqueue
from users.models import EmailVerificationToken, PasswordResetToken, User


def validate(password: str, *, user: User, field: str) -> None:
    """Raise ValidationFailed under `field`, with the validators' own codes. `user` may be unsaved."""
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise ValidationFailed(
            {field: [{"message": one.messages[0], "code": one.code or "invalid"} for one in error.error_list]}
        ) from None


def replace(user: User, password: str, *, at: datetime, encoded: str = "") -> bool:
    """Write the password unless another one was written since `user` was read; call inside a transaction.

    Every reset link is spent and every address change in progress is off: whoever asked for it knew the old password.
    `encoded`: the hash, where it was made before the transaction began. Returns whether it was written.
    """
    encoded = encoded or make_password(password)
    written = User.objects.filter(pk=user.pk, password=user.password, is_active=True).update(
        password=encoded, password_changed_at=at, login_attempts=0, locked_until=None
    )
    if not written:
        return False
    user.password, user.password_changed_at = encoded, at
    PasswordResetToken.objects.filter(user=user, is_used=False).update(is_used=True)
    EmailVerificationToken.objects.filter(user=user, is_used=False).exclude(email__in=["", user.email]).delete()
    return True


def tell(user: User, *, by: str, at: datetime, client: Client, sid: uuid.UUID | None) -> None:
    """Put the new password into the timeline and mail its owner; call inside the transaction that wrote it.

    `by`: "change" or "reset".
    """
    security_event.send(
        sender=User,
        user_id=user.pk,
        kind="password_changed",
        at=at,
        client=client,
        session_id=sid,
        detail={"by": by},
    )
    enqueue.send(user.pk, "password_changed")
