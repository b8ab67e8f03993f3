"""What accounts do when sessions end."""

from typing import Any

from django.db.models import F
from django.dispatch import receiver

from common.signals import session_revoked
from users.models import User


@receiver(session_revoked)
def forget_remembered_devices(sender: Any, user_id: int, reason: str, **kwargs: Any) -> None:
    """Logging out everywhere also voids what would let a remembered device past a lockout."""
    if reason == "logout_all":
        User.objects.filter(pk=user_id).update(device_token_version=F("device_token_version") + 1)
