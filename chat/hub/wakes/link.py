"""One connection to an engine, made anew whenever it fails, and watched by an echo."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import structlog

from common import lifespan

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 2.0  # of each step: connecting, subscribing, publishing
ECHO_SECONDS = 0.5  # how often a link sends an echo to itself
SILENT_SECONDS = 1.5  # without an echo: the link counts as broken
RECONNECT_SECONDS = 7.0  # without an echo: the connection is dropped, whatever TCP says
RETRY_SECONDS = 0.5
CHECK_SECONDS = 5.0

Payload = tuple[str, bytes]  # channel, content


class Away(Exception):
    """The engine is not connected."""


class Link(ABC):
    """An engine implements `dial`, `join`, `part`, `send`, `listen` and `hang_up`; this class keeps it going.

    `heard` gets every payload of a wanted channel. `changed` is called when the link breaks (with the error) and when
    it is whole again (with None): payloads of the time between are lost. `echo_channel` belongs to this link alone.
    """

    limit = 1024 * 1024  # bytes of one payload

    def __init__(
        self, echo_channel: str, heard: Callable[[bytes], None], changed: Callable[[Exception | None], None]
    ) -> None:
        self.echo_channel, self.heard, self.changed = echo_channel, heard, changed
        self.wanted: set[str] = set()
        self.joined: set[str] = set()
        self.live: set[str] = set()  # all that the process hears; its links share it
        self.is_broken = False
        self.is_connected = False
        self.was_heard = False
        self.failure: asyncio.Future[None] | None = None
        self.heard_at = time.monotonic()
        self.turn = asyncio.Lock()  # one of `join`, `part` and `send` at a time
        self.tasks: list[asyncio.Task[None]] = []

    # --- What an engine implements. Everything may raise; the link is then made anew ---

    @abstractmethod
    async def dial(self) -> None:
        """Connect."""

    @abstractmethod
    async def join(self, channels: Sequence[str]) -> None:
        """Subscribe; return when the engine has done it."""

    @abstractmethod
    async def part(self, channels: Sequence[str]) -> None:
        """Unsubscribe."""

    @abstractmethod
    async def send(self, batch: Sequence[Payload]) -> None:
        """Publish in order."""

    async def settle(self) -> None:  # noqa: B027  (most have nothing to do)
        """Wait until what was sent has left, where `send` itself does not."""

    @abstractmethod
    async def listen(self) -> None:
        """Call `took` for each payload until the connection ends."""

    @abstractmethod
    async def hang_up(self) -> None:
        """Drop the connection."""

    async def check(self) -> None:  # noqa: B027  (most have nothing to do)
        """Raise if the connection works and yet is the wrong one. Called every `CHECK_SECONDS`."""

    # --- What the process calls ---

    def start(self) -> None:
        create = asyncio.get_running_loop().create_task
        self.tasks = [create(self._keep()), create(self._watch())]

    async def stop(self) -> None:
        await lifespan.end(self.tasks, within_s=TIMEOUT_SECONDS)

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Hear these channels too: at once if connected, else with the next connection. Never raises."""
        self.wanted.update(channels)
        await self._agree()

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        """Hear these no more. Never raises."""
        self.wanted.difference_update(channels)
        await self._agree()

    async def want(self, channels: set[str]) -> None:
        """Hear these channels and no others. Never raises."""
        self.wanted = channels
        await self._agree()

    async def publish(self, batch: Sequence[Payload]) -> None:
        """Publish in order. Raises: any error, also Away; what has arrived is then unknown."""
        if not self.is_connected:
            raise Away
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self.turn:
                await self.send(batch)
        except Exception as error:
            self.fail(error)
            raise

    def took(self, channel: str, payload: bytes) -> None:
        """Take a payload from the engine."""
        if channel == self.echo_channel:
            self.heard_at = time.monotonic()
            self._settle()
        elif channel in self.wanted:
            try:
                self.heard(payload)
            except Exception:
                log.exception("layer.message_failed")

    def fail(self, error: BaseException) -> None:
        """Give the connection up; `_keep` makes another."""
        if self.failure is not None and not self.failure.done():
            self.failure.set_exception(error)

    # --- How it keeps going ---

    async def _agree(self) -> None:
        """Bring the subscriptions of the connection to those wanted."""
        if not self.is_connected:
            return
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self.turn:
                wanted = {*self.wanted, self.echo_channel}
                if missing := sorted(wanted - self.joined):
                    await self.join(missing)
                    self.joined.update(missing)
                    self.live.update(missing)
                if surplus := sorted(self.joined - wanted):
                    self.joined.difference_update(surplus)
                    self.live.difference_update(surplus)
                    await self.part(surplus)
        except Exception as error:
            self.fail(error)

    async def _keep(self) -> None:
        """Connect, and again after each failure: at once if the connection had lasted."""
        while True:
            started = time.monotonic()
            try:
                await self._hold()
            except Exception as error:
                self._broke(error)
            await asyncio.sleep(RETRY_SECONDS if time.monotonic() - started < RECONNECT_SECONDS else 0)

    async def _hold(self) -> None:
        """Connect, subscribe and listen until the connection fails."""
        self.failure = asyncio.get_running_loop().create_future()
        self.failure.add_done_callback(lambda failure: failure.cancelled() or failure.exception())  # is looked at here
        listening: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.dial()
            listening = asyncio.get_running_loop().create_task(self.listen())
            listening.add_done_callback(self._ended)
            self.is_connected, self.heard_at = True, time.monotonic()
            await self._agree()
            await self._echo()
            await self.failure
        finally:
            self.is_connected = False
            self.live.difference_update(self.joined)
            self.joined.clear()
            if listening is not None:
                await lifespan.end([listening], within_s=TIMEOUT_SECONDS)
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await self.hang_up()
            except Exception as error:
                log.debug("layer.hang_up_failed", error=repr(error))

    def _ended(self, listening: "asyncio.Task[None]") -> None:
        if not listening.cancelled():
            self.fail(listening.exception() or ConnectionError("the connection has ended"))

    async def _watch(self) -> None:
        """Speak to oneself: a subscription may die without an error."""
        checked_at = time.monotonic()
        while True:
            due = time.monotonic() + ECHO_SECONDS
            await asyncio.sleep(ECHO_SECONDS)
            now = time.monotonic()
            if now - due > ECHO_SECONDS:  # the event loop was blocked, and could not have heard the echo
                self.heard_at += now - due
            if self.is_connected:
                await self._agree()
                await self._echo()
            if self.is_connected and now - checked_at > CHECK_SECONDS:
                checked_at = now
                await self._check()
            if now - self.heard_at > SILENT_SECONDS:
                self._broke(TimeoutError("not heard"))
            if self.is_connected and now - self.heard_at > RECONNECT_SECONDS:
                self.fail(TimeoutError("not heard"))

    async def _echo(self) -> None:
        try:
            await self.publish([(self.echo_channel, b"")])
        except Exception as error:
            log.debug("layer.echo_failed", error=repr(error))

    async def _check(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self.check()
        except Exception as error:
            self.fail(error)

    def _broke(self, error: Exception) -> None:
        if not self.is_broken:
            self.is_broken = True
            self.changed(error)

    def _settle(self) -> None:
        """The echo is back, so that the link is whole once all its channels are joined."""
        if (self.is_broken or not self.was_heard) and self.wanted <= self.joined:
            self.is_broken, self.was_heard = False, True
            self.changed(None)
