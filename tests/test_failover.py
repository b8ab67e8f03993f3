"""A primary that is killed under load, and its standby promoted behind HAProxy: what is noticed, and what is kept."""

import asyncio
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from tests import databases, live, servers

pytestmark = pytest.mark.live

Pair = tuple[databases.Primary, databases.Standby]


@pytest.fixture
def pair() -> Iterator[Pair]:
    try:
        with databases.pair() as made:
            yield made
    except servers.NotAvailable as error:
        pytest.skip(f"needs PostgreSQL: {error}")


@pytest.fixture
def server(pair: Pair, valkey_url: str, tmp_path: Path) -> Iterator[live.Server]:
    try:
        with databases.haproxy(*pair, tmp_path) as url:
            environment = live.production(
                tmp_path, database_url=url, redis_url=valkey_url, WORKERS="1", CHAT_SWEEP_SECONDS="2"
            )
            started = live.start("serve", environment, tmp_path / "serve.log")
            yield started
            live.end(started.process)
    except servers.NotAvailable as error:
        pytest.skip(f"needs HAProxy: {error}")


class Writer:
    """Somebody who sends one message after the other by a socket, each until it is acknowledged."""

    def __init__(self, person: live.Person, room: str) -> None:
        self.person, self.room = person, room
        self.acknowledged: dict[str, float] = {}  # client_msg_id: when
        self.under_way = ""
        self.closes = 0

    async def write(self, until: asyncio.Event) -> None:
        while not until.is_set() or self.under_way:
            with suppress(OSError, WebSocketException, TimeoutError):
                wire = await self.person.open()
                try:
                    while not until.is_set() or self.under_way:
                        await self._send(wire)
                    return
                finally:
                    await wire.close()
            self.closes += 1
            await asyncio.sleep(0.1)

    async def _send(self, wire: live.Wire) -> None:
        name = self.under_way = self.under_way or str(uuid.uuid4())
        while name not in self.acknowledged:
            await wire.send("message", conversation_uuid=self.room, content=name, client_msg_id=name)
            frame = await wire.next("ack", "error")
            if frame["type"] == "ack":
                self.acknowledged[name] = time.monotonic()
            else:
                assert frame["code"] == "temporarily_unavailable", frame
                await asyncio.sleep(0.1)
        self.under_way = ""
        await asyncio.sleep(0.01)

    async def at_least(self, count: int) -> None:
        async with asyncio.timeout(live.START_SECONDS):
            while len(self.acknowledged) < count:
                await asyncio.sleep(0.02)


class Reader:
    """Somebody who reads by a socket, and after a close resumes from the last event."""

    def __init__(self, person: live.Person, room: str) -> None:
        self.person, self.room, self.cursor = person, room, 0
        self.texts: list[str] = []

    async def read(self) -> None:
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                wire = await self.person.open()
                await wire.send("resume", epoch=wire.hello["epoch"], cursors={self.room: self.cursor})
                while True:
                    for event in (await wire.next("events"))["events"]:
                        if event["seq"] <= self.cursor:
                            continue
                        if event["seq"] > self.cursor + 1:  # live, and ahead of what is resumed
                            await wire.send("sync", conversation_uuid=self.room, after_seq=self.cursor)
                            break
                        self.cursor = event["seq"]
                        if event["kind"] == "message.created":
                            self.texts.append(event["data"]["content"])
            await asyncio.sleep(0.1)


class Asker(threading.Thread):
    """Somebody who asks by HTTP all the time."""

    def __init__(self, person: live.Person) -> None:
        super().__init__(daemon=True)
        self.person, self.done = person, threading.Event()
        self.answers: list[tuple[int, Any]] = []

    def run(self) -> None:
        while not self.done.wait(0.05):
            self.answers.append(self.person.server.call("GET", "/api/users/me/", token=self.person.access))

    def statuses(self) -> set[int]:
        return {status for status, _body in self.answers}


async def test_nothing_acknowledged_is_lost_when_the_primary_dies(server: live.Server, pair: Pair) -> None:
    primary, standby = pair
    alice, bob = [await asyncio.to_thread(server.person) for _ in range(2)]
    room = await asyncio.to_thread(alice.direct, bob)
    writer, reader, asker, done = Writer(alice, room), Reader(bob, room), Asker(bob), asyncio.Event()
    reading, writing = asyncio.create_task(reader.read()), asyncio.create_task(writer.write(done))
    asker.start()
    await writer.at_least(20)

    primary.kill()
    await asyncio.to_thread(live.wait_until, lambda: 503 in asker.statuses())
    await asyncio.to_thread(standby.promote)
    promoted, before = time.monotonic(), len(writer.acknowledged)
    await writer.at_least(before + 20)
    first = min(at for at in writer.acknowledged.values() if at > promoted) - promoted
    answered = len(asker.answers)
    await asyncio.to_thread(
        live.wait_until, lambda: any(status == 200 for status, _body in list(asker.answers)[answered:])
    )

    # A node with old data comes back: nobody is led to it.
    await asyncio.to_thread(primary.come_back_as_standby)
    assert primary.ask("SELECT pg_is_in_recovery()") == [(True,)]
    await writer.at_least(len(writer.acknowledged) + 40)

    done.set()
    await writing
    asker.done.set()
    await asyncio.to_thread(asker.join)
    sent = list(writer.acknowledged)
    stored = [str(row[0]) for row in standby.ask("SELECT client_msg_id FROM chat_message ORDER BY seq")]
    assert stored == sent, "every acknowledged message is there, once and in its order"
    async with asyncio.timeout(live.START_SECONDS):
        while len(reader.texts) < len(sent):
            await asyncio.sleep(0.05)
    reading.cancel()
    assert reader.texts == sent
    assert asker.statuses() == {200, 503}
    refusals = [body for status, body in asker.answers if status == 503]
    assert {(body["code"], body["action"]) for body in refusals} == {("temporarily_unavailable", "retry")}
    log = server.said()
    assert "Traceback" not in log
    if folder := os.environ.get("FIGURES"):
        figures = {"first_ack_s": round(first, 2), "closes": writer.closes, "messages": len(sent)}
        Path(folder, "failover.json").write_text(json.dumps(figures))
