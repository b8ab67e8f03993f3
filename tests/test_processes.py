"""Two server processes on one PostgreSQL and one Valkey: what happens in one is heard in the other, or found by it."""

import asyncio
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests import live
from tests.chaos.stores import Valkey

pytestmark = pytest.mark.live

AWAY_SECONDS = 30


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    started = Valkey()
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def processes(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[tuple[live.Server, live.Server]]:
    from tests import servers

    url = servers.create_database(request.getfixturevalue("_postgres_server"), f"live_{uuid.uuid4().hex[:12]}")
    both: list[live.Server] = []
    with tempfile.TemporaryDirectory(prefix="alviar-live-") as folder:
        try:
            for name in ("one", "two"):
                (Path(folder) / name).mkdir()
                environment = live.environment_of(
                    Path(folder) / name, database_url=url, redis_url=valkey.url, CHAT_SWEEP_SECONDS="2"
                )
                both.append(live.start("uvicorn", environment, Path(folder) / name / "log"))
            yield both[0], both[1]
        finally:
            for server in both:
                live.end(server.process)


def at(server: live.Server, person: live.Person) -> live.Person:
    """Return the same person, with the same session, at the other process."""
    return live.Person(server, person.name, person.id, person.access, person.refresh, person.sid)


async def test_a_message_crosses_at_once_in_both_directions(processes: tuple[live.Server, live.Server]) -> None:
    one, two = processes
    alice, bob = one.person(), one.person()
    room = alice.direct(bob)
    here, there = await alice.open(f"/ws/chat/{room}/"), await at(two, bob).open(f"/ws/chat/{room}/")
    for writer, reader in ((here, there), (there, here)):
        started = time.monotonic()
        await writer.send("message", content="Hello!")
        [event] = await reader.events(1)
        assert event["data"]["content"] == "Hello!"
        assert time.monotonic() - started < 1.5  # not by the sweep
        await writer.events(1)
    for wire in (here, there):
        await wire.close()


async def test_who_is_added_at_one_process_is_live_at_the_other(processes: tuple[live.Server, live.Server]) -> None:
    one, two = processes
    alice, bob, charlie = one.person(), one.person(), one.person()
    wire = await at(two, charlie).open()
    room = alice.group(bob)
    alice.ok("POST", f"/api/chat/conversations/{room}/members/", {"user_ids": [charlie.id]})
    alice.say(room, "welcome")
    events = await wire.events(2)
    assert [event["kind"] for event in events] == ["member.joined", "message.created"]
    alice.ok("DELETE", f"/api/chat/conversations/{room}/members/{charlie.id}/")
    assert [event["kind"] for event in await wire.events(1)] == ["member.left"]
    await wire.next("removed")
    alice.say(room, "behind their back")
    await wire.nothing("events")
    await wire.close()


async def test_a_revocation_closes_the_socket_at_the_other_process_within_a_second(
    processes: tuple[live.Server, live.Server],
) -> None:
    one, two = processes
    bob = one.person()
    wire = await at(two, bob).open()
    other = one.sign_in(bob.name)
    started = time.monotonic()
    await asyncio.to_thread(other.ok, "POST", f"/api/users/sessions/{bob.sid}/revoke/")
    assert await wire.closed(within_s=3) == 4503
    assert time.monotonic() - started < 1.2


async def test_sockets_of_one_session_are_counted_across_processes(
    processes: tuple[live.Server, live.Server],
) -> None:
    one, two = processes
    bob = one.person()
    oldest = await bob.open()
    others = [await at(server, bob).open() for server in (two, one, two)]
    assert await oldest.closed(within_s=3) == 4506
    assert oldest.seen[-1]["code"] == "superseded"
    for wire in others:
        assert await wire.ping() < 5
        await wire.close()


async def test_presence_crosses(processes: tuple[live.Server, live.Server]) -> None:
    one, two = processes
    alice, bob = one.person(), one.person()
    alice.direct(bob)
    watcher = await alice.open()
    await watcher.send("presence", user_ids=[bob.id])
    assert (await watcher.next("presence"))["users"][0]["online"] is False
    wire = await at(two, bob).open()
    assert (await watcher.next("presence", within_s=4))["users"][0]["online"] is True
    await wire.close()
    gone = (await watcher.next("presence", within_s=10))["users"][0]
    assert (gone["online"], bool(gone["last_seen_at"])) == (False, True)
    await watcher.close()


async def test_with_valkey_away_no_socket_closes_and_the_chat_goes_on(
    processes: tuple[live.Server, live.Server], valkey: Valkey
) -> None:
    one, two = processes
    alice, bob = one.person(), one.person()
    room = alice.direct(bob)
    here, there = await alice.open(f"/ws/chat/{room}/"), await at(two, bob).open()
    await asyncio.to_thread(valkey.kill)
    try:
        away_since, number = time.monotonic(), 0
        while time.monotonic() - away_since < AWAY_SECONDS:
            await here.send("message", content=f"without Valkey {number}")
            assert (await here.next("ack"))["duplicate"] is False
            [event] = await there.events(1, within_s=9)  # found by the sweep
            assert event["data"]["content"] == f"without Valkey {number}"
            number += 1
        late = await at(two, alice).open()  # and connects succeed
        assert await late.ping() < 5
        await late.close()
        status, body = await asyncio.to_thread(one.call, "GET", "/readyz")
        assert (status, body["layer"]) == (200, "degraded")
    finally:
        await asyncio.to_thread(valkey.start_empty)
    with suppress(ConnectionClosed):
        for number in range(3):
            await here.send("message", content=str(number))
        assert [event["data"]["content"] for event in await there.events(3, within_s=9)] == ["0", "1", "2"]
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # at once again, as soon as both have heard themselves
            started = time.monotonic()
            await here.send("message", content="again")
            await there.events(1, within_s=9)
            if time.monotonic() - started < 0.5:
                break
        else:
            raise AssertionError("the layer did not mend")
        for wire in (here, there):
            assert await wire.ping() < 5
            await wire.close()
        return
    raise AssertionError("a socket was closed")
