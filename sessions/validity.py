"""Whether a token of a session still counts: one order of truth for every door.

The person (`user_inactive`), then the session (`session_revoked`, `session_expired`), then the token itself.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from common.errors import TokenNotValid
from sessions import hot_sql
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


def living_ids(session_ids: Iterable[int]) -> set[int]:
    """Return which of these sessions (row ids) live, and hold them so until the caller's transaction ends.

    One statement for a whole batch of writes. On PostgreSQL the shared lock makes a revocation wait for the batch,
    so that nothing commits after a session has ended; take it before any lock on conversations.
    """
    wanted = sorted(set(session_ids))
    if not wanted:
        return set()
    user_table = connection.ops.quote_name(get_user_model()._meta.db_table)
    table = connection.ops.quote_name(UserSession._meta.db_table)
    share = "ORDER BY s.id FOR SHARE OF s" if connection.vendor == "postgresql" else ""
    if share and not connection.in_atomic_block:
        share = ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT s.id FROM {table} s JOIN {user_table} u ON u.id = s.user_id "  # noqa: S608
            f"WHERE s.id IN ({', '.join(['%s'] * len(wanted))}) AND s.is_active AND s.expires_at > %s AND u.is_active "
            f"{share}",
            [*wanted, hot_sql.db_value("expires_at", timezone.now())],
        )
        return {row[0] for row in cursor.fetchall()}


def require_living(session_id: int) -> None:
    """Pass where the session (row id) lives; for a write inside its own transaction.

    Raises: TokenNotValid("session_revoked").
    """
    if session_id not in living_ids([session_id]):
        raise TokenNotValid("session_revoked")
