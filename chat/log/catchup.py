"""Catch-up: the events that a device missed, read from the log for all its conversations together.

At most 200 events a conversation and 1,000 in all, the most recent conversations first; a conversation that exceeds
this gets a `gap`. So does a cursor of another epoch, beyond the head, or from before the member's visible history.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Max, QuerySet

from chat.log import encoding
from chat.log.published import Encoded
from chat.models import Conversation, Event, Membership
from common import json, pipelined, shared_clock
from common.pipelined import as_time, as_uuid
from sessions.models import UserSession


@dataclass(frozen=True, slots=True)
class Place:
    """A living membership and the head of its conversation."""

    conversation_id: int
    conversation_uuid: uuid.UUID
    head: int
    visible_after: int  # everything up to here is hidden from this user


@dataclass(slots=True)
class Range:
    """The range `after < seq <= up_to` of one conversation, with its events once they are read."""

    conversation_id: int
    conversation_uuid: uuid.UUID
    after: int
    up_to: int
    visible_after: int
    is_gap: bool = False
    left: bool = False  # no longer a member: gets only `removed`
    events: list[Encoded] = field(default_factory=list)


@dataclass(slots=True)
class Hole:
    """Events that a feed missed. `cut`: users who left within it, who get none of these events (user id to `left_seq`).

    An event contains its message as it is now. A user who left at `n` could therefore see in an event before `n` a
    change made after it.
    """

    events: list[Encoded]
    cut: dict[int, int]


@dataclass(slots=True)
class Catchup:
    ranges: list[Range]
    removed: list[uuid.UUID]  # conversations that this user is not a member of


def places(user_id: int) -> list[Place]:
    """Return the user's memberships with the current heads of their conversations."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        return ask_places({user_id})().get(user_id, [])


def ask_places(user_ids: Collection[int]) -> Callable[[], dict[int, list[Place]]]:
    """Send what reads the same of many people; return what fetches it (`pipelined.one_trip`)."""
    condition, params = pipelined.any_of(sorted(user_ids))
    membership, conversation = Membership._meta.db_table, Conversation._meta.db_table
    cursor = pipelined.execute(
        "SELECT m.user_id, m.conversation_id, c.uuid, c.last_seq, m.visible_after_seq "  # noqa: S608
        f"FROM {membership} m JOIN {conversation} c ON c.id = m.conversation_id "
        f"WHERE m.user_id {condition} AND m.left_seq IS NULL",
        params,
    )

    def fetch() -> dict[int, list[Place]]:
        found: dict[int, list[Place]] = defaultdict(list)
        for user_id, conversation_id, name, head, visible_after in cursor.fetchall():
            found[user_id].append(Place(conversation_id, as_uuid(name), head, visible_after))  # type: ignore[arg-type]
        return found

    return fetch


def read(user_id: int, cursors: Mapping[uuid.UUID, int], *, same_epoch: bool) -> Catchup:
    """Return what the user missed after `cursors`; a conversation without cursor starts just before they joined."""
    memberships = _memberships(user_id, cursors, living_too=True)
    removed = dict(cursors)
    budget, each = settings.CHAT_RESUME_EVENTS, settings.CHAT_RESUME_EVENTS_EACH
    ranges = []
    for row in memberships:
        cursor = removed.pop(row.conversation_uuid, None)
        one = _range(row, cursor, same_epoch=same_epoch, at_most=min(each, budget))
        if not one.is_gap and not one.left:
            budget -= one.up_to - one.after
        ranges.append(one)
    return Catchup(fill(user_id, ranges), list(removed))


def read_one(user_id: int, conversation_uuid: uuid.UUID, after: int) -> Catchup:
    """Return what the user missed in one conversation."""
    found = _memberships(user_id, [conversation_uuid])
    if not found:
        return Catchup([], [conversation_uuid])
    at_most = min(settings.CHAT_RESUME_EVENTS_EACH, settings.CHAT_RESUME_EVENTS)
    one = _range(found[0], after, same_epoch=True, at_most=at_most)
    return Catchup(fill(user_id, [one]), [])


def _ask_memberships(user_id: int, told: Collection[int]) -> Callable[[], dict[int, tuple[int | None, int]]]:
    """Send what reads the memberships' `left_seq` and `visible_after_seq`; return what fetches them."""
    condition, params = pipelined.any_of(sorted(told))
    cursor = pipelined.execute(
        f"SELECT conversation_id, left_seq, visible_after_seq FROM {Membership._meta.db_table} "  # noqa: S608
        f"WHERE user_id = %s AND conversation_id {condition}",
        [user_id, *params],
    )
    return lambda: {row[0]: row[1:] for row in cursor.fetchall()}


