"""Wakes over NATS: plain subjects, no JetStream, since the log in the database is the truth.

The client's own reconnecting is off: it would hide what was lost. Needs requirements-nats.txt.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from chat.hub.wakes.base import Wakes
from chat.hub.wakes.link import Link, Payload

CONNECT_SECONDS = 0.6  # one server among several may hang


class NatsLink(Link):
    """A connection to any server of the cluster."""

    def __init__(self, urls: Sequence[str], *args: Any) -> None:
        super().__init__(*args)
        self.urls = urls
        self.client: Any = None
        self.subscriptions: dict[str, Any] = {}
        self.lost = asyncio.Event()

    async def dial(self) -> None:
        self.subscriptions.clear()
        self.lost.clear()
        failure: Exception = ConnectionError("no server")
        for url in random.sample(self.urls, len(self.urls)):
            self.client = _client()
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self.client.connect(
                        url,
                        allow_reconnect=False,
                        error_cb=self._failed,
                        disconnected_cb=self._was_cut,
                        closed_cb=self._was_cut,
                    )
                self.limit = min(Link.limit, self.client.max_payload)
                return
            except Exception as error:
                failure = error
                await self.hang_up()
        raise failure

    async def join(self, channels: Sequence[str]) -> None:
        for channel in channels:
            self.subscriptions[channel] = await self.client.subscribe(channel, cb=self._took)
        await self.client.flush()

    async def part(self, channels: Sequence[str]) -> None:
        for channel in channels:
            await self.subscriptions.pop(channel).unsubscribe()

    async def send(self, batch: Sequence[Payload]) -> None:
        for channel, payload in batch:
            await self.client.publish(channel, payload)

    async def settle(self) -> None:
        await self.client.flush()

    async def listen(self) -> None:
        await self.lost.wait()

    async def hang_up(self) -> None:
        if self.client is not None:
            await self.client.close()

    async def _took(self, message: Any) -> None:
        self.took(message.subject, message.data)

    async def _failed(self, error: Exception) -> None:
        self.fail(error)

    async def _was_cut(self) -> None:
        self.lost.set()


def _client() -> Any:
    from nats.aio.client import Client

    class StrictClient(Client):
        """One that says nothing to a `tls://` server without TLS: nats-py goes by what the server says before."""

        def _connect_command(self) -> bytes:
            server, info = self._current_server, self._server_info
            if server is not None and server.uri.scheme == "tls" and not info.get("tls_required"):
                raise ConnectionError("the server has no TLS")
            command: bytes = super()._connect_command()
            return command

    return StrictClient()


class NatsWakes(Wakes):
    def made(self) -> list[Link]:
        return [NatsLink(self.urls, f"alviar__echo__{self.process}", self.heard, self.changed)]
