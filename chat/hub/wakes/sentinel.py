"""Wakes over the master that Redis' or Valkey's Sentinels name; another master means another connection."""

import asyncio
import random
from typing import Any

from chat.hub.wakes.base import Wakes
from chat.hub.wakes.link import Link
from chat.hub.wakes.redis import RedisLink, asked, connection_to
from common import redis_places

ASK_SECONDS = 0.5  # one Sentinel among several may hang


class SentinelLink(RedisLink):
    """A link to whichever server is the master now."""

    def __init__(self, place: redis_places.Place, *args: Any) -> None:
        super().__init__("", *args)
        self.place = place

    async def dial(self) -> None:
        self.url = await self._master()
        self.options = self.place.login
        await super().dial()
        role = await self._asked_of_speaking("ROLE")
        if role[0] != b"master":  # it forwards nothing to the others
            raise ConnectionError(f"the Sentinels name a {role[0].decode()}")

    async def check(self) -> None:
        """Leave a server that is the master no more, though it answers: the other processes are elsewhere."""
        if await self._master() != self.url:
            raise ConnectionError("the master has changed")

    async def _master(self) -> str:
        """Return the address of the master. Raises the last error where no Sentinel knows it."""
        failure: Exception = ConnectionError("no Sentinel")
        for host, port in random.sample(self.place.nodes, len(self.place.nodes)):
            url = redis_places.address(self.place, host, port)
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.place.master)
                    found = await asked(connection_to(url, **self.place.sentinel_login), *words)
            except Exception as error:
                failure = error
                continue
            if found:
                return redis_places.address(self.place, found[0].decode(), int(found[1]))
            failure = ConnectionError(f"the Sentinels know no master {self.place.master!r}")
        raise failure

    async def _asked_of_speaking(self, *words: str) -> Any:
        await self.speaking.send_command(*words)
        return await self.speaking.read_response()


class SentinelWakes(Wakes):
    def made(self) -> list[Link]:
        return [
            SentinelLink(redis_places.parse(self.urls[0]), f"alviar__echo__{self.process}", self.heard, self.changed)
        ]
