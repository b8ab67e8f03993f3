"""Message layer between processes. It may lose, repeat or reorder messages; the sweep repairs from the database.

`Layer` is the hub's one way to the other processes, over whatever engine `chat.hub.wakes` was given. It never raises
into a handler, and calls `on_break` when messages may have been lost, so that the hub sweeps at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from chat.hub import messages, wakes
from chat.hub.messages import Message
from common import lifespan
from common.metrics import LAYER_BREAKS, LAYER_BROKEN

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 2.0
QUEUE = 10_000
BATCH = 200  # messages published in one go
SHARDS = 64
ALL = "alviar__group__all"
_SHARDS = [f"alviar__group__shard.{number}" for number in range(SHARDS)]


class Layer:
    """The channels of a process are `all` and one for each shard with a local conversation."""

    def __init__(
        self, process: str, on_message: Callable[[dict[str, Any]], None], on_break: Callable[[], None]
    ) -> None:
        self.process, self.on_message, self.on_break = process, on_message, on_break
        self.wakes = wakes.make(process, self._heard, self._changed)
        self.broken = False
        self.outbox: deque[tuple[str, bytes]] = deque(maxlen=QUEUE)
        self.filled = asyncio.Event()
        self.has_dropped = False
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def subscribed(self) -> set[str]:
        """The groups whose messages arrive now."""
        return self.wakes.subscribed

    def start(self) -> None:
        self.wakes.start()
        create = asyncio.get_running_loop().create_task
        self.tasks = [create(self.subscribe({ALL})), create(self._publish())]

    async def stop(self) -> None:
        await lifespan.end(self.tasks, within_s=TIMEOUT_SECONDS)
        await self.wakes.stop()

    # --- Out ---

    def publish(self, group: str, message: Message) -> None:
        """Queue a message, sent in order. While the engine is away it is dropped; the other processes sweep."""
        for payload in messages.encoded(message, origin=self.process, limit=self.wakes.limit):
            self.outbox.append((group, payload))
        self.filled.set()

    async def _publish(self) -> None:
        while True:
            await self.filled.wait()
            self.filled.clear()
            while self.outbox:
                batch = [self.outbox.popleft() for _ in range(min(BATCH, len(self.outbox)))]
                try:
                    await self.wakes.publish(batch)
                except Exception as error:
                    log.debug("layer.dropped", error=repr(error), count=len(batch))
                    self.has_dropped = True

    # --- In ---

    async def subscribe(self, groups: set[str]) -> None:
        """Join the groups; while the engine is away, as soon as it is back."""
        await self.wakes.subscribe(groups)

    def _heard(self, payload: bytes) -> None:
        wire = msgspec.msgpack.decode(payload)
        if wire.get("o") != self.process:
            self.on_message(wire)

    def _changed(self, error: Exception | None) -> None:
        """A link has broken, or is whole again: messages of the last moments may not have arrived."""
        is_broken = self.wakes.is_broken
        if is_broken != self.broken:
            self.broken = is_broken
            LAYER_BROKEN.set(is_broken)
            if is_broken:
                LAYER_BREAKS.inc()
                log.warning("layer.broken", error=repr(error))
            else:
                log.info("layer.mended")
        if error is None and self.has_dropped and not is_broken:
            self.has_dropped = False
            self.publish(ALL, messages.Dropped())
        self.on_break()


async def publish_once(told: list[tuple[str, Message]]) -> None:
    """Publish from a process that hears nothing: a command, the task worker. Raises any error of the engine."""
    way = wakes.make("", lambda payload: None, lambda error: None)
    batch = [
        (group, payload) for group, message in told for payload in messages.encoded(message, origin="", limit=way.limit)
    ]
    await way.publish_once(batch)


def is_needed() -> bool:
    """Return whether there are several processes: a single one needs no layer."""
    return wakes.is_needed()


def group_of(conversation_id: int) -> str:
    """Return the layer's group of a conversation: a shard, which is cheaper than a subscription for each."""
    return _SHARDS[conversation_id % SHARDS]
