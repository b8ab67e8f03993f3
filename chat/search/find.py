"""Message search: one SQL statement that combines visibility and search terms.

PostgreSQL uses a GIN index of `tsvector`, SQLite an FTS5 table of the same words; the rest is the same. A GIN index
returns all hits at once, so that a common word is first looked for in the newest messages.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models

from chat.models import Conversation, Message
from chat.search.query import Query, Term
from common.postgresql import replica

FTS = "chat_messagetext_fts"
COMMON = 2_000  # expected hits beyond which the newest messages are looked through first
# What PostgreSQL says of words that it knows nothing of is 0.5 % of all messages, of beginnings 2 %: no sign of either.
UNKNOWN, UNKNOWN_BEGINNING = 0.0075, 0.025
REACH = 5_000  # how many of them, over all conversations
REACH_EACH = 100  # and in each at least


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
    """Return the newest messages that match and that the person may see now, at most `limit`."""
    is_common = _is_common(wanted.query)
    ids = _among_newest(user_id, wanted, limit=limit) if is_common else None
    if ids is None:
        sql, parameters = statement(user_id, wanted, limit=limit, few=not is_common)
        with replica.connection().cursor() as cursor:
            cursor.execute(sql, parameters)
            ids = [row[0] for row in cursor.fetchall()]
    rows = Message.objects.in_bulk(ids)
    return [rows[pk] for pk in ids if pk in rows]


def _is_common(query: Query) -> bool:
    """Return whether PostgreSQL expects many hits, by its statistics alone: of the words, or of their beginnings."""
    if replica.connection().vendor != "postgresql" or not query.terms:
        return replica.connection().vendor == "postgresql"
    whole = [Term(term.words, is_prefix=False) for term in query.terms]
    hits = "SELECT 1 FROM chat_messagetext WHERE words @@ %s::tsquery"
    with replica.connection().cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (FORMAT JSON) {hits} UNION ALL {hits} UNION ALL SELECT 1 FROM chat_messagetext",  # noqa: S608
            [expression(terms, is_postgresql=True) for terms in (whole, query.terms)],
        )
        plan = cursor.fetchone()[0]
    plan = json.loads(plan) if isinstance(plan, str) else plan
    words, beginnings, messages = (part["Plan Rows"] for part in plan[0]["Plan"]["Plans"])
    return bool(words > max(COMMON, UNKNOWN * messages) or beginnings > max(COMMON, UNKNOWN_BEGINNING * messages))


def _among_newest(user_id: int, wanted: Wanted, *, limit: int) -> list[int] | None:
    """Return the page if the newest messages of each conversation decide it, else None (PostgreSQL)."""
    sql, parameters = newest_statement(user_id, wanted, limit=limit)
    with replica.connection().cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    ids = sorted((pk for found, _ in rows for pk in found or ()), reverse=True)[:limit]
    # Below this some conversation was not looked through.
    floor = max((seen for _, seen in rows if seen is not None), default=0)
    return ids if not floor or (len(ids) == limit and ids[-1] >= floor) else None


def newest_statement(user_id: int, wanted: Wanted, *, limit: int) -> tuple[str, list[Any]]:
    """Return a statement with a row for each conversation: its newest matches, and how far down it was looked through.

    The second is NULL where that is the whole conversation, or where there are `limit` matches already. Each
    conversation is read from its newest message on and left as soon as there are enough.
    """
    own, conditions, parameters = "", ["m.deleted_at IS NULL"], []
    if wanted.conversation_uuid is not None:
        own = " AND b.conversation_id = (SELECT id FROM chat_conversation WHERE uuid = %s)"
        parameters.append(_prepared(Conversation, "uuid", wanted.conversation_uuid))
    parameters = [user_id, *parameters, REACH_EACH, REACH]
    # OFFSET 0 keeps the planner from joining all hits instead of looking at one message's words.
    matches = "EXISTS (SELECT 1 FROM chat_messagetext t WHERE t.message_id = m.id AND t.words @@ %s::tsquery OFFSET 0)"
    if wanted.query.terms:
        conditions.append(matches)
        parameters.append(expression(wanted.query.terms, is_postgresql=True))
    conditions += [f"NOT {matches}"] * len(wanted.query.without)
    parameters += [expression([term], is_postgresql=True) for term in wanted.query.without]
    _filter(wanted, "m.id", conditions, parameters)
    candidates = (
        "FROM chat_message m WHERE m.conversation_id = own.conversation_id AND m.seq > own.visible_after_seq "
        "ORDER BY m.seq DESC"
    )
    sql = f"""
        WITH own AS MATERIALIZED (
            SELECT b.conversation_id, b.visible_after_seq FROM chat_membership b
            WHERE b.user_id = %s AND b.left_seq IS NULL{own}
        ), reach AS MATERIALIZED (SELECT greatest(%s, %s / greatest(count(*), 1)) AS rows FROM own)
        SELECT found.ids, CASE WHEN coalesce(cardinality(found.ids), 0) < %s THEN
            (SELECT m.id {candidates} OFFSET (SELECT rows - 1 FROM reach) LIMIT 1) END
        FROM own CROSS JOIN LATERAL (
            SELECT array_agg(matching.id) AS ids FROM (
                SELECT m.id FROM (SELECT m.* {candidates} LIMIT (SELECT rows FROM reach)) m
                WHERE {" AND ".join(conditions)} ORDER BY m.seq DESC LIMIT %s
            ) matching
        ) found
    """  # noqa: S608  (names and conditions of this module alone)
    place = 3 + (wanted.conversation_uuid is not None)
    return sql, [*parameters[:place], limit, *parameters[place:], limit]


def statement(user_id: int, wanted: Wanted, *, limit: int, few: bool = True) -> tuple[str, list[Any]]:
    """Return the statement and its parameters."""
    is_postgresql = replica.connection().vendor == "postgresql"
    conditions = ["m.deleted_at IS NULL"]
    parameters: list[Any] = []
    start, number, join = "", "m.id", "JOIN"
    source = "chat_message m"
    excluded = [expression([term], is_postgresql=is_postgresql) for term in wanted.query.without]
    if wanted.query.terms:
        asked = expression(wanted.query.terms, is_postgresql=is_postgresql)
        if excluded and not is_postgresql:  # in the index: asked of each message, it would be opened anew each time
            asked, excluded = f"({asked}) NOT ({' OR '.join(excluded)})", []
        parameters.append(asked)
        if is_postgresql:
            # Materialised: a planner that expects many matches would scan all messages from the newest on instead.
            start = "WITH hits AS MATERIALIZED (SELECT message_id FROM chat_messagetext WHERE words @@ %s::tsquery) "
            source = "hits JOIN chat_message m ON m.id = hits.message_id"
            if few:  # by key, one by one: of a word that it does not know the planner expects one message in 200
                source = "hits CROSS JOIN LATERAL (SELECT * FROM chat_message WHERE id = hits.message_id OFFSET 0) m"
        else:
            # SQLite keeps the order of a CROSS JOIN: the index first, newest first, so that a page ends the search.
            join, number = "CROSS JOIN", f"{FTS}.rowid"
            source = f"{FTS} CROSS JOIN chat_message m ON m.id = {FTS}.rowid AND {FTS} MATCH %s"
    parameters.append(user_id)
    if excluded:  # FTS5's `NOT` needs a left operand; a message with any of the excluded words is excluded
        # Asked of each message by itself: an excluded word may stand in most of all.
        unwanted = f"(SELECT 1 FROM {FTS} WHERE rowid = m.id AND {FTS} MATCH %s)"  # noqa: S608
        if is_postgresql:
            unwanted = (
                "(SELECT 1 FROM chat_messagetext t WHERE t.message_id = m.id AND t.words @@ %s::tsquery OFFSET 0)"
            )
        conditions += [f"NOT EXISTS {unwanted}"] * len(excluded)
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
    return model._meta.get_field(name).get_db_prep_value(value, replica.connection())  # type: ignore[union-attr,arg-type]


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
