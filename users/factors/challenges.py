"""Single-use challenges: `mfa_token`s, WebAuthn challenges, mailed and texted codes. Digests at rest, five tries, once.

A try is taken by one conditional UPDATE before anything is compared, so that twenty parallel codes cost five; the
answer that is right deletes the row, so that of several right ones at once one counts.
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
    """Return what is stored of a token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()


def issue(
    purpose: str, *, user_id: int | None = None, seconds: int = SECONDS, raw: str = "", code: str = "", **data: Any
) -> str:
    """Store a challenge and return its token (`raw`, where the caller made it)."""
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
    """Return the open challenge, at no try. Raises InvalidOrExpiredToken: unknown, spent, expired or worn out."""
    challenge = _living(purpose, raw).select_related("user").first()
    if challenge is None:
        raise InvalidOrExpiredToken(_GONE)
    return challenge


def attempt(purpose: str, raw: str) -> Challenge:
    """Take one of its five tries and return it. Raises InvalidOrExpiredToken as `peek`."""
    if not _living(purpose, raw).update(tries=F("tries") + 1):
        raise InvalidOrExpiredToken(_GONE)
    challenge = Challenge.objects.filter(digest=digest(raw[:TOKEN_CHARS])).select_related("user").first()
    if challenge is None:  # answered at this moment
        raise InvalidOrExpiredToken(_GONE)
    return challenge


def spend(challenge: Challenge) -> None:
    """Use it up, in the transaction of what it opens. Raises InvalidOrExpiredToken where another was faster."""
    if not Challenge.objects.filter(pk=challenge.pk).delete()[0]:
        raise InvalidOrExpiredToken(_GONE)


def new_code() -> str:
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


def code_digest(code: str, of: str) -> str:
    """Return the HMAC of a short code: without SECRET_KEY a million guesses at a stolen table find nothing."""
    return salted_hmac("users.factors.code", f"{of}:{code}", algorithm="sha256").hexdigest()


def is_code(challenge: Challenge, typed: str) -> bool:
    code = six_digits(typed)
    return bool(code and challenge.code) and constant_time_compare(
        challenge.code, code_digest(code or "", challenge.digest)
    )


def six_digits(typed: str) -> str | None:
    """Return six ASCII digits for six of any script, spaces and dashes between them ignored; None for anything else."""
    kept = [char for char in typed if not char.isspace() and char not in "-\u2010\u2011\u2013"]
    if len(kept) != DIGITS or not all(char.isdecimal() for char in kept):
        return None
    return "".join(str(unicodedata.decimal(char)) for char in kept)


purging.register("challenges", purging.delete_batch(lambda: Challenge.objects.filter(expires_at__lte=timezone.now())))
