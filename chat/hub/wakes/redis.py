"""Wakes over one or several Redis or Valkey servers, which know nothing of each other: PUBLISH and SUBSCRIBE.

A channel belongs to one server by its hash. Plain connections instead of redis-py's PubSub: that one polls, takes three
times the CPU for a message, and joins again silently after a failure, so that nobody learns what was lost.
"""

import asyncio
import binascii
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chat.hub.wakes.base import Wakes
from chat.hub.wakes.link import Link, Payload


class RedisLink(Link):
    """Two connections to one server: one that is subscribed, and one that publishes."""

    SUBSCRIBE, UNSUBSCRIBE, PUBLISH = "SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH"
    MESSAGES = frozenset({b"message", b"smessage"})
    JOINED = frozenset({b"subscribe", b"ssubscribe"})

    def __init__(self, url: str, *args: Any) -> None:
        super().__init__(*args)
        self.url = url
        self.options: dict[str, Any] = {}
        self.hearing: Any = None
        self.speaking: Any = None
        self.awaited: deque[tuple[set[bytes], asyncio.Future[None]]] = deque()

    async def dial(self) -> None:
        self.awaited.clear()
        self.hearing, self.speaking = (connection_to(self.url, **self.options) for _ in range(2))
        await self.hearing.connect()
        await self.speaking.connect()

    async def join(self, channels: Sequence[str]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.awaited.append(({channel.encode() for channel in channels}, done))
        for channel in channels:
            await self.hearing.send_command(self.SUBSCRIBE, channel)
        await done

    async def part(self, channels: Sequence[str]) -> None:
        for channel in channels:
            await self.hearing.send_command(self.UNSUBSCRIBE, channel)

    async def send(self, batch: Sequence[Payload]) -> None:
        commands = [(self.PUBLISH, channel, payload) for channel, payload in batch]
        await self.speaking.send_packed_command(self.speaking.pack_commands(commands))
        for _ in batch:
            await self.speaking.read_response()

    async def listen(self) -> None:
        read = self.hearing.read_response
        while True:
            kind, channel, content = await read(timeout=math.inf)
            if kind in self.MESSAGES:
                self.took(channel.decode(), content)
            elif kind in self.JOINED:
                self._confirmed(channel)
            else:
                self.told(kind, channel)

    def told(self, kind: bytes, channel: bytes) -> None:
        """Hear of an unsubscription."""

    def _confirmed(self, channel: bytes) -> None:
        for missing, done in self.awaited:
            if channel in missing:
                missing.discard(channel)
                if not missing and not done.done():
                    done.set_result(None)
                break
        while self.awaited and self.awaited[0][1].done():
            self.awaited.popleft()

    async def hang_up(self) -> None:
        for connection in (self.hearing, self.speaking):
            if connection is not None:
                await connection.disconnect(nowait=True)


class RedisWakes(Wakes):
    def made(self) -> list[Link]:
        return [
            RedisLink(url, f"alviar__echo__{self.process}.{number}", self.heard, self.changed)  # on its own server
            for number, url in enumerate(self.urls)
        ]

    def link_of(self, channel: str) -> Link:
        return self.links[ring_place(channel, len(self.links))]


def connection_to(url: str, **options: Any) -> Any:
    """Return one connection that is not made yet; its owner bounds every wait."""
    pool = ConnectionPool.from_url(
        url, protocol=2, socket_timeout=None, socket_connect_timeout=None, retry=Retry(NoBackoff(), 0), **options
    )
    return pool.make_connection()


async def asked(connection: Any, *words: str) -> Any:
    """Return the answer to one command on a connection that is made for it alone."""
    try:
        await connection.send_command(*words)
        return await connection.read_response()
    finally:
        await connection.disconnect(nowait=True)


def ring_place(channel: str, size: int) -> int:
    """Return the number of the channel's server, as channels_redis does, which earlier versions used."""
    return int((binascii.crc32(channel.encode()) & 0xFFF) / (4096 / size))
