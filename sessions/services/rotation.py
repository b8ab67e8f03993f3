"""Rotation of refresh tokens: each token (the parent) has exactly one successor.

If the parent is presented again, by a client that lost the response or by a second tab, it gets the *same* successor:
the row stores the claims as text, and they are signed again. This grace lasts while the successor is unused, and at
least `REFRESH_REUSE_INTERVAL` seconds. Any older token must have been copied: the session is revoked.
"""

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import transaction

from common import rates, shared_clock
from common.client import Client
from common.errors import TokenNotValid
from common.metrics import REFRESHES
from sessions import hot_sql
from sessions.authentication import DECIDING, check
from sessions.models import UserSession
from sessions.places import devices, location
from sessions.services import issuing, lifecycle, validity
from sessions.tokens import codec
from sessions.tokens.codec import Claims, TokenPair

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rotated:
    user_session: UserSession
    tokens: TokenPair
    replayed: bool


class Verdict(Enum):
    ROTATE = "rotate"
    REPLAY = "replay"
    REUSED = "reused"


def decide(user: Any, user_session: UserSession | None, claims: Claims, *, at: datetime) -> Verdict:
    """Decide what a refresh token gets, from the session's row alone. The counter orders tokens, never `iat` (seconds).

    Raises: TokenNotValid (401). A revoked session is tested first and has no grace.
    """
    row = validity.require(user, user_session, claims, at=at)
    if claims.token_type != codec.REFRESH:
        raise TokenNotValid("wrong_type", refresh_token=True)
    if claims.is_expired(at=at):
        raise TokenNotValid("expired", refresh_token=True)
    if claims.gen < row.minimum_generation:
        # From before a password change: no grace, and no revocation, by which a thief could end the user's new session.
        raise TokenNotValid("session_revoked", refresh_token=True)
    if claims.gen == row.generation:
        if claims.jti != row.current_jti:
            raise TokenNotValid("invalid", refresh_token=True)
        return Verdict.ROTATE
    if claims.gen > row.generation:  # signed by us, but the row was restored from an older backup
        raise TokenNotValid("invalid", refresh_token=True)
    is_parent = claims.gen == row.generation - 1 and claims.jti == row.previous_jti
    if is_parent and (not row.successor_used or _is_recent(row, at=at)):
        return Verdict.REPLAY
    return Verdict.REUSED


def _is_recent(row: UserSession, *, at: datetime) -> bool:
    interval = settings.REFRESH_REUSE_INTERVAL  # 0: no grace, not even for two simultaneous requests
    if interval <= 0 or row.rotated_at is None:
        return False
    # A `rotated_at` far in the future comes from a wrong clock and must not give hours of grace.
    return abs(at - row.rotated_at) <= timedelta(seconds=interval)


def rotate(*, refresh: str, client: Client) -> Rotated:
    """Return the successor of `refresh`, new or the same as before. At most five statements, no lock between them.

    Raises: TokenNotValid (401), Throttled (429). The revocation for a reused token is committed before the error.
    """
    now = shared_clock.now()
    try:
        rotated = _rotate(refresh, client, now=now)
    except TokenNotValid as error:
        REFRESHES.labels("reused" if error.reason == "token_reused" else "refused").inc()
        raise
    REFRESHES.labels("replayed" if rotated.replayed else "rotated").inc()
    return rotated


def _rotate(refresh: str, client: Client, *, now: datetime) -> Rotated:
    try:
        claims = codec.parse(refresh)
    except TokenNotValid as error:
        raise TokenNotValid(error.reason, refresh_token=True) from None
    rates.allow(name="refresh_session", key=str(claims.sid))
    user, user_session = hot_sql.load(user_id=claims.user_id, sid=claims.sid, person=DECIDING)
    verdict = decide(user, user_session, claims, at=now)
    assert user_session is not None  # noqa: S101 (decide refuses None)
    if verdict is Verdict.ROTATE and (rotated := succeed(user_session, client, at=now)):
        return rotated
    if verdict is Verdict.REPLAY:
        return replay(user_session, client, at=now)
    return _decide_locked(claims, client)


