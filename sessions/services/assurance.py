"""Authentication assurance of a session: when its user last authenticated and by which methods.

`authenticated_at` and `amr` are columns of the session; access tokens, the session list and the socket's `hello` show
them. Whether an authentication is *fresh* is decided only here, for HTTP and for the socket.

Source: RFC 8176 (`amr` values), OpenID Connect Core §2 (`auth_time`), NIST SP 800-63B-4 §2.2.3 and §2.3.3.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from common import shared_clock
from common.errors import TokenNotValid
from sessions.models import UserSession
from sessions.tokens import codec

PASSWORD, OTP, KEY, MULTIPLE, SMS, FEDERATED = "pwd", "otp", "hwk", "mfa", "sms", "fed"
# The order in which methods are written, regardless of when they were used.
_ORDER = (PASSWORD, FEDERATED, SMS, OTP, KEY, MULTIPLE)


@dataclass(frozen=True, kw_only=True)
class Proven:
    """Result of a reauthentication: the new time and methods, and an access token that carries them."""

    access: str
    access_expires_in: int
    auth_time: datetime
    amr: list[str]


def ordered(methods: Iterable[str]) -> list[str]:
    """Return these methods as an `amr` list, each once and in a fixed order."""
    known = set(methods)
    return [method for method in _ORDER if method in known]


def proved_at(user_session: UserSession) -> datetime:
    """Return when the user last authenticated; for a row of an older release, when the session started."""
    return user_session.authenticated_at or user_session.created_at


def methods(user_session: UserSession) -> list[str]:
    return list(user_session.amr or [PASSWORD])


def is_fresh(user_session: UserSession, *, second_factor: bool, at: datetime) -> bool:
    """Return whether the authentication is fresh: at most `REAUTH_SECONDS` old, by two factors if a second one is on.

    A time in the future (after a clock was set back) counts as now.
    """
    if second_factor and MULTIPLE not in methods(user_session):
        return False
    return at - proved_at(user_session) <= timedelta(seconds=settings.REAUTH_SECONDS)


def raise_to(user_session: UserSession, amr: Iterable[str], *, at: datetime | None = None) -> UserSession:
    """Add methods, and with `at` a new authentication time. Call inside a transaction. Returns the locked row.

    Raises: TokenNotValid("session_revoked") if the session has ended.
    """
    row = UserSession.objects.select_for_update().filter(pk=user_session.pk).first()
    if row is None or not row.is_living(at=at or shared_clock.now()):
        raise TokenNotValid("session_revoked")
    row.amr = ordered([*methods(row), *amr])
    row.authenticated_at = at or proved_at(row)
    row.save(update_fields=["amr", "authenticated_at"])
    return row


def prove(*, user_id: int, sid: uuid.UUID, gen: int, amr: Iterable[str]) -> Proven:
    """Record a reauthentication in a living session and return an access token that carries it.

    `gen`: the generation of the request's token. The new token has the same one, so that its use does not confirm the
    arrival of a refresh token that was issued meanwhile.

    Raises: TokenNotValid("session_revoked").
    """
    now = shared_clock.now()
    with transaction.atomic():
        user_session = UserSession.objects.filter(user_id=user_id, session_token=sid).first()
        if user_session is None:
            raise TokenNotValid("session_revoked")
        row = raise_to(user_session, amr, at=now)
    access = codec.mint_access(
        user_id=user_id,
        sid=sid,
        gen=gen,
        at=now,
        session_ends_at=row.expires_at,
        auth_time=now,
        amr=row.amr or [],
    )
    return Proven(
        access=access.token,
        access_expires_in=min(settings.ACCESS_TOKEN_LIFETIME, int((row.expires_at - now).total_seconds())),
        auth_time=now,
        amr=row.amr or [],
    )
