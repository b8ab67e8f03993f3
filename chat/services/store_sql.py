"""SQL for storing messages: reads and locks in one round trip, writes in another.

The order of the reads matters: sessions are share-locked first, so that a revoked session never writes; then the
conversations in the order of their ids, so that batches cannot deadlock; membership, repeats and blocks come after the
locks, in separate statements, because a statement sees only what was committed when it began.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection

from chat.models import ChatSettings, Conversation, Event, Membership, Mention, Message, MessageText
from chat.search import index
from chat.search.models import vector
from chat.services import blocks
from common import bulk_insert, json, pipelined
from common.pipelined import any_of, as_time, as_uuid, execute, param
from sessions.services.validity import living_statement


@dataclass(slots=True)
class Room:
    """A locked conversation, with the counters that the batch advances."""

    id: int
    uuid: UUID
    kind: str
    seq: int
    message_no: int
    slow_mode_seconds: int


@dataclass(slots=True)
class Member:
    """A living membership with its user's names; `last_sent_at` advances with the batch."""

    conversation_id: int
    user_id: int
    visible_after_seq: int
    seen_message_no: int
    share_receipts: bool
    role: str
    last_sent_at: datetime | None
    id: int
    username: str
    first_name: str
    last_name: str


@dataclass(frozen=True, slots=True)
class Known:
    """A message stored earlier under the same `client_msg_id`."""

    uuid: UUID
    seq: int
    created_at: datetime
    client_msg_id: UUID
    sender_id: int
    content_digest: str
    conversation_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """The state that admits or refuses messages, read under the locks."""

    living: set[int]
    rooms: dict[UUID, Room]
    members: dict[tuple[int, int], Member]
    known: dict[tuple[int, UUID], Known]
    blocked: set[int]  # direct conversations in which one member blocks the other
    closed: set[int]  # direct conversations whose other member has closed the account


class Row(Protocol):
    """A message about to be written."""

    id: int
    uuid: UUID
    seq: int
    message_no: int
    digest: str
    mentions: list[int]

    @property
    def room(self) -> Room: ...
    @property
    def send(self) -> Any: ...
    @property
    def reply_to(self) -> Message | None: ...


def _table(model: Any) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def read(
    *, session_ids: set[int], room_uuids: set[UUID], user_ids: set[int], client_msg_ids: set[UUID], at: datetime
) -> Found:
    """Lock sessions and conversations and read the state that admits messages, in the caller's transaction.

    One round trip inside the caller's `pipelined.one_trip()`: nothing is fetched before everything is sent.
    """
    rooms, rooms_params = any_of(sorted(room_uuids))
    users, users_params = any_of(sorted(user_ids))
    ids, ids_params = any_of(sorted(client_msg_ids))
    lock = "FOR NO KEY UPDATE" if pipelined.is_postgresql() else ""
    conversation, membership, person = _table(Conversation), _table(Membership), _table(get_user_model())
    living = execute(*living_statement(sorted(session_ids), at=at)) if session_ids else None
    locked = execute(
        f"SELECT id, uuid, kind, last_seq, last_message_no, slow_mode_seconds FROM {conversation} WHERE uuid {rooms} "  # noqa: S608
        f"ORDER BY id {lock}",
        rooms_params,
    )
    members = execute(
        "SELECT m.conversation_id, m.user_id, m.visible_after_seq, m.seen_message_no, "  # noqa: S608
        "COALESCE(s.share_receipts, TRUE), m.role, m.last_sent_at, u.id, u.username, u.first_name, u.last_name "
        f"FROM {membership} m JOIN {conversation} c ON c.id = m.conversation_id "
        f"JOIN {person} u ON u.id = m.user_id "
        f"LEFT JOIN {_table(ChatSettings)} s ON s.user_id = m.user_id "
        f"WHERE c.uuid {rooms} AND m.user_id {users} AND m.left_seq IS NULL",
        [*rooms_params, *users_params],
    )
    known = client_msg_ids and execute(
        "SELECT uuid, seq, created_at, client_msg_id, sender_id, content_digest, conversation_id "  # noqa: S608
        f"FROM {_table(Message)} WHERE sender_id {users} AND client_msg_id {ids}",
        [*users_params, *ids_params],
    )
    blocked_sql, blocked_params = blocks.blocked_statement("uuid", sorted(room_uuids))
    silent = execute(
        f"SELECT 'blocked', conversation_id FROM ({blocked_sql}) b UNION ALL "  # noqa: S608
        f"SELECT 'closed', c.id FROM {conversation} c WHERE c.uuid {rooms} AND c.kind = 'direct' AND 2 > "
        f"(SELECT count(*) FROM {membership} m WHERE m.conversation_id = c.id AND m.left_seq IS NULL)",
        [*blocked_params, *rooms_params],
    )
    reasons = silent.fetchall()
    return Found(
        living={row[0] for row in living.fetchall()} if living else set(),
        rooms={room.uuid: room for row in locked.fetchall() if (room := _room(*row))},
        members={(row[0], row[1]): _member(*row) for row in members.fetchall()},
        known={(one.sender_id, one.client_msg_id): one for row in known.fetchall() if (one := _known(*row))}
        if known
        else {},
        blocked={pk for reason, pk in reasons if reason == "blocked"},
        closed={pk for reason, pk in reasons if reason == "closed"},
    )