def _decide_locked(claims: Claims, client: Client) -> Rotated:
    """Decide again with the row locked: another request was faster, or the token was used before."""
    now = shared_clock.now()
    with transaction.atomic():
        lifecycle.lock_person(claims.user_id)
        row = UserSession.objects.select_for_update().filter(session_token=claims.sid).first()
        user = get_user_model().objects.filter(pk=claims.user_id).first()
        refused: TokenNotValid | None = None
        try:
            verdict = decide(user, row, claims, at=now)
        except TokenNotValid as error:
            refused = error
        else:
            assert row is not None  # noqa: S101
            if verdict is Verdict.REUSED:
                lifecycle.end_reused(row, client=client, gen=claims.gen, at=now)
            elif verdict is Verdict.ROTATE:
                rotated = succeed(row, client, at=now)
                assert rotated is not None  # noqa: S101 (we hold its lock)
                return rotated
    # The transaction is committed here: no later error can undo the revocation.
    if refused is not None:
        raise refused
    if verdict is Verdict.REUSED:
        raise TokenNotValid("token_reused", refresh_token=True)
    assert row is not None  # noqa: S101 (decide refuses None)
    return replay(row, client, at=now)


def succeed(user_session: UserSession, client: Client, *, at: datetime) -> Rotated | None:
    """Create the successor; None if the row has changed since it was read."""
    idle, _ = issuing.lifetimes(remember_me=user_session.remember_me)
    idle_end = at + idle
    ends_at = min(idle_end, user_session.absolute_expires_at)
    refresh = issuing.mint_refresh(user_session, gen=user_session.generation + 1, at=at, ends_at=ends_at)
    changes = {
        "generation": user_session.generation + 1,
        "previous_jti": user_session.current_jti,
        "rotated_at": at,
        "successor_used": False,
        "idle_expires_at": idle_end,
        "expires_at": ends_at,
        "last_seen_at": at,
        **issuing.refresh_fields(refresh),
        **_device_changes(user_session, client),
    }
    if not hot_sql.swap(user_session, changes, retired_exp=user_session.expires_at, at=at):
        return None
    for name, value in changes.items():
        setattr(user_session, name, value)
    return Rotated(
        user_session=user_session, tokens=issuing.pair_of(user_session, refresh.token, at=at), replayed=False
    )


def _device_changes(user_session: UserSession, client: Client) -> dict[str, Any]:
    """Return changed device columns, to be written with the rotation: phones move and get updates."""
    changes: dict[str, Any] = {}
    if client.ip_address and client.ip_address != user_session.ip_address:
        changes |= {"ip_address": client.ip_address, "location": location.lookup(client.ip_address)}
    if client.user_agent and client.user_agent != user_session.user_agent:
        changes |= {"user_agent": client.user_agent, "client": devices.client_of(client.user_agent)}
    return changes


def replay(user_session: UserSession, client: Client, *, at: datetime) -> Rotated:
    """Return the existing successor to a parent that is presented again. Writes nothing to the session."""
    refresh = codec.sign_again(
        claims=user_session.refresh_claims,
        kid=user_session.signing_kid,
        algorithm=user_session.signing_algorithm,
    )
    if _is_first_replay(user_session):
        try:
            lifecycle.tell_event("refresh_replayed", user_session=user_session, client=client, at=at)
        except Exception:  # e.g. the user is being deleted: a missing timeline entry is no reason for a 500
            log.exception("session.replay_event_failed", sid=str(user_session.session_token))
    return Rotated(user_session=user_session, tokens=issuing.pair_of(user_session, refresh, at=at), replayed=True)


def _is_first_replay(user_session: UserSession) -> bool:
    """Return True once a rotation, so that eight tabs make one event; always True while the cache is down."""
    with contextlib.suppress(Exception):
        return cache.add(f"refresh-replayed:{user_session.pk}:{user_session.generation}", 1, 86_400)
    return True


def verify(raw: str) -> None:
    """Accept a valid access token or the newest refresh token of a living session; rotates nothing.

    Raises: TokenNotValid (401).
    """
    claims = codec.parse(raw)
    if claims.token_type == codec.ACCESS:
        check(claims)
        return
    user, user_session = hot_sql.load(user_id=claims.user_id, sid=claims.sid, person=DECIDING)
    if decide(user, user_session, claims, at=shared_clock.now()) is not Verdict.ROTATE:
        raise TokenNotValid("invalid", refresh_token=True)
