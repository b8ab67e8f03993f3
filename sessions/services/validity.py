"""Validity of a token's session, with the reasons in one order for every caller.

First the user (`user_inactive`), then the session (`session_revoked`, `session_expired`), then the token itself.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection

from common import pipelined, shared_clock
from common.errors import TokenNotValid
from sessions.models import UserSession
from sessions.tokens.codec import Claims

EXPIRED = "expired"  # the `end_reason` of a session that ran out by itself


def require(user: Any | None, user_session: UserSession | None, claims: Claims, *, at: datetime) -> UserSession:
    """Return the session of `claims` if it is living.

    A missing row was purged long after its end, or deleted with its user.

    Raises: TokenNotValid (401).
    """
    refresh = claims.token_type == "refresh"  # noqa: S105
    if user is None or not user.is_active:
        raise TokenNotValid("user_inactive", refresh_token=refresh)
    if user_session is None:
        raise TokenNotValid("session_revoked", refresh_token=refresh)
    if user_session.user_id != user.pk:  # signed by us, but not for this user and session
        raise TokenNotValid("invalid", refresh_token=refresh)
    if not user_session.is_active and user_session.end_reason != EXPIRED:
        raise TokenNotValid("session_revoked", refresh_token=refresh)
    if not user_session.is_living(at=at):
        note_expiry(user_session, at=at)
        raise TokenNotValid("session_expired", refresh_token=refresh)
    return user_session


def note_expiry(user_session: UserSession, *, at: datetime) -> None:
    """Mark an expired session as ended, once. The dates have decided already."""
    if user_session.is_active:
        UserSession.objects.filter(pk=user_session.pk, is_active=True, expires_at__lte=at).update(
            is_active=False, ended_at=user_session.expires_at, end_reason=EXPIRED
        )


def living_statement(session_ids: Sequence[int], *, at: datetime) -> pipelined.Statement:
    """Return the SQL that finds which of these sessions (row ids) are living, share-locked until the transaction ends.

    On PostgreSQL the shared lock makes a revocation wait for the caller's writes, so that nothing commits after a
    session has ended; take it before any lock on conversations.
    """
    user_table = connection.ops.quote_name(get_user_model()._meta.db_table)
    table = connection.ops.quote_name(UserSession._meta.db_table)
    share = "FOR SHARE OF s" if pipelined.is_postgresql() and connection.in_atomic_block else ""
    ids, params = pipelined.any_of(session_ids)
    return (
        f"SELECT s.id FROM {table} s JOIN {user_table} u ON u.id = s.user_id "  # noqa: S608
        f"WHERE s.id {ids} AND s.is_active AND s.expires_at > %s AND u.is_active ORDER BY s.id {share}",
        [*params, pipelined.param(at)],
    )


def living_ids(session_ids: Iterable[int]) -> set[int]:
    """Return which of these sessions (row ids) are living, locked as in `living_statement`. One statement for all."""
    wanted = sorted(set(session_ids))
    if not wanted:
        return set()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return {row[0] for row in pipelined.execute(*living_statement(wanted, at=shared_clock.now())).fetchall()}


def require_living(session_id: int) -> None:
    """Require that the session (row id) is living, and lock it; for a write in the same transaction.

    Raises: TokenNotValid("session_revoked").
    """
    if session_id not in living_ids([session_id]):
        raise TokenNotValid("session_revoked")
