"""One suite for the wakes of every engine: what arrives, and what is noticed where it does not.

Wakes may be lost, doubled, late or in another order; then a link says that it was broken and is whole again, and the
hub reads the log. No test here waits for a sweep that comes by its clock.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from django.utils.module_loading import import_string

from chat.hub import layer, tell
from chat.hub.process import Process
from chat.hub.wakes import cluster, link, redis, sentinel
from chat.hub.wakes.base import Wakes
from chat.tests import peers
from chat.tests.peers import connect, group, say
from config import stores
from tests import engines
from tests.chaos.proxy import Proxy

CHANNELS = [layer.ALL, *(layer.group_of(number) for number in range(layer.SHARDS))]

pytestmark = pytest.mark.live

here, alice, bob = peers.here, peers.alice, peers.bob


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing counts as silent because the machine is busy."""
    for name in ("TIMEOUT_SECONDS", "SILENT_SECONDS", "RECONNECT_SECONDS"):
        monkeypatch.setattr(link, name, 30.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is silent is noticed soon; where the machine is busy, too often, which these tests bear."""
    for name, seconds in {"TIMEOUT": 3.0, "RETRY": 0.05, "ECHO": 0.1, "SILENT": 0.5, "RECONNECT": 2.0}.items():
        monkeypatch.setattr(link, f"{name}_SECONDS", seconds)


class Peer:
    """A process with wakes alone."""

    def __init__(self, engine: engines.Engine, name: str, *, through: "Doors | None" = None) -> None:
        self.heard: list[bytes] = []
        self.changes: list[Exception | None] = []
        path, urls = named(engine)
        if through is not None:
            urls = [through.url(url) for url in urls]
        self.wakes: Wakes = import_string(path)(urls, name, self.heard.append, self.changes.append)

    def count(self, of: bytes) -> int:
        return sum(payload.startswith(of) for payload in self.heard)


def named(engine: engines.Engine) -> tuple[str, list[str]]:
    said = engine.settings
    return stores.wakes(said.get("WAKES_URL", ""), said.get("REDIS_URL", ""))


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(120):
        while not holds():
            await asyncio.sleep(0.01)


async def is_whole(peer: Peer) -> None:
    await until(lambda: peer.wakes.links and all(one.was_heard for one in peer.wakes.links))
    await until(lambda: not peer.wakes.is_broken)


@asynccontextmanager
async def pair(engine: engines.Engine, *channels: str, through: "Doors | None" = None) -> AsyncIterator[list[Peer]]:
    """Two processes that hear the channels; the second one through the doors."""
    both = [Peer(engine, "one"), Peer(engine, "two", through=through)]
    try:
        for peer in both:
            peer.wakes.start()
            await peer.wakes.subscribe(channels)
        for peer in both:
            await is_whole(peer)
            await until(lambda peer=peer: peer.wakes.subscribed >= set(channels))
        yield both
    except TimeoutError as error:
        error.add_note(engine.said())
        raise
    finally:
        for peer in both:
            await peer.wakes.stop()


async def test_each_channel_is_heard_in_order_by_all_and_by_the_sender_too(engine: engines.Engine) -> None:
    async with pair(engine, *CHANNELS[:4]) as (one, two):
        batches = [
            [(CHANNELS[n % 4], f"{n % 4}:{n}".encode()) for n in range(start, start + 50)] for start in (0, 50, 100)
        ]
        for batch in batches:
            await one.wakes.publish(batch)
        for peer in (one, two):
            await until(lambda peer=peer: len(peer.heard) >= 150)
            for number in range(4):
                mine = [payload for payload in peer.heard if payload.startswith(b"%d:" % number)]
                assert mine == [
                    payload for batch in batches for _, payload in batch if payload.startswith(b"%d:" % number)
                ]


async def test_of_many_channels_only_those_subscribed_are_heard(engine: engines.Engine) -> None:
    async with pair(engine, *CHANNELS[::2]) as (one, two):
        await two.wakes.publish([(channel, channel.encode()) for channel in CHANNELS])
        await until(lambda: len(one.heard) >= len(CHANNELS[::2]))
        assert sorted(one.heard) == sorted(channel.encode() for channel in CHANNELS[::2])


async def test_the_same_payload_twice_is_heard_twice(engine: engines.Engine) -> None:
    async with pair(engine, layer.ALL) as (one, two):
        await two.wakes.publish([(layer.ALL, b"on"), (layer.ALL, b"off"), (layer.ALL, b"on")])
        await until(lambda: len(one.heard) >= 3)
        assert one.heard == [b"on", b"off", b"on"]


async def test_subscribing_and_unsubscribing_while_others_publish_loses_nothing_of_the_rest(
    engine: engines.Engine,
) -> None:
    steady, toggled = CHANNELS[1], CHANNELS[2]
    async with pair(engine, steady) as (one, two):
        stopped = asyncio.Event()
        sent: list[bytes] = []

        async def publish() -> None:
            while not stopped.is_set():
                sent.append(b"s:%d" % len(sent))
                await two.wakes.publish([(steady, sent[-1]), (toggled, b"toggled")])
                await asyncio.sleep(0.001)

        publishing = asyncio.ensure_future(publish())
        for _ in range(5):
            before = one.count(b"toggled")
            await one.wakes.subscribe([toggled])
            await until(lambda before=before: one.count(b"toggled") > before)
            await one.wakes.unsubscribe([toggled])
        assert toggled not in one.wakes.subscribed
        after = one.count(b"toggled")
        stopped.set()
        await publishing
        await until(lambda: one.count(b"s:") == len(sent))
        assert [payload for payload in one.heard if payload.startswith(b"s:")] == sent
        assert one.count(b"toggled") == after
        assert one.changes == [None] * len(one.wakes.links)  # whole from the beginning, and never broken


async def test_the_largest_payload_arrives_as_it_was(engine: engines.Engine) -> None:
    async with pair(engine, layer.ALL) as (one, two):
        payloads = [os.urandom(two.wakes.limit), bytes(range(256)), b"\0" * 100, b""]
        await two.wakes.publish([(layer.ALL, payload) for payload in payloads])
        await until(lambda: len(one.heard) >= len(payloads))
        assert one.heard == payloads


async def test_a_process_that_hears_nothing_publishes_in_one_go(engine: engines.Engine) -> None:
    async with pair(engine, *CHANNELS[:3]) as (one, _):
        await Peer(engine, "").wakes.publish_once([(channel, channel.encode()) for channel in CHANNELS[:3]])
        await until(lambda: len(one.heard) >= 3)
        assert set(one.heard) == {channel.encode() for channel in CHANNELS[:3]}


# --- The network ---


class Doors:
    """A proxy for each node, which the second process goes through."""

    def __init__(self, engine: engines.Engine) -> None:
        self.proxies = {node.port: Proxy(node.port) for node in engine.nodes}
        self.silent: asyncio.Server | None = None

    async def __aenter__(self) -> "Doors":
        self.stack = AsyncExitStack()
        for proxy in self.proxies.values():
            await self.stack.enter_async_context(proxy)
        self.silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stack.aclose()
        assert self.silent is not None
        self.silent.close()

    def url(self, url: str) -> str:
        for port, proxy in self.proxies.items():
            url = url.replace(f":{port}", f":{proxy.port}")
        return url

    def shut(self) -> None:
        """What is connected stays so and says nothing; new connections are taken and say nothing, either."""
        assert self.silent is not None
        for proxy in self.proxies.values():
            proxy.freeze()
            proxy.target_port = self.silent.sockets[0].getsockname()[1]

    def open(self) -> None:
        for port, proxy in self.proxies.items():
            proxy.target_port = port
            proxy.freeze()


@pytest.fixture
async def doors(engine: engines.Engine, quick: None) -> AsyncIterator[Doors]:
    """The way of process "two" to each node; a cluster and Sentinels name nodes by their own ports."""
    async with Doors(engine) as made:
        yield made


def through(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead all connections to Redis that are made from now on through the doors."""
    straight = redis.connection_to
    for module in (redis, cluster, sentinel):
        monkeypatch.setattr(module, "connection_to", lambda url, **options: straight(doors.url(url), **options))


async def say_until_heard(speaker: Peer, listener: Peer, payload: bytes) -> None:
    """Publish until it arrives: what was lost in between is the sweep's."""
    async with asyncio.timeout(120):
        while not listener.count(payload):
            try:
                await speaker.wakes.publish([(layer.ALL, payload)])
            except Exception:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.02)


