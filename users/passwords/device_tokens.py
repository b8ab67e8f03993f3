"""Tokens of remembered devices: signed, and good only for a lockout counter of the device's own.

A token is bound to the account, to its password (a fragment of an HMAC of the hash) and to `device_token_version`,
which a reset and a logout everywhere increment. It is no credential: the password is still required.
"""

import uuid

from django.conf import settings
from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from users.models import User

_SALT = "users.device_token"


def make(user: User, *, device_id: uuid.UUID | None = None) -> str:
    """Return a token for a device; `device_id` keeps the counter of a device that already had a token."""
    facts = [user.pk, user.device_token_version, password_mark(user), (device_id or uuid.uuid4()).hex]
    return signing.dumps(facts, salt=_SALT)


def read(raw: str, *, user: User | None) -> uuid.UUID | None:
    """Return the device's id if the token is valid for this user, else None. Takes as long for an unknown user."""
    if not raw:
        return None
    try:
        facts = signing.loads(raw, salt=_SALT, max_age=settings.REMEMBER_ME_ABSOLUTE_LIFETIME)
        user_id, version, mark, device_id = facts
    except (signing.BadSignature, ValueError, TypeError):
        return None
    if user is None or (user_id, version) != (user.pk, user.device_token_version):
        return None
    return uuid.UUID(device_id) if constant_time_compare(mark, password_mark(user)) else None


def password_mark(user: User) -> str:
    """Return a fragment that changes with the password."""
    return salted_hmac(_SALT, user.password, algorithm="sha256").hexdigest()[:16]
