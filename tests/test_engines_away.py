"""The engine between processes hangs as a whole: each request is served without it or answered 503."""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests import engines, live
from tests.conftest import NAMES

# One Redis and PostgreSQL have tests of their own.
OF_SEVERAL = [one for one in NAMES if one.id in {"redis-cluster", "redis-sentinel", "nats"}]
pytestmark = [pytest.mark.live, pytest.mark.parametrize("engine", OF_SEVERAL, indirect=True, scope="session")]


@pytest.fixture(scope="module")
def server(engine: engines.Engine, new_database: Callable[[], str]) -> Iterator[live.Server]:
    said = engine.settings
    counted = {"RATE_LOGIN": "10000/min", "RATE_CHAT": "10000/min", "CHAT_MESSAGES_PER_10S": "10000"}
    settings = counted | {"CHAT_SWEEP_SECONDS": "1", "WAKES_URL": said.get("WAKES_URL", "")}
    with live.server(database_url=new_database(), redis_url=said.get("REDIS_URL", ""), **settings) as started:
        yield started


def asked(server: live.Server, person: live.Person, room: str) -> Iterator[tuple[str, int, Any]]:
    """Ask for what touches rates, cache, presence and wakes."""
    said = {"content": "away", "client_msg_id": str(uuid.uuid4())}
    name = f"p{uuid.uuid4().hex[:10]}"
    given = {"username": name, "email": f"{name}@example.com", "password": live.PASSWORD}
    for method, path, body, token in (
        ("GET", "/api/users/me/", None, person.access),
        ("PATCH", "/api/users/me/", {"first_name": "Away"}, person.access),
        ("GET", "/api/users/sessions/", None, person.access),
        ("POST", "/api/auth/login/", {"username": person.name, "password": live.PASSWORD}, ""),
        ("POST", "/api/auth/login/", {"username": person.name, "password": "wrong"}, ""),
        ("POST", "/api/auth/register/", {**given, "password_confirm": live.PASSWORD}, ""),
        ("POST", f"/api/chat/conversations/{room}/messages/", said, person.access),
        ("GET", f"/api/chat/conversations/{room}/messages/", None, person.access),
        ("GET", "/api/chat/conversations/", None, person.access),
    ):
        status, answer = server.call(method, path, body, token=token)
        yield f"{method} {path}", status, answer
    yield "GET /readyz", *server.get("/readyz")


def check(found: list[tuple[str, int, Any]]) -> None:
    for what, status, answer in found:
        if what == "GET /readyz":
            assert (status, json.loads(answer)["layer"]) == (200, "degraded"), answer
        elif status >= 500:
            assert (status, answer["code"], answer["action"]) == (503, "temporarily_unavailable", "retry"), what


async def say(wire: live.Wire, room: str, text: str) -> None:
    """Send until it is acknowledged."""
    name = str(uuid.uuid4())
    while True:
        await wire.send("message", conversation_uuid=room, content=text, client_msg_id=name)
        frame = await wire.next("ack", "error")
        if frame["type"] == "ack":
            return
        assert frame["code"] == "temporarily_unavailable", frame
        await asyncio.sleep(0.1)


async def heard(wire: live.Wire, text: str) -> None:
    while text not in [event["data"].get("content") for event in await wire.events(1)]:
        pass


async def opened(person: live.Person) -> live.Wire:
    """Open a socket, again after a close that says that it cannot be had now."""
    while True:
        try:
            return await person.open()
        except ConnectionClosed as closed:
            if closed.rcvd is None or closed.rcvd.code != 4411:
                raise
        await asyncio.sleep(0.2)


async def test_all_goes_on_or_is_503_while_every_node_hangs(engine: engines.Engine, server: live.Server) -> None:
    alice, bob = [await asyncio.to_thread(server.person) for _ in range(2)]
    room = await asyncio.to_thread(alice.direct, bob)
    writer, reader = await alice.open(), await bob.open()
    await say(writer, room, "before")
    await heard(reader, "before")
    for node in engine.nodes:
        node.hang()
    try:
        await asyncio.to_thread(live.wait_until, lambda: b"degraded" in server.get("/readyz")[1])
        check(await asyncio.to_thread(lambda: list(asked(server, alice, room))))
        await say(writer, room, "meanwhile")
        await heard(reader, "meanwhile")
        late = await opened(bob)
        await late.close()
    finally:
        await asyncio.to_thread(engine.heal)
    await asyncio.to_thread(live.wait_until, lambda: json.loads(server.get("/readyz")[1])["layer"] == "ok")
    found = await asyncio.to_thread(lambda: [(what, status) for what, status, _ in asked(server, alice, room)])
    assert {status for what, status in found if "login" not in what and "readyz" not in what} <= {200, 201}
    await say(writer, room, "after")
    await heard(reader, "after")
    for wire in (writer, reader):
        await wire.close()
    assert "Traceback" not in server.said()
