"""`manage.py partition` that is killed between its statements, repeated, and undone."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from chat.models import Event, Message
from chat.tests import calls
from chat.tests.calls import api, at, direct
from common.postgresql import partitions

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

TABLES = ("chat_message", "chat_event")
QUERIES = (
    "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity FROM pg_attribute"
    " WHERE attrelid = '{0}'::regclass AND attnum > 0 AND NOT attisdropped",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
    " WHERE '{0}'::regclass IN (conrelid, confrelid)",
    "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = '{0}'::regclass",
    "SELECT tgname FROM pg_trigger WHERE tgrelid = '{0}'::regclass AND NOT tgisinternal",
    "SELECT relname, relkind FROM pg_class WHERE starts_with(relname, '{0}') AND relkind IN ('r', 'p', 'S')",
    "SELECT proname FROM pg_proc WHERE starts_with(proname, '{0}')",
    "SELECT pg_get_serial_sequence('{0}', 'id')",
)


def rows(sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def shape() -> set[Any]:
    """Return all that PostgreSQL knows of the tables, but for their rows."""
    return {(table, query, row) for table in TABLES for query in QUERIES for row in rows(query.format(table))}


@pytest.fixture(autouse=True)
def _few_months(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "AHEAD", 1)


def partition(*options: str) -> None:
    """Run the command, with nothing left to check of what others wrote: they have committed."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    call_command("partition", *options, verbosity=0)


class Killed(BaseException):
    """The end of the command's process."""


def killed_after(count: int, monkeypatch: pytest.MonkeyPatch, *options: str) -> bool:
    """Run the command, kill it after so many of its statements, and return whether it came so far."""
    done, execute = 0, partitions._execute

    def counted(*args: Any) -> None:
        nonlocal done
        if done == count:
            raise Killed
        execute(*args)
        done += 1

    monkeypatch.setattr(partitions, "_execute", counted)
    try:
        partition(*options)
        return False
    except Killed:
        return True
    finally:
        monkeypatch.setattr(partitions, "_execute", execute)


def conversation(alice: Any, bob: Any, room: str) -> list[tuple[str, str | None]]:
    found = api(bob).get(at(room, "messages/?limit=100")).json()["results"]
    return [(message["content"], (message["reply_to"] or {}).get("uuid")) for message in found]


def test_undone_the_tables_are_as_they_were_with_every_row(alice: Any, bob: Any) -> None:
    before = shape()
    room = direct(alice, bob)
    old = calls.say(alice, room, "of before")
    partition()
    assert partitions.is_partitioned("chat_message")
    new = calls.say(bob, room, "of this month", reply_to=old["uuid"])
    calls.say(alice, room, "an answer to that", reply_to=new["uuid"])
    read, ids = conversation(alice, bob, room), list(Message.objects.order_by("pk").values_list("pk", "uuid"))
    events = list(Event.objects.order_by("pk").values_list("pk", "seq"))
    partition("--undo")
    assert shape() ^ before == set()
    assert conversation(alice, bob, room) == read
    assert list(Message.objects.order_by("pk").values_list("pk", "uuid")) == ids
    assert list(Event.objects.order_by("pk").values_list("pk", "seq")) == events
    calls.say(bob, room, "of after", reply_to=new["uuid"])
    assert Message.objects.get(content="of after").pk == ids[-1][0] + 1
    partition("--undo")  # found done
    assert shape() ^ before == set()


def test_what_was_undone_can_be_parted_again(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    for number in range(3):
        calls.say(alice, room, f"before {number}")
        partition()
        calls.say(alice, room, f"in a month {number}")
        partitions.look_ahead("chat_message")
        calls.say(alice, room, f"later {number}")
        partition("--undo")
    wanted = [f"{when} {number}" for number in range(3) for when in ("before", "in a month", "later")]
    assert [content for content, _ in conversation(alice, bob, room)] == wanted
    assert list(Message.objects.order_by("seq").values_list("pk", flat=True)) == sorted(
        Message.objects.values_list("pk", flat=True)
    )


def test_killed_at_any_place_people_go_on_and_a_repeat_ends_the_work(
    alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, room = shape(), direct(alice, bob)
    partition()
    parted = len(shape())
    partition("--undo")
    count = 0
    # After the bound of ids is made, proven; the swap; some foreign keys; in the second table. Then on the way back.
    for options, places in (((), (1, 2, 3, 6, 15)), (("--undo",), (1, 3, 6))):
        for after in places:
            partition(*([] if options else ["--undo"]))
            assert killed_after(after, monkeypatch, *options)
            count += 1
            calls.say(alice, room, str(count))
            partition(*options)
            assert partitions.is_partitioned("chat_message") is not bool(options)
            assert shape() ^ plain == set() if options else len(shape()) >= parted
    seen = conversation(alice, bob, room)[-count:]
    assert [content for content, _ in seen] == [str(number) for number in range(1, count + 1)]


def test_undo_has_every_lock_before_it_copies() -> None:
    partition()
    statements = partitions._unswap("chat_message")
    copies = next(number for number, statement in enumerate(statements) if statement.startswith("INSERT"))
    locks = [statement for statement in statements[:copies] if statement.startswith("LOCK")]
    keys = partitions._foreign_keys("conrelid", "chat_message") + partitions._foreign_keys("confrelid", "chat_message")
    parts = {name for (name,) in rows("SELECT inhrelid::regclass::text FROM pg_inherits")}  # locked with the whole
    wanted = {table for key in keys for table in (key.owner, key.target)} - parts
    assert {f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE" for table in wanted} == set(locks)
