"""Lifetimes and token pairs of a session. Nothing is stored here; callers write the row."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from sessions.models import UserSession
from sessions.services import assurance
from sessions.tokens import codec
from sessions.tokens.codec import Signed, TokenPair


def lifetimes(*, remember_me: bool) -> tuple[timedelta, timedelta]:
    """Return the idle and the absolute lifetime of a session."""
    if remember_me:
        seconds = settings.REMEMBER_ME_IDLE_LIFETIME, settings.REMEMBER_ME_ABSOLUTE_LIFETIME
    else:
        seconds = settings.SESSION_IDLE_LIFETIME, settings.SESSION_ABSOLUTE_LIFETIME
    return timedelta(seconds=seconds[0]), timedelta(seconds=seconds[1])


def pair_of(user_session: UserSession, refresh: str, *, at: datetime) -> TokenPair:
    """Return `refresh` paired with a new access token of the session's generation."""
    access = codec.mint_access(
        user_id=user_session.user_id,
        sid=user_session.session_token,
        gen=user_session.generation,
        at=at,
        session_ends_at=user_session.expires_at,
        auth_time=assurance.proved_at(user_session),
        amr=assurance.methods(user_session),
    )
    left = int((user_session.expires_at - at).total_seconds())
    return TokenPair(
        access=access.token,
        refresh=refresh,
        access_expires_in=min(settings.ACCESS_TOKEN_LIFETIME, left),
        refresh_expires_in=left,
    )


def mint_refresh(user_session: UserSession, *, gen: int, at: datetime, ends_at: datetime) -> Signed:
    return codec.mint(
        token_type=codec.REFRESH,
        user_id=user_session.user_id,
        sid=user_session.session_token,
        gen=gen,
        at=at,
        ends_at=ends_at,
    )


def refresh_fields(signed: Signed) -> dict[str, Any]:
    """Return the columns that store a refresh token: enough to sign the same bytes again, never the token itself."""
    return {
        "current_jti": signed.jti,
        "refresh_claims": signed.claims,
        "signing_kid": signed.kid,
        "signing_algorithm": signed.algorithm,
    }
