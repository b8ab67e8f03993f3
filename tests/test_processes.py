"""Two server processes on one PostgreSQL and one Valkey: what happens in one is heard in the other, or found by it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed

from tests import live
from tests.servers import Valkey

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    started = Valkey()
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def processes(valkey: Valkey, new_database: Callable[[], str]) -> Iterator[tuple[live.Server, live.Server]]:
    url = new_database()
    settings = {"database_url": url, "redis_url": valkey.url, "CHAT_SWEEP_SECONDS": "600"}  # no sweep delivers
    with live.server(**settings) as one, live.server(**settings) as two:
        yield one, two


def at(server: live.Server, person: live.Person) -> live.Person:
    """Return the same person, with the same session, at the other process."""
    return live.Person(server, person.name, person.id, person.access, person.refresh, person.sid)


def layer_of(server: live.Server) -> str:
    return str(server.ok("GET", "/readyz")["layer"])


async def test_a_message_crosses_at_once_in_both_directions(processes: tuple[live.Server, live.Server]) -> None:
    one, two = processes
    alice, bob = one.person(), one.person()
    room = alice.direct(bob)
    here, there = await alice.open(f"/ws/chat/{room}/"), await at(two, bob).open(f"/ws/chat/{room}/")
    for writer, reader in ((here, there), (there, here)):
        await writer.send("message", content="Hello!")
        [event] = await reader.events(1)
        assert event["data"]["content"] == "Hello!"
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


@pytest.mark.promise
async def test_a_revocation_closes_the_socket_at_the_other_process(
    processes: tuple[live.Server, live.Server],
) -> None:
    one, two = processes
    bob = one.person()
    wire = await at(two, bob).open()
    other = one.sign_in(bob.name)
    await asyncio.to_thread(other.ok, "POST", f"/api/users/sessions/{bob.sid}/revoke/")
    assert await wire.closed() == 4503


async def test_sockets_of_one_session_are_counted_across_processes(
    processes: tuple[live.Server, live.Server],
) -> None:
    one, two = processes
    bob = one.person()
    oldest = await bob.open()
    others = [await at(server, bob).open() for server in (two, one, two)]
    assert await oldest.closed() == 4506
    assert oldest.seen[-1]["code"] == "superseded"
    for wire in others:
        await wire.ping()
        await wire.close()


async def test_presence_crosses(processes: tuple[live.Server, live.Server]) -> None:
    one, two = processes
    alice, bob = one.person(), one.person()
    alice.direct(bob)
    watcher = await alice.open()
    await watcher.send("presence", user_ids=[bob.id])
    assert (await watcher.next("presence"))["users"][0]["online"] is False
    wire = await at(two, bob).open()
    assert (await watcher.next("presence"))["users"][0]["online"] is True
    await wire.close()
    gone = (await watcher.next("presence"))["users"][0]
    assert (gone["online"], bool(gone["last_seen_at"])) == (False, True)
    await watcher.close()


@pytest.mark.promise
async def test_with_valkey_away_no_socket_closes_and_the_chat_goes_on(
    processes: tuple[live.Server, live.Server], valkey: Valkey
) -> None:
    one, two = processes
    alice, bob = one.person(), one.person()
    room = alice.direct(bob)
    here, there = await alice.open(f"/ws/chat/{room}/"), await at(two, bob).open()
    await asyncio.to_thread(valkey.kill)
    try:
        for number in range(2):
            await here.send("message", content=f"without Valkey {number}")
            assert (await here.next("ack"))["duplicate"] is False
            [event] = await there.events(1)  # found by the sweep, which is frequent while the layer is away
            assert event["data"]["content"] == f"without Valkey {number}"
        late = await at(two, alice).open()  # and connects succeed
        await late.ping()
        await late.close()
        status, body = await asyncio.to_thread(one.call, "GET", "/readyz")
        assert (status, body["layer"]) == (200, "degraded")
    finally:
        await asyncio.to_thread(valkey.start_empty)
    with suppress(ConnectionClosed):
        for number in range(3):
            await here.send("message", content=str(number))
        assert [event["data"]["content"] for event in await there.events(3)] == ["0", "1", "2"]
        for server in processes:
            await asyncio.to_thread(live.wait_until, lambda server=server: layer_of(server) == "ok")
        await here.send("message", content="again")
        await there.events(1)
        for wire in (here, there):
            await wire.ping()
            await wire.close()
        return
    raise AssertionError("a socket was closed")


@pytest.mark.parametrize("how", ["hanging", "gone"])
@pytest.mark.promise
async def test_a_revocation_reaches_the_other_process_while_redis_is_away_and_the_log_says_it_once(
    processes: tuple[live.Server, live.Server], valkey: Valkey, how: str
) -> None:
    one, two = processes
    alice = one.person()
    wire = await at(two, alice).open()
    other = one.sign_in(alice.name)
    before = {server.base: len(server.said()) for server in processes}

    def said(server: live.Server) -> str:
        return server.said()[before[server.base] :]

    (valkey.hang if how == "hanging" else valkey.kill)()
    try:
        await asyncio.to_thread(other.ok, "POST", f"/api/users/sessions/{alice.sid}/revoke/")
        assert await wire.closed() == 4503
        await asyncio.to_thread(live.wait_until, lambda: all("layer.broken" in said(server) for server in processes))
        assert other.ok("GET", "/api/users/me/")["id"] == alice.id
    finally:
        (valkey.resume if how == "hanging" else valkey.start_empty)()
    await asyncio.to_thread(live.wait_until, lambda: all("layer.mended" in said(server) for server in processes))
    for server in processes:
        assert "Traceback" not in said(server)
        assert said(server).count("cache.away") <= 1
        assert said(server).count("layer.broken") == said(server).count("layer.mended") == 1
