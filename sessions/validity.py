"""Whether a token of a session still counts: one order of truth for every door.

The person (`user_inactive`), then the session (`session_revoked`, `session_expired`), then the token itself.
"""

from datetime import datetime
from typing import Any

from common.errors import TokenNotValid
from sessions.models import UserSession
from sessions.tokens import Claims

EXPIRED = "expired"  # the `end_reason` of a session that nobody ended


def require(user: Any | None, user_session: UserSession | None, claims: Claims, *, at: datetime) -> UserSession:
    """Return the session if it is the living one of `claims`.

    A row that is gone was purged long after its end, or went with its person.

    Raises: TokenNotValid (401).
    """
    refresh = claims.token_type == "refresh"  # noqa: S105
    if user is None or not user.is_active:
        raise TokenNotValid("user_inactive", refresh_token=refresh)
    if user_session is None:
        raise TokenNotValid("session_revoked", refresh_token=refresh)
    if user_session.user_id != user.pk:  # signed by us, but never for this pair
        raise TokenNotValid("invalid", refresh_token=refresh)
    if not user_session.is_active and user_session.end_reason != EXPIRED:
        raise TokenNotValid("session_revoked", refresh_token=refresh)
    if not user_session.is_living(at=at):
        note_expiry(user_session, at=at)
        raise TokenNotValid("session_expired", refresh_token=refresh)
    return user_session


def note_expiry(user_session: UserSession, *, at: datetime) -> None:
    """Mark a session that ran out as ended, once; the dates decided already."""
    if user_session.is_active:
        UserSession.objects.filter(pk=user_session.pk, is_active=True, expires_at__lte=at).update(
            is_active=False, ended_at=user_session.expires_at, end_reason=EXPIRED
        )
