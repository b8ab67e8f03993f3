"""The one subscription of a process: heard, mended, and never in anybody's way."""

import asyncio
from typing import Any

import pytest
from channels.layers import channel_layers

from chat.hub import layer
from chat.hub.layer import Layer


async def until(condition: Any) -> None:
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.valkey
async def test_what_one_process_publishes_the_other_hears_also_over_a_connection_made_anew(monkeypatch):
    # A process has one; these are two.
    monkeypatch.setattr(layer, "get_channel_layer", lambda: channel_layers.make_backend("default"))
    heard: list[Any] = []
    breaks: list[int] = []
    here = Layer("here", lambda message: heard.append(message["n"]), lambda: breaks.append(1))
    there = Layer("there", lambda message: None, lambda: None)
    for one in (here, there):
        one.start()
    await until(lambda: here.channel and layer.ALL in here.subscribed)
    there.publish(layer.ALL, {"k": "x", "n": 1})
    await until(lambda: heard == [1])
    before = len(breaks)
    await here.channels.reconnect()
    await until(lambda: len(breaks) > before)  # told that something may be lost
    there.publish(layer.ALL, {"k": "x", "n": 2})
    await until(lambda: heard[-1] == 2)
    for one in (here, there):
        await one.stop()


async def test_with_redis_away_publishing_and_subscribing_raise_nothing_and_wait_for_nobody(monkeypatch):
    class Away:
        async def new_channel(self) -> str:
            raise ConnectionError

        async def group_send(self, group: str, message: Any) -> None:
            await asyncio.sleep(60)

        async def flush(self) -> None:
            raise ConnectionError

    monkeypatch.setattr(layer, "get_channel_layer", Away)
    monkeypatch.setattr(layer, "TIMEOUT_SECONDS", 0.05)
    here = Layer("here", lambda message: None, lambda: None)
    here.start()
    async with asyncio.timeout(1):
        await here.subscribe({"shard.1"})
        for _ in range(100):
            here.publish("shard.1", {})
        await until(lambda: here.broken)
    assert "shard.1" in here.wanted  # joined as soon as it is back
    await here.stop()


async def test_what_was_sent_by_oneself_is_not_heard_again():
    heard: list[Any] = []
    here = Layer("here", heard.append, lambda: heard.append("mended"))
    here._heard({"o": "here", "k": "events"})
    assert heard == []
    here.broken = True
    here._heard({"o": "here", "k": "echo"})
    assert heard == ["mended"]
    here._heard({"o": "there", "k": "events"})
    assert len(heard) == 2


async def test_it_stops_also_where_a_message_is_sent_in_the_moment_of_the_end(monkeypatch):
    sending = asyncio.get_running_loop().create_future()

    class Slow:
        async def new_channel(self) -> str:
            await asyncio.sleep(60)
            return ""

        async def group_send(self, group: str, message: Any) -> None:
            await sending

        async def flush(self) -> None:
            pass

    monkeypatch.setattr(layer, "get_channel_layer", Slow)
    here = Layer("here", lambda message: None, lambda: None)
    here.start()
    here.publish("shard.1", {})
    await until(lambda: here.outbox == layer.deque())
    sending.set_result(None)  # the answer is there, and not yet heard of, when the end comes
    async with asyncio.timeout(5):
        await here.stop()
