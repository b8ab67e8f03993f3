"""Wakes over a Redis or Valkey cluster: sharded pub/sub, by plain connections to each primary.

SPUBLISH stays on the primary of the channel's slot, where PUBLISH would go to every node. redis-py's asynchronous
`ClusterPubSub` loses messages after a primary has died; here each primary has a link of its own, and the map of slots
is read again whenever a link breaks.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from redis.crc import key_slot

from chat.hub.wakes.base import Wakes
from chat.hub.wakes.link import Away, Link, Payload
from chat.hub.wakes.redis import RedisLink, asked, connection_to
from common import lifespan, redis_places

log = structlog.get_logger(__name__)

ASK_SECONDS = 1.0
LOOK_SECONDS = 5.0  # how often the map is read; while something is broken after half a second
SLOTS = 16_384

Node = tuple[str, int]


class ClusterLink(RedisLink):
    """A link to one primary."""

    SUBSCRIBE, UNSUBSCRIBE, PUBLISH = "SSUBSCRIBE", "SUNSUBSCRIBE", "SPUBLISH"

    def told(self, kind: bytes, channel: bytes) -> None:
        if kind == b"sunsubscribe" and channel.decode() in self.joined:  # not by us
            self.fail(ConnectionError("the slot has moved"))


class ClusterWakes(Wakes):
    """One link for each primary. `owners` says which primary has a slot."""

    def __init__(
        self,
        urls: Sequence[str],
        process: str,
        heard: Callable[[bytes], None],
        changed: Callable[[Exception | None], None],
    ) -> None:
        super().__init__(urls, process, heard, self._link_changed)
        self.told = changed
        self.place = redis_places.parse(urls[0])
        self.wanted: set[str] = set()
        self.owners: list[Node | None] = [None] * SLOTS
        self.nodes: set[Node] = set(self.place.nodes)
        self.by_node: dict[Node, ClusterLink] = {}
        self.is_mapped = True  # until a look fails
        self.due = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_broken(self) -> bool:
        return not self.is_mapped or super().is_broken

    def link_of(self, channel: str) -> Link:
        node = self.owners[key_slot(channel.encode())]
        if node is None:
            raise Away(f"no primary for {channel}")
        return self.by_node[node]

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._keep_looking())

    async def stop(self) -> None:
        if self.task is not None:
            await lifespan.end([self.task])
        await super().stop()

    async def subscribe(self, channels: Iterable[str]) -> None:
        self.wanted.update(channels)
        await self._spread()

    async def unsubscribe(self, channels: Iterable[str]) -> None:
        self.wanted.difference_update(channels)
        await self._spread()

    async def publish_once(self, batch: Sequence[Payload]) -> None:
        await self._look()
        await super().publish_once(batch)

    def _link_changed(self, error: Exception | None) -> None:
        if error is not None:
            self.due.set()
        self.told(error)

    # --- The map of slots ---

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._look()
                await self._settle()
            except Exception as error:
                self._mapped(is_mapped=False, error=error)
            self.due.clear()
            looked_at = time.monotonic()
            try:
                async with asyncio.timeout(0.5 if self.is_broken else LOOK_SECONDS):
                    await self.due.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - looked_at)))  # several links break together

    def _mapped(self, *, is_mapped: bool, error: Exception | None) -> None:
        if self.is_mapped != is_mapped:
            self.is_mapped = is_mapped
            self.told(error)

    async def _look(self) -> None:
        """Read the map from the node that knows of the latest election. Raises the error where no node answers."""
        answers = await asyncio.gather(*map(self._asked, self.nodes), return_exceptions=True)
        known = [answer for answer in answers if not isinstance(answer, BaseException)]
        if not known:
            raise next((answer for answer in answers if isinstance(answer, Exception)), Away("no node"))
        _, self.owners, nodes = max(known, key=lambda answer: answer[0])
        self.nodes = nodes | set(self.place.nodes)
        for node in {owner for owner in self.owners if owner is not None} - self.by_node.keys():
            self.by_node[node] = self._link_to(node)
        self._mapped(is_mapped=None not in self.owners, error=Away("slots without a primary"))

    async def _asked(self, node: Node) -> tuple[int, list[Node | None], set[Node]]:
        """Return the epoch, the primary of each slot, and all nodes, as one node knows them."""
        owners: list[Node | None] = [None] * SLOTS
        nodes: set[Node] = set()
        async with asyncio.timeout(ASK_SECONDS):
            info = await asked(self._connection(node), "CLUSTER", "INFO")
            ranges = await asked(self._connection(node), "CLUSTER", "SLOTS")
        epoch = int(info.decode().partition("cluster_current_epoch:")[2].split()[0])
        for first, last, *members in ranges:
            told = [(member[0].decode() or node[0], int(member[1])) for member in members if member[0] is not None]
            nodes.update(told)
            owners[first : last + 1] = [told[0] if told else None] * (last + 1 - first)
        return epoch, owners, nodes

    def _connection(self, node: Node) -> Any:
        return connection_to(redis_places.address(self.place, *node), **self.place.login)

    def _link_to(self, node: Node) -> ClusterLink:
        link = ClusterLink(redis_places.address(self.place, *node), self._echo_of(node), self.heard, self.changed)
        link.options = self.place.login
        link.live = self.subscribed
        return link

    def _echo_of(self, node: Node) -> str:
        """Return a channel of this process whose slot the node owns."""
        names = (f"alviar__echo__{self.process}.{number}" for number in range(100_000))
        return next(name for name in names if self.owners[key_slot(name.encode())] == node)

    async def _settle(self) -> None:
        """Start the links to new primaries, stop those to others, and share the channels out."""
        owning: set[Node] = {owner for owner in self.owners if owner is not None}
        gone = [self.by_node.pop(node) for node in self.by_node.keys() - owning]
        was_broken = self.is_broken or any(link.is_broken for link in gone)
        for node, link in self.by_node.items():
            if self.owners[key_slot(link.echo_channel.encode())] != node:
                link.echo_channel = self._echo_of(node)
            if not link.tasks:
                link.is_broken = bool(gone)  # until its echo is back
                link.start()
        self.links = list(self.by_node.values())
        await asyncio.gather(*(link.stop() for link in gone))
        await self._spread()
        if gone and was_broken and not self.is_broken:
            self.told(None)

    async def _spread(self) -> None:
        """Give each link the channels whose slots its primary owns."""
        mine: dict[Link, set[str]] = {link: set() for link in self.links}
        for channel in self.wanted:
            node = self.owners[key_slot(channel.encode())]
            owner = self.by_node.get(node) if node is not None else None
            if owner is not None and owner in mine:
                mine[owner].add(channel)
        for link, channels in mine.items():
            await link.want(channels)