def _room(id: int, name: Any, *rest: Any) -> Room:
    return Room(id, as_uuid(name), *rest)  # type: ignore[arg-type]


def _member(*row: Any) -> Member:
    member = Member(*row)
    member.last_sent_at = None if member.last_sent_at is None else as_time(member.last_sent_at)
    return member


def _known(name: Any, seq: int, created_at: Any, client_msg_id: Any, *rest: Any) -> Known:
    return Known(as_uuid(name), seq, as_time(created_at), as_uuid(client_msg_id), *rest)  # type: ignore[arg-type]


def write(rows: Sequence[Row], *, at: datetime, ids: bool) -> None:
    """Store the messages and their events, advance the heads, and mark them as seen by their senders.

    `ids`: also set `row.id`, which costs a round trip of its own on PostgreSQL.
    """
    if pipelined.is_postgresql():
        _write_at_once(rows, at=at, ids=ids)
    else:
        _write_one_by_one(rows, at=at)


_MESSAGE_COLUMNS = (
    "uuid", "conversation", "seq", "message_no", "sender", "content", "client_msg_id", "content_digest", "reply_to",
    "mentions", "created_at",
)  # fmt: skip
_EVENT_COLUMNS = ("conversation", "seq", "kind", "at", "actor", "message", "payload")


def _write_at_once(rows: Sequence[Row], *, at: datetime, ids: bool) -> None:
    """One statement for PostgreSQL, planned once for any number of rows.

    The rows travel as one JSON text: psycopg takes half a microsecond for each element of an array, in Python.
    """
    given = []
    for row in rows:
        words, has_link = index.columns(row.send.content)
        given.append(
            {
                "uuid": row.uuid,
                "conversation_id": row.room.id,
                "seq": row.seq,
                "message_no": row.message_no,
                "sender_id": row.send.user_id,
                "content": row.send.content,
                "client_msg_id": row.send.client_msg_id,
                "digest": row.digest,
                "reply_to_id": row.reply_to.pk if row.reply_to else None,
                "mentions": row.mentions,
                "words": vector(words),
                "has_link": has_link,
            }
        )
    sql = _statement(with_mentions=any(row.mentions for row in rows))
    cursor = execute(sql, [json.dumps(given).decode(), at, at, at, at, at])
    if ids:
        found = {(conversation_id, seq): pk for pk, conversation_id, seq in cursor.fetchall()}
        for row in rows:
            row.id = found[row.room.id, row.seq]