def _still_true(
    user_id: int, ranges: list[Range], told: Collection[int], now: dict[int, tuple[int | None, int]]
) -> list[Range]:
    """Return the ranges, read again where the membership changed meanwhile: events show the messages' present state."""
    checked = []
    for one in ranges:
        left_seq, visible_after = now.get(one.conversation_id, (0, 0))
        if one.conversation_id in told and (left_seq is not None or visible_after > one.visible_after):
            checked += read_one(user_id, one.conversation_uuid, one.after).ranges
        else:
            checked.append(one)
    return checked


class _Member(NamedTuple):
    """A membership, living or not, and the head of its conversation."""

    conversation_id: int
    conversation_uuid: uuid.UUID
    head: int
    joined_seq: int
    left_seq: int | None
    visible_after: int


def _memberships(user_id: int, names: Collection[uuid.UUID], *, living_too: bool = False) -> list[_Member]:
    """Return the user's memberships in these conversations, and with `living_too` all living ones; newest first.

    Plain SQL: the ORM takes 50 us for each of them.
    """
    condition, params = pipelined.any_of(list(names)) if names else ("IS NULL", [])
    living = "OR m.left_seq IS NULL" if living_too else ""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor = pipelined.execute(
            "SELECT c.id, c.uuid, c.last_seq, m.joined_seq, m.left_seq, m.visible_after_seq "  # noqa: S608
            f"FROM {Membership._meta.db_table} m JOIN {Conversation._meta.db_table} c ON c.id = m.conversation_id "
            f"WHERE m.user_id = %s AND (c.uuid {condition} {living}) ORDER BY c.updated_at DESC, c.id DESC",
            [user_id, *params],
        )
        return [_Member(pk, as_uuid(name), *rest) for pk, name, *rest in cursor.fetchall()]  # type: ignore[arg-type]


def _range(row: _Member, cursor: int | None, *, same_epoch: bool, at_most: int) -> Range:
    if row.left_seq is not None:  # events show the present state, which a former member must not see
        return Range(
            row.conversation_id, row.conversation_uuid, row.left_seq, row.left_seq, row.visible_after, left=True
        )
    head = row.head
    after = max(row.joined_seq - 1, row.visible_after) if cursor is None else cursor
    lost = cursor is not None and (not same_epoch or cursor > head or cursor < row.visible_after)
    if lost:
        after = row.visible_after
    missing = head - after
    is_gap = lost or missing > at_most
    return Range(row.conversation_id, row.conversation_uuid, after, head, row.visible_after, is_gap=is_gap)


class _Logged(NamedTuple):
    """A stored event, read by plain SQL."""

    conversation_id: int
    seq: int
    kind: str
    at: datetime
    actor_id: int | None
    message_id: int | None
    payload: dict[str, Any]


LOGGED = len(_Logged._fields)


def fill(user_id: int, ranges: list[Range]) -> list[Range]:
    """Read the events of the ranges that are not too long, in one round trip for all conversations.

    The memberships are looked at after all that was read of the messages.
    """
    wanted = {one.conversation_id: one for one in ranges if not one.is_gap and one.up_to > one.after}
    if not wanted:
        return ranges
    statement = logged_statement(wanted.values())
    with pipelined.one_trip():
        log = pipelined.execute(*statement)
        fetch_memberships = _ask_memberships(user_id, wanted)
        found = log.fetchall()
        now = fetch_memberships()
    rows = [_logged(*row[:LOGGED]) for row in found]
    said = {row[LOGGED]: encoding.as_said(*row[LOGGED:]) for row in found if row[LOGGED] is not None}
    events, read_more = encoding.encode_with(rows, {pk: one.conversation_uuid for pk, one in wanted.items()}, said)
    if read_more:
        with pipelined.one_trip():
            now = _ask_memberships(user_id, wanted)()
    for row, event in zip(rows, events, strict=True):
        one = wanted[row.conversation_id]
        one.events.append(event.seen_from(one.visible_after) if event.reduced else event)
    return _still_true(user_id, ranges, wanted, now)


