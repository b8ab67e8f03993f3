"""Message search: one SQL statement that combines visibility and search terms.

PostgreSQL uses a GIN index of `tsvector`, SQLite an FTS5 table of the same words; the rest is the same.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models

from chat.models import Conversation, Message
from chat.search.query import Query, Term

FTS = "chat_messagetext_fts"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Search terms and filters. `has`: "attachment", "link" or ""; `before_id`: from an earlier page."""

    query: Query
    conversation_uuid: uuid.UUID | None = None
    sender_id: int | None = None
    before: datetime | None = None
    after: datetime | None = None
    has: str = ""
    before_id: int | None = None


def find(user_id: int, wanted: Wanted, *, limit: int) -> list[Message]:
    """Return the newest matching messages that the user may see now, at most `limit`."""
    sql, parameters = statement(user_id, wanted, limit=limit)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        ids = [row[0] for row in cursor.fetchall()]
    rows = Message.objects.in_bulk(ids)
    return [rows[pk] for pk in ids if pk in rows]


def statement(user_id: int, wanted: Wanted, *, limit: int) -> tuple[str, list[Any]]:
    """Return the statement and its parameters."""
    is_postgresql = connection.vendor == "postgresql"
    conditions = ["m.deleted_at IS NULL"]
    parameters: list[Any] = []
    start, number, join = "", "m.id", "JOIN"
    source = "chat_message m"
    if wanted.query.terms:
        parameters.append(expression(wanted.query.terms, is_postgresql=is_postgresql))
        if is_postgresql:
            # Materialised: a planner that expects many matches would scan all messages from the newest on instead.
            start = "WITH hits AS MATERIALIZED (SELECT message_id FROM chat_messagetext WHERE words @@ %s::tsquery) "
            source = "hits JOIN chat_message m ON m.id = hits.message_id"
        else:
            # SQLite keeps the order of a CROSS JOIN: the index first, newest first, so that a page ends the search.
            join, number = "CROSS JOIN", f"{FTS}.rowid"
            source = f"{FTS} CROSS JOIN chat_message m ON m.id = {FTS}.rowid AND {FTS} MATCH %s"
    parameters.append(user_id)
    if wanted.query.without:
        # FTS5's `NOT` needs a left operand; a message with any of the excluded words is excluded.
        excluded = [expression([term], is_postgresql=is_postgresql) for term in wanted.query.without]
        unwanted = f"m.id IN (SELECT rowid FROM {FTS} WHERE {FTS} MATCH %s)"  # noqa: S608
        if is_postgresql:
            unwanted = "m.id IN (SELECT message_id FROM chat_messagetext WHERE words @@ %s::tsquery)"
        conditions += [f"NOT ({unwanted})"] * len(excluded)
        parameters += excluded
    _filter(wanted, number, conditions, parameters)
    sql = (
        f"{start}SELECT m.id FROM {source} "  # noqa: S608  (names and conditions of this module alone)
        f"{join} chat_membership b ON b.conversation_id = m.conversation_id AND b.user_id = %s "
        "AND b.left_seq IS NULL AND b.visible_after_seq < m.seq "
        f"WHERE {' AND '.join(conditions)} ORDER BY {number} DESC LIMIT %s"
    )
    return sql, [*parameters, limit]


def _filter(wanted: Wanted, number: str, conditions: list[str], parameters: list[Any]) -> None:
    if wanted.conversation_uuid is not None:
        conditions.append("m.conversation_id = (SELECT id FROM chat_conversation WHERE uuid = %s)")
        parameters.append(_prepared(Conversation, "uuid", wanted.conversation_uuid))
    if wanted.sender_id is not None:
        conditions.append("m.sender_id = %s")
        parameters.append(wanted.sender_id)
    for sign, at in (("<", wanted.before), (">", wanted.after)):
        if at is not None:
            conditions.append(f"m.created_at {sign} %s")
            parameters.append(_prepared(Message, "created_at", at))
    if wanted.has == "attachment":
        conditions.append("EXISTS (SELECT 1 FROM chat_attachment a WHERE a.message_id = m.id)")
    elif wanted.has == "link":
        conditions.append("EXISTS (SELECT 1 FROM chat_messagetext l WHERE l.message_id = m.id AND l.has_link)")
    if wanted.before_id is not None:
        conditions.append(f"{number} < %s")
        parameters.append(wanted.before_id)


def _prepared(model: type[models.Model], name: str, value: Any) -> Any:
    return model._meta.get_field(name).get_db_prep_value(value, connection)  # type: ignore[union-attr,arg-type]


def expression(terms: Sequence[Term], *, is_postgresql: bool) -> str:
    """Return the terms in the engine's query language. Words are quoted and contain only letters and digits."""
    if not is_postgresql:
        return " AND ".join(f'"{" ".join(term.words)}"{" *" if term.is_prefix else ""}' for term in terms)
    parts = []
    for term in terms:
        quoted = [f"'{word}'" for word in term.words]
        quoted[-1] += ":*" if term.is_prefix else ""
        parts.append(f"({' <-> '.join(quoted)})")
    return " & ".join(parts)
