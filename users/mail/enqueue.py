"""Enqueueing of mails: a task row in the caller's transaction; the task writes and sends the mail.

Task arguments name the user and the purpose. A secret is generated when the mail is written (`tasks.py`), so that only
its digest is stored; the task carries the mark that authorised it (`single_use.mark`). A mail that cannot be sent
never fails or slows the request that enqueued it.
"""

from typing import Any

from django.utils import timezone

from users.mail import letters, single_use, tasks
from users.models import User


def send(user_id: int, name: str, *, to: str = "", language: str = "", **context: Any) -> None:
    """Enqueue the mail `name` for a user, in the caller's transaction.

    `to` replaces the stored address (the old one after a change, that of a closed account); `language` is for a user
    whose account is closed when the mail is written. `context`: plain JSON values, never a secret.

    - verify_email: `email`, the address to prove (default: the stored one; the mail goes to it)
    - email_change_old_address: `new_email`; with `to` = the old address
    - account_locked, new_sign_in, token_reused, password_changed: `event_id` of the SecurityEvent, or none
    - account_closed: with `to` and `language`
    """
    if name not in letters.LETTERS:
        raise ValueError(f"{name!r} is not a mail")
    purpose = _purpose(name, context)
    if purpose:
        user = User.objects.filter(pk=user_id).first()
        context["allowed_by"] = single_use.mark(user, purpose) if user else ""
    tasks.send_mail.enqueue(user_id=user_id, name=name, to=to, language=language, context=context)


def _purpose(name: str, context: dict[str, Any]) -> str:
    """Return the purpose whose mark must authorise the mail's secret; '' if verifying the stored address needs none.

    The mark is read in the caller's transaction, so that it reflects what the caller has just checked or written.
    """
    if name == "password_reset":
        return "password_reset"
    return "email_change" if name == "verify_email" and context.get("email") else ""


def send_password_reset(*, email: str, language: str = "") -> None:
    """Enqueue a look-up for *every* address, known or not, so that the request's duration reveals nothing."""
    tasks.send_to_address.enqueue(
        email=email, name="password_reset", language=language, asked_at=timezone.now().timestamp()
    )


def send_verification(*, email: str, language: str = "") -> None:
    """Like `send_password_reset`, for a verification link requested without being signed in."""
    tasks.send_to_address.enqueue(email=email, name="verify_email", language=language)
