"""What accounts do when sessions end, and when a verification token is created by hand."""

from typing import Any

from django.db.models import F
from django.db.models.signals import post_save
from django.dispatch import receiver

from common.signals import session_revoked
from users.mail import enqueue
from users.models import EmailVerificationToken, User


@receiver(session_revoked)
def forget_remembered_devices(sender: Any, user_id: int, reason: str, **kwargs: Any) -> None:
    """Logging out everywhere also voids what would let a remembered device past a lockout."""
    if reason == "logout_all":
        User.objects.filter(pk=user_id).update(device_token_version=F("device_token_version") + 1)


@receiver(post_save, sender=EmailVerificationToken)
def mail_a_link(sender: Any, instance: EmailVerificationToken, created: bool, raw: bool, **kwargs: Any) -> None:
    """Creating a token by hand sends its mail: `EmailVerificationToken.objects.create(user=user)` of the guide.

    The secret in that mail is made when it is written (`single_use.issue`, which saves by `bulk_create`).
    """
    if created and not raw:
        enqueue.send(instance.user_id, "verify_email")