@functools.cache
def _statement(*, with_mentions: bool) -> str:
    mentions = (
        f""",
    named AS (
        INSERT INTO {_table(Mention)} (user_id, conversation_id, message_id, message_no)
        SELECT user_id::bigint, stored.conversation_id, stored.id, stored.message_no
        FROM given JOIN stored USING (conversation_id, seq), jsonb_array_elements_text(given.mentions) AS user_id
    )"""  # noqa: S608
        if with_mentions
        else ""
    )
    return f"""
    WITH given AS (
        SELECT * FROM json_to_recordset(%s::json) AS t(
            uuid uuid, conversation_id bigint, seq bigint, message_no bigint, sender_id bigint, content text,
            client_msg_id uuid, digest text, reply_to_id bigint, mentions jsonb, words text, has_link boolean
        )
    ),
    stored AS (
        INSERT INTO {_table(Message)} (
            uuid, conversation_id, seq, message_no, sender_id, content, client_msg_id, content_digest, reply_to_id,
            mentions, created_at
        )
        SELECT uuid, conversation_id, seq, message_no, sender_id, content, client_msg_id, digest, reply_to_id,
               mentions, %s::timestamptz
        FROM given
        RETURNING id, conversation_id, seq, message_no, sender_id
    ),
    logged AS (
        INSERT INTO {_table(Event)} (conversation_id, seq, kind, at, actor_id, message_id, payload)
        SELECT conversation_id, seq, 'message.created', %s::timestamptz, sender_id, id, '{{}}'::jsonb FROM stored
    ),
    last AS (
        SELECT DISTINCT ON (conversation_id) conversation_id, id, seq, message_no
        FROM stored ORDER BY conversation_id, seq DESC
    ),
    moved AS (
        UPDATE {_table(Conversation)} c
        SET last_seq = last.seq, last_message_no = last.message_no, last_message_id = last.id,
            updated_at = %s::timestamptz
        FROM last WHERE c.id = last.conversation_id
    ),
    mine AS (
        SELECT conversation_id, sender_id, max(seq) AS seq, max(message_no) AS message_no FROM stored GROUP BY 1, 2
    ),
    seen AS (
        UPDATE {_table(Membership)} m
        SET seen_seq = mine.seq, seen_message_no = mine.message_no, seen_at = %s::timestamptz,
            last_sent_at = %s::timestamptz
        FROM mine WHERE m.conversation_id = mine.conversation_id AND m.user_id = mine.sender_id
    ),
    indexed AS (
        INSERT INTO {_table(MessageText)} (message_id, words, has_link)
        SELECT stored.id, given.words::tsvector, given.has_link
        FROM given JOIN stored USING (conversation_id, seq)
    ){mentions}
    SELECT id, conversation_id, seq FROM stored
    """  # noqa: S608


def _write_one_by_one(rows: Sequence[Row], *, at: datetime) -> None:
    """The same for SQLite, which has no data-modifying CTEs, and where a round trip costs nothing."""
    stored = bulk_insert.insert_returning(
        Message,
        _MESSAGE_COLUMNS,
        [
            (
                row.uuid, row.room.id, row.seq, row.message_no, row.send.user_id, row.send.content,
                row.send.client_msg_id, row.digest, row.reply_to.pk if row.reply_to else None, row.mentions, at,
            )
            for row in rows
        ],
        ("conversation", "seq", "id"),
    )  # fmt: skip
    ids = {(conversation_id, seq): pk for conversation_id, seq, pk in stored}
    for row in rows:
        row.id = ids[row.room.id, row.seq]
    bulk_insert.insert(
        Event,
        _EVENT_COLUMNS,
        [(row.room.id, row.seq, "message.created", at, row.send.user_id, row.id, {}) for row in rows],
    )
    index.add((row.id, row.send.content) for row in rows)
    bulk_insert.insert(
        Mention,
        ("user", "conversation", "message", "message_no"),
        [(user_id, row.room.id, row.id, row.message_no) for row in rows for user_id in row.mentions],
    )
    last = {row.room.id: row for row in rows}
    mine = {(row.room.id, row.send.user_id): row for row in rows}
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {_table(Conversation)} SET last_seq = %s, last_message_no = %s, last_message_id = %s, "  # noqa: S608
            "updated_at = %s WHERE id = %s",
            [(row.seq, row.message_no, row.id, param(at), row.room.id) for row in last.values()],
        )
        cursor.executemany(
            f"UPDATE {_table(Membership)} SET seen_seq = %s, seen_message_no = %s, seen_at = %s, last_sent_at = %s "  # noqa: S608
            "WHERE conversation_id = %s AND user_id = %s",
            [
                (row.seq, row.message_no, param(at), param(at), room_id, user_id)
                for (room_id, user_id), row in mine.items()
            ],
        )
