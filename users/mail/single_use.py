"""Secrets that are mailed once and spent once: a random UUID on the wire, its digest in the database."""

import hashlib
import uuid
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from common.errors import InvalidOrExpiredToken
from users.models import PasswordResetToken, SingleUseToken, User

Token = TypeVar("Token", bound=SingleUseToken)


def digest(raw: uuid.UUID) -> uuid.UUID:
    """Return what is stored for `raw`: SHA-256 in UUID form. 122 random bits need no salt and no slow hash.

    Source: RFC 9562 §5.8 (version 8, vendor-specific).
    """
    number = int.from_bytes(hashlib.sha256(raw.bytes).digest()[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    return uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


def parse(raw: str) -> uuid.UUID:
    """Return the UUID that somebody typed or followed. Raises InvalidOrExpiredToken for anything else."""
    try:
        return uuid.UUID(raw)
    except ValueError:
        raise InvalidOrExpiredToken from None


def lifetime(model: type[SingleUseToken]) -> timedelta:
    if issubclass(model, PasswordResetToken):
        return timedelta(seconds=settings.PASSWORD_RESET_LIFETIME)
    return timedelta(seconds=settings.EMAIL_VERIFICATION_LIFETIME)


def issue(model: type[Token], user: User, **fields: object) -> uuid.UUID:
    """Void the older ones of this person and return the secret of a new one; only its digest is kept.

    A replaced one is deleted, a spent one kept: verify-email tells the two apart.
    """
    raw = uuid.uuid4()
    row = model(user=user, token=digest(raw), expires_at=timezone.now() + lifetime(model), **fields)
    with transaction.atomic():
        model._default_manager.filter(user=user, is_used=False).delete()
        model._default_manager.bulk_create([row])  # not save(): saving one is what asks for a mail
    return raw


def peek(model: type[Token], raw: uuid.UUID) -> Token:
    """Return the living token without spending it. Raises InvalidOrExpiredToken."""
    living = model._default_manager.filter(token=digest(raw), is_used=False, expires_at__gt=timezone.now())
    row = living.select_related("user").first()
    if row is None:
        raise InvalidOrExpiredToken
    return row


def spend(model: type[Token], raw: uuid.UUID) -> Token:
    """Spend the secret by one conditional UPDATE, so that of parallel attempts one wins.

    Raises: InvalidOrExpiredToken (`invalid_or_expired_token`) when unknown, used, replaced or expired.
    """
    rows = model._default_manager.filter(token=digest(raw))
    if not rows.filter(is_used=False, expires_at__gt=timezone.now()).update(is_used=True):
        raise InvalidOrExpiredToken
    return rows.select_related("user").get()
