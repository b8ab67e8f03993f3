"""Sending, history, unread counts, hidden history and retention once more, with messages and events parted by month.

In these tests a row goes to the next month after every second one, so that most of what is read lies in several.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from chat.models import Event, Message
from chat.tests import calls
from chat.tests.calls import api, at, direct
from chat.tests.test_hidden_history import *  # noqa: F403  (the same tests, collected here too)
from chat.tests.test_retention import *  # noqa: F403
from chat.tests.test_sending import *  # noqa: F403
from chat.tests.test_unread import test_what_was_taken_back_is_not_unread as test_what_was_taken_back_is_not_unread
from common.postgresql import partitions

test_what_is_due_is_found_by_the_index_of_age = None  # each month has an index of its own, by another name

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _parted(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part the tables inside the test's transaction, which takes it back."""
    monkeypatch.setattr(partitions, "AHEAD", 1)
    with connection.cursor() as cursor:
        for table in partitions.registered():
            partitions.convert(table)
            cursor.execute(f"ALTER SEQUENCE {table}_id_seq INCREMENT BY {2**39}")
            cursor.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")


def places(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT tableoid::regclass::text FROM {table} ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


def again(row: Any, **changes: Any) -> None:
    """Store a second row like this one; the database must refuse it."""
    row.pk = None
    for name, value in changes.items():
        setattr(row, name, value)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def test_a_conversation_lies_in_several_months_and_reads_as_one(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    sent = [calls.say(alice, room, str(number))["uuid"] for number in range(7)]
    assert len(places("chat_message")) >= 3
    assert len(places("chat_event")) >= 3
    read, before = [], ""
    while True:
        page = api(bob).get(at(room, f"messages/?limit=2{before}")).json()
        read = [row["uuid"] for row in page["results"]] + read
        if not page["has_more"]:
            break
        before = f"&before_seq={page['results'][0]['seq']}"
    assert read == sent


def test_what_was_unique_is_unique_over_all_months(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    for number in range(3):
        calls.say(alice, room, str(number), client_msg_id=str(uuid.uuid4()))
    row = Message.objects.order_by("pk")[0]
    fresh = {"uuid": uuid.uuid4(), "seq": 10**6, "message_no": 10**6, "client_msg_id": uuid.uuid4()}
    for name in ("uuid", "seq", "client_msg_id"):
        again(Message.objects.get(pk=row.pk), **{key: value for key, value in fresh.items() if key != name})
    again(Event.objects.order_by("pk")[0])
    other = Message.objects.order_by("pk")[2]
    other.client_msg_id = row.client_msg_id
    with pytest.raises(IntegrityError), transaction.atomic():
        other.save(update_fields=["client_msg_id"])


def test_what_is_gone_may_come_again(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    calls.say(alice, room, "0")
    event = Event.objects.order_by("-pk")[0]
    Event.objects.filter(pk=event.pk).delete()
    event.pk = None
    event.save(force_insert=True)
    assert Event.objects.filter(seq=event.seq, conversation=event.conversation_id).count() == 1


def test_a_command_that_is_repeated_finds_everything_done() -> None:
    said: list[str] = []
    for table in partitions.registered():
        partitions.convert(table, say=said.append)
    assert said == []


def test_a_new_month_begins_once_and_is_made_ahead(alice: Any, bob: Any) -> None:
    room, table = direct(alice, bob), "chat_message"
    later = datetime(2031, 7, 1, tzinfo=UTC)
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_rest; DROP TABLE {table}_rest")
        cursor.execute(f"ALTER SEQUENCE {table}_id_seq INCREMENT BY 1")
    assert partitions.look_ahead(table, at=later) == [f"{table}_2031_{month:02}" for month in (7, 8)]
    assert partitions.look_ahead(table, at=later) == []
    calls.say(alice, room, "in July")
    first = Message.objects.get(content="in July").pk
    assert first == partitions.first_id(partitions.month_of(later))
    partitions.look_ahead(table, at=later)
    calls.say(alice, room, "in July as well")
    assert Message.objects.get(content="in July as well").pk == first + 1
    assert places(table) == [f"{table}_2031_07"]