async def test_a_link_that_went_dead_without_an_end_is_noticed_and_made_anew(
    engine: engines.Engine, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    through(doors, monkeypatch)
    async with pair(engine, layer.ALL, through=doors) as (one, two):
        before = len(two.changes)
        doors.shut()
        await until(lambda: any(two.changes[before:]))  # broken
        assert two.wakes.is_broken
        doors.open()
        await until(lambda: two.changes[-1] is None and not two.wakes.is_broken)
        await say_until_heard(one, two, b"after")
        await say_until_heard(two, one, b"back")


# --- The engine ---


@pytest.mark.parametrize("how", ["killed", "hanging"])
async def test_a_node_that_goes_is_noticed_and_wakes_go_on(engine: engines.Engine, quick: None, how: str) -> None:
    async with pair(engine, *CHANNELS) as (one, two):
        node = engine.carrier()
        (node.kill if how == "killed" else node.hang)()
        try:
            if not isinstance(engine, engines.Nats):  # a process may sit at another node
                await until(lambda: any(one.changes) and any(two.changes))
            if not engine.fails_over:
                assert one.wakes.is_broken
            else:
                await say_until_heard(one, two, b"without it")
                await say_until_heard(two, one, b"without it")
        finally:
            await asyncio.to_thread(engine.heal)
        for peer in (one, two):
            await until(lambda peer=peer: not peer.wakes.is_broken and peer.wakes.subscribed >= set(CHANNELS))
        for channel in CHANNELS:
            await until_published(one, channel)
        await until(lambda: {channel.encode() for channel in CHANNELS} <= set(two.heard))


async def until_published(peer: Peer, channel: str) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                await peer.wakes.publish([(channel, channel.encode())])
                return
            except Exception:
                await asyncio.sleep(0.05)


async def test_an_engine_that_is_away_at_the_start_is_found_later(engine: engines.Engine, quick: None) -> None:
    for node in engine.nodes:
        await asyncio.to_thread(node.kill)
    peer = Peer(engine, "one")
    peer.wakes.start()
    try:
        await peer.wakes.subscribe([layer.ALL])
        await until(lambda: peer.wakes.is_broken)
        assert peer.wakes.subscribed == set()
        await asyncio.to_thread(engine.heal)
        await until(lambda: layer.ALL in peer.wakes.subscribed and not peer.wakes.is_broken)
        await say_until_heard(peer, peer, b"there")
    finally:
        await peer.wakes.stop()


# --- The hub over it ---


@pytest.fixture
def over(engine: engines.Engine, settings: Any) -> None:
    """This process's hub, and each that a test makes, over the engine; no sweep comes by its clock."""
    settings.WAKES_BACKEND, settings.WAKES_URLS = named(engine)
    settings.CHAT_SWEEP_SECONDS = 600


@asynccontextmanager
async def another_process(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    made = Process(asyncio.get_running_loop())
    made.start()
    try:
        yield made
    finally:
        for socket in list(made.hub.sockets.values()):
            made.leave(socket)
        await made.stop()


class Lossy:
    """What a process hears: held, so that a test drops it, or hands it on twice and the last first."""

    def __init__(self, process: Process) -> None:
        assert process.layer is not None
        self.heard, self.held = process.layer._heard, []
        for one in process.layer.wakes.links:
            one.heard = self.held.append

    def release(self) -> None:
        for payload in [*reversed(self.held), *self.held]:
            self.heard(payload)


@pytest.mark.django_db(transaction=True)
async def test_a_message_crosses_processes_also_doubled_and_reordered_and_a_lost_one_is_swept(
    over: None, engine: engines.Engine, here: Process, alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await group(alice, bob)
    assert here.layer is not None
    async with another_process(monkeypatch) as there:
        assert there.layer is not None
        ways = here.layer.wakes, there.layer.wakes
        await until(lambda: all(way.links and all(one.was_heard for one in way.links) for way in ways))
        monkeypatch.setattr(tell, "_current", there)
        reader = await connect(bob)
        monkeypatch.setattr(tell, "_current", here)
        assert [event["data"]["content"] for event in await after(say(alice, room, "one"), reader, 1)] == ["one"]

        lossy = Lossy(there)
        for content in ("two", "three", "four"):
            await say(alice, room, content)
        await until(lambda: sum(b"message.created" in payload for payload in lossy.held) >= 3)
        lossy.release()
        assert [event["data"]["content"] for event in await reader.events(3)] == ["two", "three", "four"]

        await say(alice, room, "lost")
        await until(lambda: any(b'"lost"' in payload for payload in lossy.held))
        await there.sweep.sweep()
        assert [event["data"]["content"] for event in await reader.events(1)] == ["lost"]
        assert [frame for frame in await reader.waiting() if frame["type"] == "events"] == []
        await reader.leave()


async def after(work: Any, reader: peers.Peer, count: int) -> list[dict[str, Any]]:
    await work
    return await reader.events(count)
