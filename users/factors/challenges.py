"""Single-use challenges (`mfa_token`, WebAuthn, mailed and texted codes), stored as digests, with five tries each.

A try is counted by one conditional UPDATE before anything is compared, so that twenty parallel codes get five tries.
A correct answer deletes the row, so that only one of several simultaneous correct answers succeeds.
"""

import hashlib
import secrets
import unicodedata
from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _

from common import purging
from common.errors import InvalidOrExpiredToken
from users.factors.models import Challenge

SECONDS = 300
TRIES = 5
TOKEN_CHARS = 200
DIGITS = 6
_GONE = _("This is no longer valid. Please start again.")


def digest(raw: str) -> str:
    """Return the digest that is stored for a token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()


def issue(
    purpose: str, *, user_id: int | None = None, seconds: int = SECONDS, raw: str = "", code: str = "", **data: Any
) -> str:
    """Store a challenge and return its token (`raw`, if the caller generated it)."""
    raw = raw or secrets.token_urlsafe(32)
    Challenge.objects.create(
        digest=digest(raw),
        purpose=purpose,
        user_id=user_id,
        code=code and code_digest(code, digest(raw)),
        data=data,
        expires_at=timezone.now() + timedelta(seconds=seconds),
    )
    return raw


def _living(purpose: str, raw: str) -> QuerySet[Challenge]:
    return Challenge.objects.filter(
        digest=digest(raw[:TOKEN_CHARS]), purpose=purpose, tries__lt=TRIES, expires_at__gt=timezone.now()
    )


def peek(purpose: str, raw: str) -> Challenge:
    """Return the open challenge without counting a try. Raises InvalidOrExpiredToken, also after five tries."""
    challenge = _living(purpose, raw).select_related("user").first()
    if challenge is None:
        raise InvalidOrExpiredToken(_GONE)
    return challenge


def attempt(purpose: str, raw: str) -> Challenge:
    """Count one of the five tries and return the challenge. Raises InvalidOrExpiredToken like `peek`."""
    if not _living(purpose, raw).update(tries=F("tries") + 1):
        raise InvalidOrExpiredToken(_GONE)
    challenge = Challenge.objects.filter(digest=digest(raw[:TOKEN_CHARS])).select_related("user").first()
    if challenge is None:  # another request has just answered it
        raise InvalidOrExpiredToken(_GONE)
    return challenge


def spend(challenge: Challenge) -> None:
    """Delete the challenge, in the transaction that it authorises. Raises InvalidOrExpiredToken if already spent."""
    if not Challenge.objects.filter(pk=challenge.pk).delete()[0]:
        raise InvalidOrExpiredToken(_GONE)


def new_code() -> str:
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


def code_digest(code: str, of: str) -> str:
    """Return the HMAC of a short code: without SECRET_KEY a stolen table cannot be searched by brute force."""
    return salted_hmac("users.factors.code", f"{of}:{code}", algorithm="sha256").hexdigest()


def is_code(challenge: Challenge, typed: str) -> bool:
    code = six_digits(typed)
    return bool(code and challenge.code) and constant_time_compare(
        challenge.code, code_digest(code or "", challenge.digest)
    )


def six_digits(typed: str) -> str | None:
    """Return six ASCII digits for six digits of any script, ignoring spaces and dashes; None for anything else."""
    kept = [char for char in typed if not char.isspace() and char not in "-\u2010\u2011\u2013"]
    if len(kept) != DIGITS or not all(char.isdecimal() for char in kept):
        return None
    return "".join(str(unicodedata.decimal(char)) for char in kept)


purging.register("challenges", purging.delete_batch(lambda: Challenge.objects.filter(expires_at__lte=timezone.now())))
