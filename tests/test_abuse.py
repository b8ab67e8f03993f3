"""What a stranger may do to a running server: short, deterministic versions of the scripts in tests/abuse/."""

import http.client
from collections.abc import Iterator
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests import live

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server() -> Iterator[live.Server]:
    settings = {
        "RATE_HANDSHAKE": "20/h",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "CHAT_FRAMES_PER_MINUTE": "60",
        "CHAT_STUCK_SECONDS": "1",
        "CHAT_SOCKETS_PER_SESSION": "1",
    }
    with live.server(**settings) as started:
        yield started


async def _knock(server: live.Server, token: str, **options: object) -> int:
    """Return the close code of a refused handshake, or the HTTP status."""
    try:
        wire = await live.Wire.connect(server, token, **options)
    except InvalidStatus as refused:
        return refused.response.status_code
    try:
        frame = await wire.next()
        assert frame["type"] == "error"
        return await wire.closed()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


async def test_wrong_tokens_are_4401_and_then_429_while_a_good_one_still_opens(server: live.Server) -> None:
    alice = server.person()
    for _ in range(25):
        await (await alice.open()).close()
    assert [await _knock(server, "wrong") for _ in range(20)] == [4401] * 20
    assert [await _knock(server, "wrong") for _ in range(3)] == [429] * 3
    assert await _knock(server, "wrong", subprotocols=["something"]) == 429
    assert (await alice.open()).hello["user_id"] == alice.id


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("localhost", 101)])
def test_the_handshake_heeds_allowed_hosts(server: live.Server, host: str, status: int) -> None:
    token = server.person().access
    connection = http.client.HTTPConnection(server.base.removeprefix("http://"), timeout=live.WAIT_SECONDS)
    headers = {
        "Host": host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": f"access_token, {token}",
    }
    connection.request("GET", "/ws/chat/", headers=headers)
    answered = connection.getresponse().status
    connection.close()
    assert answered in ({status} if status == 101 else {403, 429})


async def test_a_flood_of_protocol_pings_or_pieces_is_closed_by_4429(server: live.Server) -> None:
    alice = server.person()
    for flood in ("pings", "pieces"):
        wire = await alice.open()
        if flood == "pings":
            with suppress(ConnectionClosed):
                for number in range(200):
                    await wire.connection.ping(str(number))
        else:
            with suppress(ConnectionClosed):
                await wire.connection.send([""] * 200 + ["{}"])
        assert await wire.closed() == 4429
        assert any(frame["type"] == "error" and frame["code"] == "throttled" for frame in wire.seen)


async def test_who_reads_nothing_is_gone_and_shown_so(server: live.Server) -> None:
    """A client that stops reading with little unsent: no close can be flushed, and yet it ends."""
    alice, bob = server.person(), server.person()
    alice.direct(bob)
    watcher = await alice.open()
    await watcher.send("presence", user_ids=[bob.id])
    stuck = await bob.open()
    while not (await watcher.next("presence"))["users"][0]["online"]:
        pass
    stuck.connection.transport.pause_reading()
    newer = await bob.open()  # supersedes: the close of the older one is never read
    await newer.close()
    while (await watcher.next("presence"))["users"][0]["online"]:
        pass
