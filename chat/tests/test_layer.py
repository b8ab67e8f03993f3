"""The hub's one way to the other processes: heard, mended, and never in anybody's way."""

import asyncio
import gc
import socket
from collections.abc import Sequence
from typing import Any
from unittest import mock

import msgspec
import pytest
from django.conf import settings
from psycopg import OperationalError

from chat.hub import layer, messages
from chat.hub.layer import Layer
from chat.hub.wakes import link as links
from chat.hub.wakes.base import Wakes
from chat.hub.wakes.link import Link, Payload
from chat.hub.wakes.postgresql import PostgresqlLink

TYPING = messages.TypingChanged(c=1, u=2, a=True)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


class Engine:
    """An engine in memory that a test can take away."""

    def __init__(self) -> None:
        self.is_up = True
        self.links: list[MemoryLink] = []
        self.hangs = asyncio.Event()
        self.hangs.set()

    def cut(self, *links: "MemoryLink") -> None:
        for one in links or self.links:
            if one.gone is not None and not one.gone.done():
                one.gone.set_exception(ConnectionError("cut"))


class MemoryLink(Link):
    def __init__(self, engine: Engine, *args: Any) -> None:
        super().__init__(*args)
        self.engine = engine
        self.gone: asyncio.Future[None] | None = None
        engine.links.append(self)

    async def dial(self) -> None:
        if not self.engine.is_up:
            raise ConnectionError("refused")
        self.gone = asyncio.get_running_loop().create_future()

    async def join(self, channels: Sequence[str]) -> None:
        await self.engine.hangs.wait()

    async def part(self, channels: Sequence[str]) -> None:
        pass

    async def send(self, batch: Sequence[Payload]) -> None:
        await self.engine.hangs.wait()
        for channel, payload in batch:
            for other in self.engine.links:
                if channel in other.joined:
                    other.took(channel, payload)

    async def listen(self) -> None:
        assert self.gone is not None
        await self.gone

    async def hang_up(self) -> None:
        pass


