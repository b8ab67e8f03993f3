"""The last check before a push is sent: its registration exists and its session is living.

It is a transaction of a few milliseconds around the bytes of the request. It locks the registration's row, so that
whoever ends the session waits for a push under way, and no push begins after that commit. The service's answer is
awaited without any lock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.utils import timezone

from sessions import hot_sql
from sessions.models import PushRegistration, UserSession


class Over(Exception):
    """These registrations or their sessions have ended: nothing may be sent to them."""

    def __init__(self, registration_ids: set[int]) -> None:
        super().__init__()
        self.registration_ids = registration_ids


@contextmanager
def still_there(registration_ids: Sequence[int]) -> Iterator[None]:
    """Lock registrations of living sessions while the block runs. Raises Over if one is gone or its session ended."""
    name = connection.ops.quote_name
    registration, user_session = name(PushRegistration._meta.db_table), name(UserSession._meta.db_table)
    user = name(get_user_model()._meta.db_table)
    # KEY SHARE blocks only deletions: a rotation or a new address of the same session does not wait.
    hold = "ORDER BY r.id FOR KEY SHARE OF r" if connection.vendor == "postgresql" else ""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT r.id FROM {registration} r JOIN {user_session} s ON s.id = r.user_session_id "  # noqa: S608
            f"JOIN {user} u ON u.id = s.user_id "
            f"WHERE r.id IN ({', '.join(['%s'] * len(registration_ids))}) "
            f"AND s.is_active AND s.expires_at > %s AND u.is_active {hold}",
            [*registration_ids, hot_sql.db_value("expires_at", timezone.now())],
        )
        if missing := set(registration_ids) - {row[0] for row in cursor.fetchall()}:
            raise Over(missing)
        yield
