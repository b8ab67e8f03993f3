"""The engine between processes as the hub sees it: channels, payloads, and whether it works."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from chat.hub.wakes.link import TIMEOUT_SECONDS, Away, Link, Payload


class Wakes:
    """The links of one process to its engine; each channel goes over one of them.

    `heard` gets the payloads of subscribed channels, those of this process included. `changed` is called when a link
    breaks (with the error) or is whole again (with None). Only `publish` raises, and nothing waits for longer than a
    few seconds.
    """

    def __init__(
        self,
        urls: Sequence[str],
        process: str,
        heard: Callable[[bytes], None],
        changed: Callable[[Exception | None], None],
    ) -> None:
        self.urls, self.process, self.heard, self.changed = urls, process, heard, changed
        self.links = self.made()
        self.subscribed: set[str] = set()  # channels that are heard now; kept by the links

    def made(self) -> list[Link]:
        """Return the links that stand from the start."""
        return []

    def link_of(self, channel: str) -> Link:
        """Return the link that carries the channel."""
        return self.links[0]

    @property
    def limit(self) -> int:
        """The largest payload in bytes."""
        return min((link.limit for link in self.links), default=Link.limit)

    @property
    def is_broken(self) -> bool:
        return any(link.is_broken for link in self.links)

    def start(self) -> None:
        for link in self.links:
            link.live = self.subscribed
            link.start()

    async def stop(self) -> None:
        await asyncio.gather(*(link.stop() for link in self.links))

    async def subscribe(self, channels: Iterable[str]) -> None:
        """Hear these channels too: at once where connected, else as soon as that is so."""
        for link, mine in self._by_link(channels).items():
            await link.subscribe(mine)

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        for link, mine in self._by_link(channels).items():
            await link.unsubscribe(mine)

    async def publish(self, batch: Sequence[Payload]) -> None:
        """Publish in the order of each channel. Raises the last error where something was not sent."""
        by_link: dict[Link, list[Payload]] = defaultdict(list)
        failure: Exception | None = None
        for channel, payload in batch:
            try:
                by_link[self.link_of(channel)].append((channel, payload))
            except Away as error:
                failure = error
        for link, payloads in by_link.items():
            try:
                await link.publish(payloads)
            except Exception as error:  # the other links go on
                failure = error
        if failure is not None:
            raise failure

    async def publish_once(self, batch: Sequence[Payload]) -> None:
        """Connect, publish and hang up: for a process that hears nothing. Raises any error."""
        links = list(self._by_link(channel for channel, _ in batch))
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for link in links:
                    await link.dial()
                    link.is_connected = True
            await self.publish(batch)
            async with asyncio.timeout(TIMEOUT_SECONDS):
                for link in links:
                    await link.settle()
        finally:
            for link in links:
                await link.hang_up()

    def _by_link(self, channels: Iterable[str]) -> dict[Link, list[str]]:
        found: dict[Link, list[str]] = defaultdict(list)
        for channel in channels:
            found[self.link_of(channel)].append(channel)
        return found
