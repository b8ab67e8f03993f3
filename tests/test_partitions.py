"""Messages and events are parted by month while people write, and nobody notices."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests import live

pytestmark = pytest.mark.live


@pytest.fixture
def server(postgres_url: str) -> Iterator[live.Server]:
    limits = {"CHAT_RESUME_EVENTS_EACH": "100000", "CHAT_RESUME_EVENTS": "100000"}
    with live.server(database_url=postgres_url, **limits) as started:
        yield started


def ask(server: live.Server, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.environment["DATABASE_URL"], autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


async def test_tables_are_parted_under_writers_and_nothing_changes_for_them(server: live.Server) -> None:
    alice, bob = [await asyncio.to_thread(server.person) for _ in range(2)]
    room = await asyncio.to_thread(alice.direct, bob)
    again = {"client_msg_id": str(uuid.uuid4())}
    first = await asyncio.to_thread(alice.say, room, "a stork of before", **again)
    wire, done, sent = await alice.open(), asyncio.Event(), ["a stork of before"]

    async def write() -> None:
        while not done.is_set():
            text, name = f"a stork, number {len(sent)}", str(uuid.uuid4())
            while len(sent) == int(text.rpartition(" ")[2]):
                await wire.send("message", conversation_uuid=room, content=text, client_msg_id=name)
                frame = await wire.next("ack", "error")
                if frame["type"] == "ack":
                    sent.append(text)
                else:  # on a slow machine the change may take longer than a request waits
                    assert frame["code"] == "temporarily_unavailable", frame
                await asyncio.sleep(0.02)

    async def at_least(count: int) -> None:
        while len(sent) < count and not writing.done():
            await asyncio.sleep(0.05)

    writing = asyncio.create_task(write())
    try:
        await at_least(20)
        said = await asyncio.to_thread(live.manage, server.environment, "partition")
        await at_least(len(sent) + 20)
    finally:
        done.set()
        await writing
    assert "chat_message: locked for" in said
    assert "chat_event: parted by month" in said
    for table in ("chat_message", "chat_event"):
        names = [name for (name,) in ask(server, f"SELECT DISTINCT tableoid::regclass::text FROM {table}")]
        assert len(names) == 2
        assert f"{table}_before" in names
        assert ask(server, f"SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass") == [(5,)]
    assert ask(server, "SELECT conname FROM pg_constraint WHERE NOT convalidated AND conparentid = 0") == []

    # History, search, resume from the beginning, a repeat of a message of before.
    read: list[str] = []
    after = 0
    while len(read) < len(sent):
        page = bob.ok("GET", f"/api/chat/conversations/{room}/messages/?limit=100&after_seq={after}")
        read += [message["content"] for message in page["results"]]
        after = page["results"][-1]["seq"]
    assert read == sent
    found = bob.ok("GET", "/api/chat/search/?q=stork&limit=5")["results"]
    assert [one["message"]["content"] for one in found] == sent[:-6:-1]
    assert len(bob.ok("GET", "/api/chat/search/?q=before")["results"]) == 1
    assert (await asyncio.to_thread(alice.say, room, "a stork of before", **again))["uuid"] == first["uuid"]
    reader = await bob.open()
    await reader.send("resume", epoch=reader.hello["epoch"], cursors={room: 0})
    events = await reader.events(len(sent), kind="message.created")
    assert [event["data"]["content"] for event in events] == sent
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})

    # What refers to messages on both sides: replies, reactions, edits, deletions; and the account that goes.
    newest = bob.ok("GET", f"/api/chat/conversations/{room}/messages/")["results"][-1]
    reply = await asyncio.to_thread(bob.say, room, "an answer", reply_to=first["uuid"])
    for message in (first, newest):
        bob.ok("PUT", f"/api/chat/messages/{message['uuid']}/reactions/%F0%9F%91%8D/")
        alice.ok("PATCH", f"/api/chat/messages/{message['uuid']}/", {"content": "an ibis"})
        alice.ok("DELETE", f"/api/chat/messages/{message['uuid']}/")
    assert reply["reply_to"]["uuid"] == first["uuid"]
    for opened in (wire, reader):
        await opened.close()
    assert "Traceback" not in server.said()