def logged_statement(ranges: Collection[Range]) -> pipelined.Statement:
    """Return the query for the events of the ranges, each with its message (`encoding.as_said`).

    On PostgreSQL each range is looked up for itself (LATERAL with a limit): of a join the planner knows neither how
    many ranges there are nor how long, and would read the whole log of a large conversation. So is each message
    (OFFSET 0), or it might read all messages through.
    """
    columns = ", ".join(f"e.{name}" for name in _Logged._fields)
    table, limit = Event._meta.db_table, settings.CHAT_RESUME_EVENTS_EACH
    said, (messages, senders) = encoding.said_columns(), encoding.said_tables()
    params: list[Any]
    if pipelined.is_postgresql():
        bounds = ([one.conversation_id for one in ranges], [one.after for one in ranges], [one.up_to for one in ranges])
        params = [pipelined.array(bound) for bound in bounds]
        sql = (
            f"SELECT e.*, s.* FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS wanted (id, after, up_to), "  # noqa: S608
            f"LATERAL (SELECT {columns} FROM {table} e WHERE e.conversation_id = wanted.id AND e.seq > wanted.after "
            f"AND e.seq <= wanted.up_to ORDER BY e.seq LIMIT {limit:d}) e "
            f"LEFT JOIN LATERAL (SELECT {said} FROM {messages} {senders} WHERE m.id = e.message_id OFFSET 0) s ON TRUE "
            "ORDER BY e.conversation_id, e.seq"
        )
    else:
        params = [value for one in ranges for value in (one.conversation_id, one.after, one.up_to)]
        sql = (
            f"WITH wanted (id, after, up_to) AS (VALUES {', '.join(['(%s, %s, %s)'] * len(ranges))}) "  # noqa: S608
            f"SELECT {columns}, {said} FROM wanted w "
            f"JOIN {table} e ON e.conversation_id = w.id AND e.seq > w.after AND e.seq <= w.up_to "
            f"LEFT JOIN {messages} ON m.id = e.message_id {senders} ORDER BY e.conversation_id, e.seq"
        )
    return sql, params


def _logged(
    conversation_id: int, seq: int, kind: str, at: Any, actor_id: Any, message_id: Any, payload: Any
) -> _Logged:
    read = json.loads(payload) if isinstance(payload, str) else payload
    return _Logged(conversation_id, seq, kind, as_time(at), actor_id, message_id, read)


HOLE_EVENTS = 500


def holes(wanted: Mapping[int, int]) -> dict[int, Hole]:
    """Return the events after `seq` in each conversation, at most 500 of each."""
    found: dict[int, Hole] = {}
    for conversation_id, after in wanted.items():
        log = Event.objects.filter(conversation_id=conversation_id, seq__gt=after)
        rows = list(log.order_by("seq")[:HOLE_EVENTS])
        told = encoding.encode(rows)
        found[conversation_id] = Hole(told, _cut(log, rows) if rows else {})
    return found


def _cut(log: QuerySet[Event], rows: list[Event]) -> dict[int, int]:
    """Return who left within the rows (user id to `left_seq`), if a message in `rows` has been changed since."""
    left = dict(log.filter(kind="member.left").order_by("seq").values_list("payload__user_id", "seq"))
    if not left:
        return {}
    changed = log.filter(
        seq__gt=min(left.values()), message_id__in={row.message_id for row in rows if row.message_id is not None}
    ).exclude(kind="message.created")
    last = changed.aggregate(last=Max("seq"))["last"] or 0
    return {user_id: seq for user_id, seq in left.items() if seq < last}


def heads(conversation_ids: list[int]) -> dict[int, int]:
    """Return the newest `seq` of each conversation."""
    found: dict[int, int] = {}
    for start in range(0, len(conversation_ids), 1_000):
        chunk = conversation_ids[start : start + 1_000]
        found.update(Conversation.objects.filter(pk__in=chunk).values_list("pk", "last_seq"))
    return found


def joined_since(user_ids: list[int], since: Any) -> list[tuple[int, Place]]:
    """Return recent joins of these users with their places, to find memberships whose notification was lost."""
    ours = set(user_ids)
    rows = (
        Membership.objects.living()
        .filter(joined_at__gte=since)
        .values_list("user_id", "conversation_id", "conversation__uuid", "joined_seq", "visible_after_seq")
    )
    return [(row[0], Place(row[1], row[2], row[3] - 1, row[4])) for row in rows if row[0] in ours]


def over(session_ids: list[int]) -> dict[int, bool]:
    """Return the sessions that have ended; True if the whole account has."""
    wanted, living, disabled = set(session_ids), set(), {}
    ids = sorted(wanted)
    now = shared_clock.now()
    for start in range(0, len(ids), 1_000):
        rows = UserSession.objects.filter(pk__in=ids[start : start + 1_000]).values_list(
            "pk", "is_active", "expires_at", "user__is_active"
        )
        for session_id, is_active, expires_at, user_active in rows:
            if is_active and expires_at > now and user_active:
                living.add(session_id)
            disabled[session_id] = not user_active
    return {session_id: disabled.get(session_id, False) for session_id in wanted - living}
