"""Clients in this process: the real consumer, hub and database, without a wire.

The cast is the usual one, with living sessions; a test file takes it by `here, alice, … = peers.here, peers.alice, …`.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest_asyncio
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model

from chat import database
from chat.hub import tell
from chat.hub.process import Process
from chat.models import Conversation
from chat.services import conversations, messages
from chat.socket.consumer import ChatConsumer
from common.client import Client
from sessions.services import lifecycle


@dataclass
class Known:
    """A person with a living session."""

    id: int
    name: str
    sid: uuid.UUID
    session_id: int
    access: str


def person(name: str = "") -> Known:
    """Make a person and sign them in. On a thread where a loop is running."""
    name = name or f"p{uuid.uuid4().hex[:10]}"
    user = get_user_model().objects.create_user(username=name, email=f"{name}@example.com", password="x")
    started = lifecycle.start(user=user, client=Client())
    row = started.user_session
    return Known(user.pk, name, row.session_token, row.pk, started.tokens.access)


class Peer:
    """One socket of one person."""

    def __init__(self, known: Known, communicator: WebsocketCommunicator) -> None:
        self.known, self.communicator = known, communicator
        self.hello: dict[str, Any] = {}

    @property
    def socket(self) -> Any:
        return tell.current().hub.sockets[self.hello["connection_id"]]

    async def send(self, type: str, **fields: Any) -> None:
        await self.communicator.send_to(text_data=json.dumps({"type": type, **fields}))

    async def next(self, *types: str, within_s: float = 60) -> dict[str, Any]:
        while True:
            frame = json.loads(await self.communicator.receive_from(timeout=within_s))
            if not types or frame["type"] in types:
                return frame

    async def waiting(self) -> list[dict[str, Any]]:
        """Return every frame that is there by now: a ping is answered after them."""
        await self.send("ping", ref="mark")
        found = []
        while (frame := await self.next())["type"] != "pong":
            found.append(frame)
        return found

    async def events(self, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += (await self.next("events"))["events"]
        return found

    async def close_code(self, within_s: float = 60) -> int:
        async with asyncio.timeout(within_s):
            while True:
                message = await self.communicator.receive_output(within_s)
                if message["type"] == "websocket.close":
                    return message["code"]

    async def leave(self) -> None:
        await self.communicator.disconnect()


async def connect(known: Known, path: str = "/ws/chat/", *, token: str | None = None, **scope: Any) -> Peer:
    communicator = WebsocketCommunicator(
        ChatConsumer.as_asgi(), path, subprotocols=["access_token", known.access if token is None else token]
    )
    communicator.scope |= scope
    accepted, subprotocol = await communicator.connect(timeout=60)
    assert (accepted, subprotocol) == (True, "access_token")
    peer = Peer(known, communicator)
    if token is None:
        peer.hello = await peer.next("hello")
    return peer


@asynccontextmanager
async def running() -> AsyncIterator[Process]:
    """A process for this test's loop, gone afterwards."""
    here = tell.current()
    try:
        yield here
    finally:
        for socket in list(here.hub.sockets.values()):
            here.leave(socket)
        await tell.stop()


@pytest_asyncio.fixture
async def here() -> AsyncIterator[Process]:
    async with running() as started:
        yield started


@pytest_asyncio.fixture
async def alice(here: Process) -> Known:
    return await run(person)


@pytest_asyncio.fixture
async def bob(here: Process) -> Known:
    return await run(person)


@pytest_asyncio.fixture
async def charlie(here: Process) -> Known:
    return await run(person)


async def group(owner: Known, *others: Known, **more: Any) -> Conversation:
    ids = [one.id for one in others]
    return await run(conversations.create_group, user_id=owner.id, title="Group", user_ids=ids, **more)


async def say(who: Known, where: Conversation, text: str = "Hello", **more: Any) -> Any:
    return await run(
        messages.send, user_id=who.id, session_id=who.session_id, conversation_uuid=where.uuid, content=text, **more
    )


async def run(function: Any, *args: Any, **kwargs: Any) -> Any:
    return await database.run(function, *args, **kwargs)
