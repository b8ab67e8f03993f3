"""Security notices by SMS: which events enqueue one, and for whom."""

from typing import Any

from django.dispatch import receiver

from common.signals import security_event
from users.mail import letters
from users.models import User
from users.phone import tasks

# Sent to people who turned `sms_notifications` on and have a verified number.
TEXTED = frozenset(
    {*letters.OF_FACTORS, "new_device", "lockout", "refresh_reused", "password_changed", "email_changed"}
)


@receiver(security_event)
def enqueue(sender: Any, *, user_id: int, kind: str, **_kwargs: Any) -> None:
    """Enqueue the notice in the transaction of the event, if the user wants it; the task checks again."""
    if kind not in TEXTED:
        return
    wanted = User.objects.filter(pk=user_id, sms_notifications=True, phone_verified=True).exclude(phone_number="")
    if wanted.exists():
        tasks.send_notice.enqueue(user_id=user_id, kind=kind)
