"""A primary with a standby: which serves history and search, and is promoted behind HAProxy when the primary is killed.

The tests of a file run in its order: the last two kill, and let an old primary come back.
"""

import asyncio
import json
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from tests import databases, live, servers

pytestmark = pytest.mark.live

Pair = tuple[databases.Primary, databases.Standby]


@pytest.fixture(scope="module")
def pair(new_database: Callable[[], str]) -> Iterator[Pair]:
    try:
        with databases.pair(new_database()) as made:
            yield made
    except servers.NotAvailable as error:
        pytest.skip(f"needs PostgreSQL: {error}")


@pytest.fixture(scope="module")
def way(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[databases.Way]:
    try:
        with databases.haproxy(*pair, tmp_path_factory.mktemp("way")) as made:
            yield made
    except servers.NotAvailable as error:
        pytest.skip(f"needs HAProxy: {error}")


@pytest.fixture(scope="module")
def server(
    pair: Pair, way: databases.Way, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[live.Server]:
    folder = tmp_path_factory.mktemp("serve")
    environment = live.production(
        folder,
        database_url=way.url,
        redis_url=valkey_url,
        DATABASE_REPLICA_URL=pair[1].url,
        WORKERS="1",
        CHAT_SWEEP_SECONDS="2",
    )
    started = live.start("serve", environment, folder / "serve.log")
    yield started
    live.end(started.process)


# --- Reading from the standby -----------------------------------------------------------------------------------------


def served(server: live.Server, outcome: str) -> float:
    _status, text = server.get("/metrics")
    pattern = rf'alviar_replica_reads_total{{outcome="{outcome}"}} ([\d.e+]+)'
    return sum(float(found) for found in re.findall(pattern, text.decode()))


def texts(person: live.Person, room: str) -> list[str]:
    page = person.ok("GET", f"/api/chat/conversations/{room}/messages/")["results"]
    return [message["content"] for message in page if message["deleted_at"] is None]


def found(person: live.Person, word: str) -> list[str]:
    return [one["message"]["content"] for one in person.ok("GET", f"/api/chat/search/?q={word}")["results"]]


def until_standby_serves(server: live.Server, person: live.Person, room: str) -> None:
    """Read until the standby is asked again, and answers."""
    before = served(server, "replica")
    live.wait_until(lambda: texts(person, room) is not None and served(server, "replica") > before)


def test_the_standby_serves_and_nobody_misses_what_was_just_written(server: live.Server, pair: Pair) -> None:
    alice, bob = server.person(), server.person()
    room = alice.direct(bob)
    until_standby_serves(server, bob, room)
    wanted: list[str] = []
    for number in range(12):
        wanted.append(f"pelican {number}")
        alice.say(room, wanted[-1])
        assert texts(alice, room) == texts(bob, room) == wanted
        assert found(bob, "pelican") == wanted[::-1]
    assert served(server, "other") == 0


def test_nothing_old_is_seen_while_the_standby_is_behind(server: live.Server, pair: Pair) -> None:
    _primary, standby = pair
    alice, bob, charlie = (server.person() for _ in range(3))
    room = alice.group(bob, charlie)
    edited, deleted = (alice.say(room, f"heron {number}") for number in range(2))
    until_standby_serves(server, bob, room)
    standby.ask("SELECT pg_wal_replay_pause()")
    try:
        standby.wait_for("SELECT pg_get_wal_replay_pause_state() = 'paused'")
        before = served(server, "behind")
        alice.ok("PATCH", f"/api/chat/messages/{edited['uuid']}/", {"content": "heron, edited"})
        alice.ok("DELETE", f"/api/chat/messages/{deleted['uuid']}/")
        alice.say(room, "heron, new")
        for person in (alice, bob):
            assert texts(person, room) == ["heron, edited", "heron, new"]
            assert found(person, "heron") == ["heron, new", "heron, edited"]
        assert texts(charlie, room)
        alice.ok("DELETE", f"/api/chat/conversations/{room}/members/{charlie.id}/")
        for _ in range(5):
            path = f"/api/chat/conversations/{room}/messages/"
            assert server.call("GET", path, token=charlie.access)[0] == 404
            assert found(charlie, "heron") == []
        old = standby.ask(f"SELECT content FROM chat_message WHERE uuid = '{deleted['uuid']}'")
        assert old == [("heron 1",)], "the standby would have shown it"
        assert served(server, "behind") > before
    finally:
        standby.ask("SELECT pg_wal_replay_resume()")
    until_standby_serves(server, bob, room)
    assert texts(bob, room) == ["heron, edited", "heron, new"]


@pytest.mark.parametrize("how", ["gone", "hanging"])
def test_the_primary_serves_while_the_standby_is_away(server: live.Server, pair: Pair, how: str) -> None:
    _primary, standby = pair
    alice, bob = server.person(), server.person()
    room = alice.direct(bob)
    alice.say(room, "an egret")
    until_standby_serves(server, bob, room)
    before = served(server, "away")
    (standby.halt if how == "gone" else standby.hang)()
    try:
        for _ in range(5):
            assert texts(bob, room) == found(bob, "egret") == ["an egret"]
        assert served(server, "away") > before
    finally:
        (standby.go_on if how == "gone" else standby.resume)()
    until_standby_serves(server, bob, room)


def test_a_pooler_before_the_primary_and_the_standby_beside_it(
    pair: Pair, valkey_url: str, server: live.Server
) -> None:
    primary, standby = pair
    folder = Path(tempfile.mkdtemp(prefix="alviar-pool-"))  # not pytest's, which PgBouncer's user may not enter
    replica = {"DATABASE_POOLED_BY": "pgbouncer", "DATABASE_REPLICA_URL": standby.url}
    try:
        with (
            databases.pgbouncer(primary.url, folder, pool_size=4) as url,
            live.server(database_url=url, redis_url=valkey_url, **replica) as pooled,
        ):
            alice, bob = pooled.person(), pooled.person()
            room = alice.direct(bob)
            until_standby_serves(pooled, bob, room)
            for number in range(5):
                alice.say(room, f"ibis {number}")
                assert texts(bob, room) == [f"ibis {seen}" for seen in range(number + 1)]
            assert found(bob, "ibis") == [f"ibis {number}" for number in range(4, -1, -1)]
            until_standby_serves(pooled, bob, room)
            log = pooled.said()
            assert "Traceback" not in log
            assert "Prepared" not in log
    except servers.NotAvailable as error:
        pytest.skip(f"needs PgBouncer: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- The standby takes over -------------------------------------------------------------------------------------------


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
    await asyncio.to_thread(primary.wait_for_standby_at_commits)
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
    own = f"conversation_id = (SELECT id FROM chat_conversation WHERE uuid = '{room}')"
    rows = standby.ask(f"SELECT client_msg_id FROM chat_message WHERE {own} ORDER BY seq")
    stored = [str(row[0]) for row in rows]
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


def test_an_old_primary_that_comes_back_as_primary_is_not_written_to(
    server: live.Server, pair: Pair, way: databases.Way
) -> None:
    """It comes back with the data and the role from before the promotion, even while the new one is gone."""
    old, new = pair
    alice, bob = server.person(), server.person()
    room = alice.direct(bob)
    old.halt()
    (old.data / "standby.signal").unlink()
    old.come_back_as_it_was()
    assert old.ask("SELECT pg_is_in_recovery()") == [(False,)]
    before = old.ask("SELECT count(*), max(id) FROM chat_message")

    def is_seen(known: dict[str, Any]) -> bool:
        return bool(known["servers"].get("one", {}).get("timeline") == 1)

    way.wait_for(is_seen)
    alice.say(room, "to the new one")
    new.halt()
    status, body = 0, {}
    for _ in range(10):
        status, body = server.call("PATCH", "/api/users/me/", {"first_name": "Lost"}, token=alice.access)
        assert (status, body["code"]) == (503, "temporarily_unavailable")
    assert way.known("/one")[0] == way.known("/two")[0] == 503
    way.restart_check()  # what it knows outlives it
    way.wait_for(is_seen)
    assert way.known("/one")[0] == 503
    status, body = server.call("PATCH", "/api/users/me/", {"first_name": "Lost"}, token=alice.access)
    assert (status, body["code"]) == (503, "temporarily_unavailable")

    new.go_on()
    live.wait_until(lambda: server.call("GET", "/api/users/me/", token=alice.access)[0] == 200)
    alice.say(room, "to the new one again")
    assert texts(bob, room) == ["to the new one", "to the new one again"]
    assert old.ask("SELECT count(*), max(id) FROM chat_message") == before
    assert alice.ok("GET", "/api/users/me/")["first_name"] == ""
    assert "refused. The newest is two, timeline 2" in way.check.log.read_text()
