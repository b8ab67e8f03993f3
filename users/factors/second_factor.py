"""The second factor at login: whether it is on, which methods satisfy it, and the `mfa_required` refusal.

TOTP turns it on; a passkey alone does not (`docs/adr/passkeys-turn-nothing-on.md`).
"""

import uuid
from typing import Any

from django.utils.crypto import constant_time_compare

from common import pipelined, rows
from common.errors import InvalidOrExpiredToken, MfaRequired
from users.factors import challenges
from users.factors.models import Challenge, Passkey, RecoveryCode, SocialLink, TotpFactor
from users.models import User
from users.passwords import device_tokens

PURPOSE = "mfa"


def is_on(user_id: int) -> bool:
    sql = f"SELECT 1 FROM {rows.table(TotpFactor)} WHERE user_id = %s AND confirmed_at IS NOT NULL"  # noqa: S608
    return pipelined.fetch_one(sql, [user_id]) is not None


def methods(user_id: int) -> list[str]:
    """Return the methods that satisfy the second factor, in the order in which to offer them."""
    found = ["totp"]
    if RecoveryCode.objects.filter(user_id=user_id, used_at__isnull=True).exists():
        found.append("recovery_code")
    if Passkey.objects.filter(user_id=user_id).exists():
        found.append("passkey")
    return found


def ways_to_reauthenticate(user: User) -> list[str]:
    """Return the methods that make a session of this user fresh."""
    if is_on(user.pk):
        return methods(user.pk)
    found = ["password"] if user.has_usable_password() else []
    if Passkey.objects.filter(user_id=user.pk).exists():
        found.append("passkey")
    if SocialLink.objects.filter(user_id=user.pk).exists():
        found.append("social")
    return found


def ask(user: User, *, amr: list[str], device_id: uuid.UUID | None, **login: Any) -> MfaRequired:
    """Return the MfaRequired error with an `mfa_token`, bound to this login, this device and this password."""
    token = challenges.issue(
        PURPOSE,
        user_id=user.pk,
        amr=amr,
        device_id=device_id.hex if device_id else None,
        password=device_tokens.password_mark(user),
        login=login,
    )
    return MfaRequired(mfa_token=token, methods=methods(user.pk), expires_in=challenges.SECONDS)


def user_of(challenge: Challenge) -> User:
    """Return the user of a challenge. Raises InvalidOrExpiredToken if the password changed or the account ended."""
    user: User | None = challenge.user
    if user is None or not user.is_active:
        raise InvalidOrExpiredToken
    if not constant_time_compare(challenge.data["password"], device_tokens.password_mark(user)):
        raise InvalidOrExpiredToken
    return user
