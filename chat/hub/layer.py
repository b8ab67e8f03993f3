"""Message layer between processes. It may lose, repeat or reorder messages; the sweep repairs from the database.

`Layer` is the hub's one subscription to the channel layer. It never raises into a handler, never waits longer than
`TIMEOUT_SECONDS`, and calls `on_break` when messages may have been lost, so that the hub sweeps at once.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog
from channels.layers import get_channel_layer
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer, RedisSingleShardConnection
from channels_redis.utils import _wrap_close, create_pool
from django.conf import settings
from redis import asyncio as aioredis
from redis.asyncio.client import PubSub

from common import lifespan
from common.metrics import LAYER_BREAKS, LAYER_BROKEN

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 2.0
ECHO_SECONDS = 0.5  # how often the process sends an echo to itself
SILENT_SECONDS = 1.5  # without an echo: ended sessions are now looked up in the database
RECONNECT_SECONDS = 7.0  # without an echo: the subscription counts as dead, whatever TCP says
QUEUE = 10_000
ALL = "all"
SHARDS = 64


class NoticingPubSubChannelLayer(RedisPubSubChannelLayer):
    """Channels' PubSub layer with a working hook for reconnections to Redis.

    Its documented `on_disconnect` and `on_reconnect` are never called (channels_redis 4.3).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_reconnected: Callable[[], None] = lambda: None

    async def reconnect(self) -> None:
        """Drop connections that died without an error; the next read reconnects."""
        for shard in self._get_layer()._shards:
            if shard._pubsub is not None and shard._pubsub.connection is not None:
                await shard._pubsub.connection.disconnect()

    def _get_layer(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._layers:
            self._layers[loop] = _LoopLayer(*self._args, **self._kwargs, channel_layer=self)
            _wrap_close(self, loop)
        return self._layers[loop]


class _LoopLayer(RedisPubSubLoopLayer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shards: list[Any] = [_Connection(shard.host, self) for shard in self._shards]  # type: ignore[has-type]


class _Connection(RedisSingleShardConnection):
    _redis: Any
    _pubsub: Any

    def _ensure_redis(self) -> None:
        if self._redis is None:
            pool = create_pool(self.host)
            self._redis = aioredis.Redis(connection_pool=pool)
            self._pubsub = _PubSub(pool)
            layer = self.channel_layer.channel_layer
            self._pubsub.noticed = lambda: layer.on_reconnected()


class _PubSub(PubSub):
    noticed: Callable[[], None] | None = None

    async def on_connect(self, connection: Any) -> None:
        known = bool(self.channels)
        await super().on_connect(connection)
        if known and self.noticed is not None:  # a reconnection: messages published in between are lost
            self.noticed()


class Layer:
    """The process's channel; its groups are `all` and one for each shard with a local conversation."""

    def __init__(
        self, process: str, on_message: Callable[[dict[str, Any]], None], on_break: Callable[[], None]
    ) -> None:
        self.process, self.on_message, self.on_break = process, on_message, on_break
        self.broken = False
        self.wanted: set[str] = {ALL, self.own_group}
        self.subscribed: set[str] = set()
        self.heard_at = time.monotonic()
        self.outbox: deque[tuple[str, dict[str, Any]]] = deque(maxlen=QUEUE)
        self.filled = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.channel = ""
        self.channels: Any = None

    @property
    def own_group(self) -> str:
        return f"process.{self.process}"

    def start(self) -> None:
        self.channels = get_channel_layer()
        if hasattr(self.channels, "on_reconnected"):
            self.channels.on_reconnected = self._reconnected
        create = asyncio.get_running_loop().create_task
        self.tasks = [create(self._receive()), create(self._publish()), create(self._listen_to_oneself())]

    async def stop(self) -> None:
        await lifespan.end(self.tasks, within_s=TIMEOUT_SECONDS)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.channels.flush()
        except Exception:
            log.debug("layer.flush_failed")

    # --- Out ---

    def publish(self, group: str, message: dict[str, Any]) -> None:
        """Queue a message, sent in order. While Redis is down the oldest are dropped; the other processes sweep."""
        self.outbox.append((group, {"type": "hub", "o": self.process, **message}))
        self.filled.set()

    async def _publish(self) -> None:
        while True:
            await self.filled.wait()
            self.filled.clear()
            while self.outbox:
                group, message = self.outbox.popleft()
                try:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await self.channels.group_send(group, message)
                except Exception as error:
                    self._broke(error)
                    self.outbox.clear()  # outdated: the receivers read the database instead
                    await asyncio.sleep(0.2)

    # --- In ---

    async def subscribe(self, groups: set[str]) -> None:
        """Join the groups; while Redis is down, as soon as it is back."""
        self.wanted |= groups
        missing = groups - self.subscribed
        if missing and self.channel and not self.broken:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self._join(missing)
            except Exception as error:
                self._broke(error)

    async def _join(self, groups: set[str]) -> None:
        for group in sorted(groups):
            await self.channels.group_add(group, self.channel)
            self.subscribed.add(group)

    async def _receive(self) -> None:
        while True:
            try:
                if not self.channel:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        self.channel = await self.channels.new_channel()
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await self._join(self.wanted - self.subscribed)
                    self.heard_at = time.monotonic()
                    self.on_break()  # nothing was received until now
                message = await self.channels.receive(self.channel)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._broke(error)
                await asyncio.sleep(0.5)
                continue
            try:
                self._heard(message)
            except Exception:
                log.exception("layer.message_failed")

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("o") != self.process:
            self.on_message(message)
        elif message.get("k") == "echo":
            self.heard_at = time.monotonic()
            if self.broken:
                self.broken = False
                LAYER_BROKEN.set(0)
                log.info("layer.mended")
                self.on_break()

    async def _listen_to_oneself(self) -> None:
        """Detect a subscription that died without an error, and request a sweep once Redis is back."""
        reconnected_at = time.monotonic()
        while True:
            due = time.monotonic() + ECHO_SECONDS
            await asyncio.sleep(ECHO_SECONDS)
            now = time.monotonic()
            if now - due > ECHO_SECONDS:  # the event loop was blocked, and could not have received the echo
                self.heard_at += now - due
            self.publish(self.own_group, {"k": "echo"})
            if now - self.heard_at > SILENT_SECONDS:
                self._broke(TimeoutError("not heard"))
                if now - max(self.heard_at, reconnected_at) > RECONNECT_SECONDS:
                    reconnected_at = now
                    await self._reconnect()
            if self.channel and self.wanted - self.subscribed:
                try:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        await self._join(self.wanted - self.subscribed)
                    self.on_break()
                except Exception as error:
                    self._broke(error)

    async def _reconnect(self) -> None:
        if hasattr(self.channels, "reconnect"):
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self.channels.reconnect()
            except Exception as error:
                log.debug("layer.reconnect_failed", error=repr(error))

    def _broke(self, error: Exception) -> None:
        if not self.broken:
            LAYER_BREAKS.inc()
            LAYER_BROKEN.set(1)
            log.warning("layer.broken", error=repr(error))
            self.broken = True
            self.on_break()  # recent messages may not have arrived

    def _reconnected(self) -> None:
        log.info("layer.reconnected")
        self.on_break()


def is_needed() -> bool:
    """Return whether there are several processes: a single one needs no layer."""
    return bool(settings.REDIS_URLS)


def group_of(conversation_id: int) -> str:
    """Return the layer's group of a conversation: a shard, since joining a group per conversation takes 0.1 ms each."""
    return f"shard.{conversation_id % SHARDS}"
