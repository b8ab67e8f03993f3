"""Single-use secrets of mailed links: a random UUID in the mail, its digest in the database.

A secret is generated in a task, perhaps hours after the request, and again if the mail server refuses the mail. The
task therefore carries a *mark* of the account's state at the time of the request, and `issue` refuses, under the
row's lock, if the state has changed: a new password also cancels what was requested with the old one.
"""

import hashlib
import uuid
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from common.errors import InvalidOrExpiredToken
from users.models import EmailVerificationToken, NoticeToken, PasswordResetToken, SecurityEvent, SingleUseToken, User

Token = TypeVar("Token", bound=SingleUseToken)


def digest(raw: uuid.UUID) -> uuid.UUID:
    """Return the digest that is stored for `raw`: SHA-256 as UUID. 122 random bits need no salt and no slow hash.

    Source: RFC 9562 §5.8 (version 8, vendor-specific).
    """
    number = int.from_bytes(hashlib.sha256(raw.bytes).digest()[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    return uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


def parse(raw: str) -> uuid.UUID:
    """Return the UUID of a link. Raises InvalidOrExpiredToken if it is malformed."""
    try:
        return uuid.UUID(raw)
    except ValueError:
        raise InvalidOrExpiredToken from None


def lifetime(model: type[SingleUseToken]) -> timedelta:
    if issubclass(model, PasswordResetToken):
        return timedelta(seconds=settings.PASSWORD_RESET_LIFETIME)
    return timedelta(seconds=settings.EMAIL_VERIFICATION_LIFETIME)


class NoLongerAllowed(Exception):
    """The request for this secret has been cancelled since it was made."""


def mark(user: User, purpose: str) -> str:
    """Return the mark of `user` for this purpose, which changes when a request of before must be cancelled.

    - `email_change`: any new password, suspension, logout everywhere, revoked or stolen session, and the address itself
    - `password_reset`: another password or address
    """
    facts = {
        "email_change": (user.links_version, user.email, user.is_active),
        "password_reset": (user.password, user.email, user.is_active),
    }[purpose]
    return salted_hmac(f"users.single_use.{purpose}", repr((user.pk, *facts)), algorithm="sha256").hexdigest()


def holds(user: User, purpose: str, allowed_by: str) -> bool:
    return constant_time_compare(allowed_by, mark(user, purpose))


def issue(model: type[Token], user: User, *, purpose: str = "", allowed_by: str = "", **fields: object) -> uuid.UUID:
    """Replace older secrets of this user and return a new one; only its digest is stored.

    A replaced one is deleted, a spent one kept: verify-email distinguishes the two.

    Raises: NoLongerAllowed if `allowed_by` is no longer the user's mark for `purpose`.
    """
    raw = uuid.uuid4()
    if purpose == "email_change":
        fields["allowed_by"] = allowed_by  # checked again when the link is followed
    row = model(user=user, token=digest(raw), expires_at=timezone.now() + lifetime(model), **fields)
    with transaction.atomic():
        # The same lock as a password change: either we see the new password, or it sees and cancels this secret.
        here = User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
        if here is None or (purpose and not holds(here, purpose, allowed_by)):
            raise NoLongerAllowed
        model._default_manager.filter(user=user, is_used=False).delete()
        model._default_manager.bulk_create([row])  # not save(): its post_save receiver would enqueue a mail
    return raw


def issue_notice(event: SecurityEvent) -> uuid.UUID:
    """Return the secret that answers for this event, in place of the one of an earlier attempt at its mail."""
    raw = uuid.uuid4()
    row = NoticeToken(user_id=event.user_id, event=event, token=digest(raw))
    with transaction.atomic():
        NoticeToken.objects.filter(event=event, is_used=False).delete()
        row.save(force_insert=True)
    return raw


def call_off_changes(user_id: int) -> None:
    """Cancel the pending address changes of a user, including those whose mail is not written yet."""
    User.objects.filter(pk=user_id).rewrite(links_version=F("links_version") + 1)
    EmailVerificationToken.objects.filter(user_id=user_id, is_used=False).exclude(allowed_by="").delete()


def void_resets(user_id: int) -> None:
    """Invalidate every reset link of a user; one whose mail is not written yet is refused by its mark."""
    PasswordResetToken.objects.filter(user_id=user_id, is_used=False).update(is_used=True)


def peek(model: type[Token], raw: uuid.UUID) -> Token:
    """Return the valid token without spending it. Raises InvalidOrExpiredToken."""
    living = model._default_manager.filter(token=digest(raw), is_used=False, expires_at__gt=timezone.now())
    row = living.select_related("user").first()
    if row is None:
        raise InvalidOrExpiredToken
    return row


def spend(model: type[Token], raw: uuid.UUID) -> Token:
    """Spend the secret by one conditional UPDATE, so that only one of parallel attempts succeeds.

    Raises: InvalidOrExpiredToken (`invalid_or_expired_token`) when unknown, used, replaced or expired.
    """
    rows = model._default_manager.filter(token=digest(raw))
    if not rows.filter(is_used=False, expires_at__gt=timezone.now()).update(is_used=True):
        raise InvalidOrExpiredToken
    return rows.select_related("user").get()
