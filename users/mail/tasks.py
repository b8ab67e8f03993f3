"""Tasks that write and send the mails of accounts, with retries after a failure."""

import smtplib
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django_tasks import task

from common.metrics import MAILS
from common.tasks import GiveUp
from users import people
from users.mail import letters, single_use
from users.models import User

log = structlog.get_logger(__name__)


class MailNotSent(Exception):
    """Sending failed; the worker retries. Task rows store errors, so this one contains no address and no secret."""


class MailRefused(GiveUp):
    """The receiving server refused the mail permanently; no retry."""


@task()
def send_mail(user_id: int, name: str, to: str = "", language: str = "", context: dict[str, Any] | None = None) -> None:
    """Write and send the mail `name` to a user. Raises MailNotSent, after which the worker retries."""
    user = User.objects.filter(pk=user_id).first()
    if user is not None:
        deliver(user, name, to=to, language=language, context=context or {})


@task()
def send_to_address(email: str, name: str, language: str = "", asked_at: float = 0) -> None:
    """Look up an address and mail its owner, if there is one for whom the mail makes sense.

    A reset requested (`asked_at`, seconds since 1970) before the latest password change is dropped.

    Enqueued for every typed address. The mail goes to the *stored* address, which may differ in case or look-alikes.
    """
    user = people.of(email.strip()).filter(is_active=True).first()
    if user is None or not user.email or (name == "verify_email" and user.email_verified):
        return
    if name == "password_reset" and user.password_changed_at and user.password_changed_at.timestamp() > asked_at > 0:
        log.info("mail.called_off", mail=name, user_id=user.pk)
        return
    deliver(user, name, language=language)


def deliver(user: User, name: str, *, to: str = "", language: str = "", context: dict[str, Any] | None = None) -> None:
    """Send unless the account is closed, has no address, or the user has turned this kind of mail off."""
    recipient = to or (context or {}).get("email") or user.email
    if not wanted(user, name, recipient, to=to):
        log.info("mail.skipped", mail=name, user_id=user.pk)
        return
    try:
        message = letters.write(user, name, to=recipient, language=language, context=context or {})
    except single_use.NoLongerAllowed:
        log.info("mail.called_off", mail=name, user_id=user.pk)
        return
    try:
        message.send()
    except Exception as error:
        MAILS.labels("failed").inc()
        log.warning("mail.failed", mail=name, user_id=user.pk, error=type(error).__name__)
        # `from None`: an SMTP error quotes the address, and the task row would keep the traceback.
        failed = MailRefused if is_final(error) else MailNotSent
        raise failed(f"{name}: {type(error).__name__}") from None
    MAILS.labels("sent").inc()
    log.info("mail.sent", mail=name, user_id=user.pk)


def is_final(error: Exception) -> bool:
    """Return whether every recipient was refused permanently (RFC 5321 §4.2.1, 5yz)."""
    if not isinstance(error, smtplib.SMTPRecipientsRefused):
        return False
    return all(code >= 500 for code, _said in error.recipients.values())


def wanted(user: User, name: str, recipient: str, *, to: str) -> bool:
    try:
        validate_email(recipient)  # also keeps line breaks out of the To header
    except ValidationError:
        return False
    if (user.closed_at or not user.is_active) and not to:
        return False
    return user.email_notifications or name not in letters.OPTIONAL
