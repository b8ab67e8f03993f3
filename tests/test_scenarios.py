"""The three scenarios of the client guide, against live servers: a conversation, a token change, a revocation."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests import live

pytestmark = pytest.mark.live


@pytest.fixture(
    scope="module",
    params=["uvicorn-embedded", "daphne-embedded", "uvicorn-production", "daphne-production"],
)
def server(request: pytest.FixtureRequest) -> Iterator[live.Server]:
    kind, _, stores = request.param.partition("-")
    urls: dict[str, str] = {}
    if stores == "production":
        from tests import servers

        url = request.getfixturevalue("_postgres_server")
        urls["database_url"] = servers.create_database(url, f"live_{uuid.uuid4().hex[:12]}")
        urls["redis_url"] = request.getfixturevalue("valkey_url")
    with live.server(kind, **urls) as started:
        yield started


async def test_a_conversation_is_opened_and_a_message_arrives(server: live.Server) -> None:
    alice = server.person()
    server.person(name := f"bob{uuid.uuid4().hex[:8]}")
    bob = server.sign_in(name, prefix="/api/users/auth")
    conversation = alice.direct(bob)
    there, here = await bob.open(), await alice.open()
    await here.send("mark_as_seen", conversation_uuid=conversation)
    await here.next("receipt")
    name = str(uuid.uuid4())
    await here.send("message", conversation_uuid=conversation, content="Hello!", client_msg_id=name, ref="1")
    ack = await here.next("ack")
    assert (ack["client_msg_id"], ack["ref"], ack["duplicate"]) == (name, "1", False)
    [event] = await there.events(1, kind="message.created")
    assert (event["seq"], event["data"]["content"], event["actor_id"]) == (ack["seq"], "Hello!", alice.id)
    history = bob.ok("GET", f"/api/chat/conversations/{conversation}/messages/")
    assert [message["uuid"] for message in history["results"]] == [ack["message_uuid"]]
    for wire in (here, there):
        await wire.close()


async def test_the_guides_own_client_works_at_the_conversations_path(server: live.Server) -> None:
    alice, bob = server.person(), server.person()
    conversation = alice.direct(bob)
    bare = await alice.open()
    await bare.send("message", content="Hello!")
    assert (await bare.next("error"))["code"] == "conversation_required"
    named = await alice.open(f"/ws/chat/{conversation}/")
    await named.send("message", content="Hello!")
    assert (await named.next("ack"))["conversation_uuid"] == conversation
    for wire in (bare, named):
        await wire.close()


async def test_a_token_is_refreshed_under_way_and_nothing_is_lost(server: live.Server) -> None:
    alice, bob = server.person(), server.person()
    conversation = alice.direct(bob)
    old, here = await bob.open(), await alice.open()
    total = 60

    async def keep_sending() -> None:
        for number in range(total):
            await here.send("message", conversation_uuid=conversation, content=str(number))
            await asyncio.sleep(0.01)

    sending = asyncio.create_task(keep_sending())
    first = await old.events(10, kind="message.created")
    body = await asyncio.to_thread(server.ok, "POST", "/api/auth/token/refresh/", {"refresh": bob.refresh})
    new = await bob.open(token=body["access"])
    cursor = first[-1]["seq"]
    await new.send("resume", epoch=new.hello["epoch"], cursors={conversation: cursor})
    await old.close()
    got: list[dict[str, Any]] = list(first)
    last = cursor
    while len(got) < total:
        for event in (await new.next("events"))["events"]:
            if event["seq"] <= last:
                continue  # sent live before the catch-up reached it
            if event["seq"] == last + 1:
                last = event["seq"]
                got.append(event)
    await sending
    assert [event["data"]["content"] for event in got] == [str(number) for number in range(total)]
    await new.close()
    await here.close()


async def test_a_session_revoked_from_another_device_ends_at_once(server: live.Server) -> None:
    bob = server.person()
    other = server.sign_in(bob.name)
    wire = await bob.open()
    started = time.monotonic()
    await asyncio.to_thread(other.ok, "POST", f"/api/users/sessions/{bob.sid}/revoke/")
    assert await wire.closed(within_s=3) == 4503
    assert time.monotonic() - started < 1.5
    assert wire.seen[-1]["type"] == "bye"
    assert server.call("GET", "/api/users/me/", token=bob.access)[0] == 401
    assert server.call("POST", "/api/auth/token/refresh/", {"refresh": bob.refresh})[0] == 401
    assert server.call("GET", "/api/users/me/", token=other.access)[0] == 200
