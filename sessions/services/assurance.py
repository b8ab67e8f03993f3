"""How sure we are of who sits at a session: when they last proved it, and by what.

`authenticated_at` and `amr` stand in the session's row; access tokens, the session list and the socket's `hello` show
them. Whether a proof is *fresh* is decided here and nowhere else, for HTTP and for the socket alike.

Source: RFC 8176 (`amr` values), OpenID Connect Core §2 (`auth_time`), NIST SP 800-63B-4 §2.2.3 and §2.3.3.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from common.errors import TokenNotValid
from sessions.models import UserSession
from sessions.tokens import codec

PASSWORD, OTP, KEY, MULTIPLE, SMS, FEDERATED = "pwd", "otp", "hwk", "mfa", "sms", "fed"
# The order in which they are written, whichever came first.
_ORDER = (PASSWORD, FEDERATED, SMS, OTP, KEY, MULTIPLE)


@dataclass(frozen=True, kw_only=True)
class Proven:
    """A session that was proved anew, with the access token that says so."""

    access: str
    access_expires_in: int
    auth_time: datetime
    amr: list[str]


def ordered(methods: Iterable[str]) -> list[str]:
    """Return the `amr` of these methods, each once."""
    known = set(methods)
    return [method for method in _ORDER if method in known]


def proved_at(user_session: UserSession) -> datetime:
    """Return when the person last proved who they are; a row of an older release only knows its login."""
    return user_session.authenticated_at or user_session.created_at


def methods(user_session: UserSession) -> list[str]:
    return list(user_session.amr or [PASSWORD])


def is_fresh(user_session: UserSession, *, second_factor: bool, at: datetime) -> bool:
    """Tell whether the proof counts as fresh: `REAUTH_SECONDS` old at most, by two factors where a second one is on.

    A proof from the future (a clock that was set back) is as good as one of this moment.
    """
    if second_factor and MULTIPLE not in methods(user_session):
        return False
    return at - proved_at(user_session) <= timedelta(seconds=settings.REAUTH_SECONDS)


def raise_to(user_session: UserSession, amr: Iterable[str], *, at: datetime | None = None) -> UserSession:
    """Write further methods, and with `at` a new proof; call inside a transaction. Returns the locked row.

    Raises: TokenNotValid("session_revoked") where the session ended meanwhile.
    """
    row = UserSession.objects.select_for_update().filter(pk=user_session.pk).first()
    if row is None or not row.is_living(at=at or timezone.now()):
        raise TokenNotValid("session_revoked")
    row.amr = ordered([*methods(row), *amr])
    row.authenticated_at = at or proved_at(row)
    row.save(update_fields=["amr", "authenticated_at"])
    return row


def prove(*, user_id: int, sid: uuid.UUID, gen: int, amr: Iterable[str]) -> Proven:
    """Note a proof given in a living session and return an access token that carries it.

    `gen`: the generation of the token that asked. The new one is of the same, so that its use never stands for the
    arrival of a refresh token that was made meanwhile.

    Raises: TokenNotValid("session_revoked").
    """
    now = timezone.now()
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
