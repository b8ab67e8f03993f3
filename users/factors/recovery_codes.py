"""Recovery codes for a lost telephone: ten codes, each valid once, stored as digests.

Each has eighty random bits in unambiguous letters and digits, so that no slow hash is needed (NIST SP 800-63B-4
§3.1.2.2).
"""

import hashlib
import re
import secrets
import unicodedata
import uuid

from django.db import transaction
from django.utils import timezone

from common.client import Client
from common.errors import ApplicationError
from sessions.services import lifecycle as sessions
from users.factors import events, second_factor
from users.factors.models import RecoveryCode

COUNT = 10
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CHARS, _GROUP = 16, 4
_SHAPE = re.compile(rf"[{_ALPHABET}]{{{_CHARS}}}")


class NoSecondFactor(ApplicationError):
    status, code = 409, "mfa_not_enabled"


def replace(user_id: int) -> list[str]:
    """Replace the old codes by ten new ones and return them; call inside a transaction."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(_CHARS)) for _ in range(COUNT)]
    RecoveryCode.objects.filter(user_id=user_id).delete()
    RecoveryCode.objects.bulk_create(RecoveryCode(user_id=user_id, digest=digest(user_id, code)) for code in codes)
    return ["-".join(code[at : at + _GROUP] for at in range(0, _CHARS, _GROUP)).lower() for code in codes]


def make(*, user_id: int, sid: uuid.UUID | None, client: Client) -> list[str]:
    """Return ten new codes and notify the owner. Raises NoSecondFactor (409) if no second factor is on."""
    if not second_factor.is_on(user_id):
        raise NoSecondFactor
    with transaction.atomic():
        sessions.hold(user_id=user_id, sid=sid)
        codes = replace(user_id)
        events.tell("recovery_codes_made", user_id=user_id, sid=sid, client=client)
    return codes


def digest(user_id: int, code: str) -> str:
    return hashlib.sha256(f"{user_id}:{code}".encode()).hexdigest()


def normalised(typed: str) -> str | None:
    """Return a typed code in its original form, None if it cannot be a code."""
    kept = "".join(char for char in unicodedata.normalize("NFKC", typed).upper() if char.isalnum())
    return kept if _SHAPE.fullmatch(kept) else None


def use(user_id: int, typed: str) -> bool:
    """Spend a code and return whether it was valid; only one of parallel calls succeeds. Call inside a transaction."""
    code = normalised(typed)
    if code is None:
        return False
    row = RecoveryCode.objects.filter(user_id=user_id, digest=digest(user_id, code), used_at__isnull=True)
    return bool(row.update(used_at=timezone.now()))


def left(user_id: int) -> int:
    return RecoveryCode.objects.filter(user_id=user_id, used_at__isnull=True).count()
