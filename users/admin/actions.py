"""Actions of an admin on a user's account. Each takes effect as fast as if the user had done it."""

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.client import Client, clean
from common.signals import user_suspended
from sessions.services import lifecycle as sessions
from users.factors import totp
from users.mail import enqueue
from users.models import User
from users.passwords import lockout, replace

REASON_CHARS = 200


class Refused(Exception):
    """The action is not allowed; the exception carries the translated reason."""


def keep_a_superuser(user: User) -> None:
    """Raise Refused if `user` is the last active superuser: nobody could undo the action."""
    others = User.objects.filter(is_superuser=True, is_staff=True, is_active=True).exclude(pk=user.pk)
    if user.is_superuser and not others.exists():
        raise Refused(_("This is the last superuser."))


def suspend(*, user: User) -> None:
    """Disable the account: HTTP, refresh and sockets end. Raises Refused for the last superuser."""
    with transaction.atomic():
        keep_a_superuser(user)
        User.objects.filter(pk=user.pk).rewrite(is_active=False, suspended_until=None)
        sessions.revoke_all(user_id=user.pk, reason="account_disabled")  # with it all that `users.receivers` ends
        transaction.on_commit(lambda: user_suspended.send_robust(sender=User, user_id=user.pk), robust=True)


def restore(*, user: User) -> None:
    """Enable a disabled account; what was revoked stays revoked. Raises Refused for a closed one."""
    if user.closed_at:
        raise Refused(_("This account was closed by its owner."))
    User.objects.filter(pk=user.pk).rewrite(is_active=True, suspended_until=None)


def unlock(*, user: User) -> None:
    lockout.unlock(user.pk)


def mark_verified(*, user: User) -> None:
    if not user.email:
        raise Refused(_("This person has no e-mail address."))
    User.objects.filter(pk=user.pk).update(email_verified=True)


def sign_out(*, user: User) -> None:
    """Revoke every session and every device token, so that no remembered device bypasses the lockout."""
    sessions.revoke_all(user_id=user.pk, reason="admin")


def remove_second_factor(*, user: User, reason: str, client: Client | None) -> None:
    """Turn a user's second factor off because they lost it; they are notified, with the reason.

    Raises: Refused without a reason, or if no second factor is on.
    """
    reason = clean(reason)[:REASON_CHARS]
    if not reason:
        raise Refused(_("Say why: the person is told."))
    try:
        totp.remove(user_id=user.pk, sid=None, client=client, by="admin", reason=reason)
    except totp.NotEnrolled:
        raise Refused(_("No second factor is on.")) from None


def force_reset(*, user: User) -> None:
    """Make the password unusable, revoke every session and mail a link to choose a new password.

    Raises: Refused if no mail can reach the user, who would be locked out for good.
    """
    if not user.email or not user.is_active:
        raise Refused(_("No link can be mailed to this person."))
    with transaction.atomic():
        User.objects.filter(pk=user.pk).rewrite(password=make_password(None))
        replace.take_effect(user.pk, by="admin", at=timezone.now())
        enqueue.send(user.pk, "password_reset")