class MemoryWakes(Wakes):
    def __init__(self, engine: Engine, process: str, heard: Any, changed: Any) -> None:
        super().__init__([], process, heard, changed)
        self.links = [MemoryLink(engine, f"echo.{process}", heard, changed)]

    def link_of(self, channel: str) -> Link:
        return self.links[0]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(links, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(links, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(links, "ECHO_SECONDS", 0.02)
    made = Engine()
    monkeypatch.setattr(settings, "WAKES_BACKEND", f"{__name__}._memory")
    monkeypatch.setattr(settings, "WAKES_URLS", made)
    return made


def _memory(engine: Engine, *args: Any) -> MemoryWakes:
    return MemoryWakes(engine, *args)


def nothing(*args: Any) -> None:
    pass


async def test_what_one_process_publishes_the_others_hear_and_not_itself(engine: Engine) -> None:
    heard: dict[str, list[Any]] = {"here": [], "there": []}
    here = Layer("here", heard["here"].append, nothing)
    there = Layer("there", heard["there"].append, nothing)
    for one in (here, there):
        one.start()
    await until(lambda: layer.ALL in here.subscribed and layer.ALL in there.subscribed)
    here.publish(layer.ALL, TYPING)
    await until(lambda: heard["there"])
    assert messages.from_wire(heard["there"][0]) == TYPING
    assert heard["here"] == []
    for one in (here, there):
        await one.stop()


async def test_a_group_is_heard_from_its_subscription_on(engine: Engine) -> None:
    heard: list[Any] = []
    here, there = Layer("here", nothing, nothing), Layer("there", heard.append, nothing)
    for one in (here, there):
        one.start()
    await until(lambda: layer.ALL in there.subscribed)
    group = layer.group_of(5)
    here.publish(group, TYPING)
    here.publish(layer.ALL, messages.UserSuspended(u=1))
    await until(lambda: heard)
    await there.subscribe({group})
    here.publish(group, TYPING)
    await until(lambda: len(heard) == 2)
    assert [wire["k"] for wire in heard] == ["suspended", "typing"]
    for one in (here, there):
        await one.stop()


async def test_a_cut_connection_is_reported_when_it_breaks_and_when_it_is_whole(engine: Engine) -> None:
    breaks: list[bool] = []
    here = Layer("here", nothing, lambda: breaks.append(here.broken))
    here.start()
    await until(lambda: breaks)  # nothing was heard until now
    assert breaks == [False]
    engine.is_up = False
    engine.cut()
    await until(lambda: here.broken)
    engine.is_up = True
    await until(lambda: not here.broken)
    assert breaks == [False, True, False]
    assert layer.ALL in here.subscribed
    await here.stop()


async def test_who_could_not_publish_asks_the_others_to_look_once_it_can_again(engine: Engine) -> None:
    heard: list[Any] = []
    here, there = Layer("here", nothing, nothing), Layer("there", heard.append, nothing)
    for one in (here, there):
        one.start()
    await until(lambda: layer.ALL in there.subscribed and here.wakes.links[0].was_heard)
    engine.is_up = False
    engine.cut(engine.links[0])
    await until(lambda: here.broken)
    here.publish(layer.ALL, TYPING)
    await until(lambda: here.has_dropped)
    engine.is_up = True
    await until(lambda: heard)
    assert [wire["k"] for wire in heard] == ["dropped"]
    for one in (here, there):
        await one.stop()


async def test_with_the_engine_away_publishing_and_subscribing_raise_nothing_and_wait_for_nobody(
    engine: Engine,
) -> None:
    engine.is_up = False
    here = Layer("here", nothing, nothing)
    here.start()
    async with asyncio.timeout(30):
        await here.subscribe({layer.group_of(1)})
        for _ in range(100):
            here.publish(layer.group_of(1), TYPING)
        await until(lambda: here.broken)
    assert here.subscribed == set()
    engine.is_up = True
    await until(lambda: layer.group_of(1) in here.subscribed)  # as soon as it is back
    await here.stop()


async def test_an_engine_that_hangs_is_left_and_found_again(engine: Engine) -> None:
    here = Layer("here", nothing, nothing)
    here.start()
    await until(lambda: here.wakes.links[0].was_heard)
    engine.hangs.clear()
    here.publish(layer.ALL, TYPING)
    await until(lambda: here.broken)
    engine.hangs.set()
    await until(lambda: not here.broken)
    await here.stop()


async def test_an_unreadable_payload_stops_nothing(engine: Engine) -> None:
    heard: list[Any] = []
    here = Layer("here", heard.append, nothing)
    here.start()
    await until(lambda: layer.ALL in here.subscribed)
    for payload in (b"", b"\xc1", b"\x93\x01\x02\x03", msgspec.msgpack.encode({"k": "typing"})):
        here.wakes.links[0].took(layer.ALL, payload)
    assert heard == [{"k": "typing"}]
    await here.stop()


async def test_it_stops_also_where_the_engine_hangs(engine: Engine) -> None:
    here = Layer("here", nothing, nothing)
    here.start()
    await until(lambda: layer.ALL in here.subscribed)
    engine.hangs.clear()
    here.publish(layer.ALL, TYPING)
    async with asyncio.timeout(30):
        await here.stop()


async def test_a_command_that_could_not_be_sent_leaves_no_unread_error_when_its_connection_breaks() -> None:
    unread: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unread.append(context))
    near, far = socket.socketpair()
    postgresql = PostgresqlLink("", "echo", nothing, nothing)
    postgresql.descriptor = near.fileno()
    postgresql.connection = mock.Mock()
    postgresql.connection.pgconn.send_query_params.side_effect = OperationalError("another command is in progress")
    postgresql.connection.pgconn.consume_input.side_effect = OperationalError("server closed the connection")
    postgresql.ended = asyncio.get_running_loop().create_future()
    with pytest.raises(OperationalError, match="in progress"):
        await postgresql.join(["chat"])
    postgresql._readable()
    with pytest.raises(OperationalError, match="closed"):
        await postgresql.listen()
    near.close()
    far.close()
    del postgresql
    gc.collect()
    await asyncio.sleep(0)
    assert unread == []
