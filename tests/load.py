"""Load on a running server, and what it noticed: requests on connections of their own, people who talk over sockets.

Used while something happens to the server (`tests/newcomer.py`: reloads, upgrades). Requests go both through the proxy
and straight to the port, so that a refused connection is not hidden by a proxy that tries again. A message counts as
lost when its sender has an `ack` and the listener, who resumes after every reconnect, never hears it.
"""

import asyncio
import json
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import websockets

PAUSE_SECONDS = 0.05  # between the requests of one worker, and the messages of one person


@dataclass
class Door:
    """An address of the server. `headers`: what the proxy would add."""

    url: str
    tls: ssl.SSLContext | None = None
    headers: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, bytes]:
        """Make one request on a connection of its own. Raises OSError, and EOFError for an answer that is cut."""
        parts = urlsplit(self.url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=self.tls)
        try:
            raw = json.dumps(body).encode() if body is not None else b""
            lines = [f"{method} {path} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            lines += [f"Authorization: Bearer {token}"] if token else []
            lines += ["Content-Type: application/json", f"Content-Length: {len(raw)}"] if raw else []
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
            await writer.drain()
            head, _, answer = (await reader.read(-1)).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 "):
                raise EOFError(f"no answer to {method} {path}")
            return int(head[9:12]), answer
        finally:
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    def connect(self, token: str) -> Any:
        return websockets.connect(
            self.url.replace("http", "ws", 1) + "/ws/chat/",
            subprotocols=[websockets.Subprotocol("access_token"), websockets.Subprotocol(token)],
            ssl=self.tls,
            compression=None,
            open_timeout=120,
            ping_interval=None,
            max_size=None,
            additional_headers=self.headers,
        )


@dataclass
class Pair:
    """Two people with a conversation; `speaker` and `listener` are their tokens."""

    speaker: str
    listener: str
    room: str


class Load:
    """Everything that runs at once, and what came of it. Use `async with Load(…) as load:`."""

    def __init__(self, doors: list[Door], pairs: list[Pair], workers: int = 4) -> None:
        self.doors, self.pairs, self.workers = doors, pairs, workers
        self.took: list[float] = []  # seconds of each request
        self.acks: list[float] = []  # seconds from the first attempt to send a message to its ack
        self.faults: list[str] = []  # requests that were refused, cut, or answered by something else than a success
        self.acked: set[str] = set()
        self.heard: dict[str, int] = {}
        self.reconnects = 0
        self.done = asyncio.Event()

    @contextmanager
    def _timed(self, into: list[float]) -> Iterator[None]:
        started = time.perf_counter()
        yield
        into.append(time.perf_counter() - started)

    async def __aenter__(self) -> "Load":
        self.listeners = [asyncio.create_task(self._listen(pair, self.doors[0])) for pair in self.pairs]
        self.others = [
            asyncio.create_task(self._ask(door, self.pairs[number % len(self.pairs)].speaker))
            for door in self.doors
            for number in range(self.workers)
        ] + [asyncio.create_task(self._talk(pair, self.doors[0])) for pair in self.pairs]
        return self

    async def __aexit__(self, *_: Any) -> None:
        """Let what is under way end, and the listeners hear what they have not heard yet."""
        self.done.set()
        await asyncio.gather(*self.others)
        deadline = time.monotonic() + 60
        while self.lost and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        for task in self.listeners:
            task.cancel()
        await asyncio.gather(*self.listeners, return_exceptions=True)

    @property
    def lost(self) -> set[str]:
        return self.acked - self.heard.keys()

    @property
    def twice(self) -> list[str]:
        return [name for name in self.acked if self.heard.get(name, 0) > 1]

    async def _ask(self, door: Door, token: str) -> None:
        while not self.done.is_set():
            try:
                with self._timed(self.took):
                    status, answer = await door.call("GET", "/api/users/me/", token)
                if status != 200:
                    self.faults.append(f"{door.url} answered {status}: {answer[:200]!r}")
            except (OSError, EOFError) as error:
                self.faults.append(f"{door.url}: {error!r}")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _talk(self, pair: Pair, door: Door) -> None:
        """Say one thing after another; what got no ack before the socket ended is said again under the same id."""
        waiting: tuple[str, float] | None = None
        while not self.done.is_set():
            pause = 0.2
            try:
                async with door.connect(pair.speaker) as wire:
                    while waiting or not self.done.is_set():
                        name, started = waiting = waiting or (str(uuid.uuid4()), time.perf_counter())
                        said = {
                            "type": "message",
                            "conversation_uuid": pair.room,
                            "content": name,
                            "client_msg_id": name,
                        }
                        await wire.send(json.dumps(said))
                        while True:
                            frame = json.loads(await wire.recv())
                            if frame["type"] == "bye":
                                pause = (frame.get("reconnect_in_ms") or 0) / 1000
                            if frame["type"] == "ack" and frame["client_msg_id"] == name:
                                break
                        self.acks.append(time.perf_counter() - started)
                        self.acked.add(name)
                        waiting = None
                        await asyncio.sleep(PAUSE_SECONDS)
                    return
            except (OSError, websockets.WebSocketException):
                self.reconnects += 1
            await asyncio.sleep(pause)

    async def _listen(self, pair: Pair, door: Door) -> None:
        cursor = 0
        while True:
            pause = 0.2
            try:
                async with door.connect(pair.listener) as wire:
                    hello = json.loads(await wire.recv())
                    resume = {"type": "resume", "epoch": hello["epoch"], "cursors": {pair.room: cursor}}
                    await wire.send(json.dumps(resume))
                    async for raw in wire:
                        frame = json.loads(raw)
                        if frame["type"] == "bye":
                            pause = (frame.get("reconnect_in_ms") or 0) / 1000
                        for event in frame.get("events", []) if frame["type"] == "events" else []:
                            if event["conversation_uuid"] != pair.room or event["seq"] <= cursor:
                                continue
                            if event["seq"] > cursor + 1:
                                ask = {"type": "sync", "conversation_uuid": pair.room, "after_seq": cursor}
                                await wire.send(json.dumps(ask))
                                break
                            cursor = event["seq"]
                            if event["kind"] == "message.created":
                                said = event["data"]["content"]
                                self.heard[said] = self.heard.get(said, 0) + 1
            except (OSError, websockets.WebSocketException):
                pass
            await asyncio.sleep(pause)

    def report(self) -> str:
        return (
            f"{len(self.took)} requests ({_figures(self.took)}), {len(self.faults)} refused or failed; "
            f"{len(self.acked)} messages (acks {_figures(self.acks)}), {len(self.lost)} lost, {len(self.twice)} heard "
            f"twice; {self.reconnects} reconnects of {len(self.pairs)} speakers"
        )

    def check(self) -> None:
        """Raise AssertionError where something was refused, lost or said twice."""
        assert self.took, "nothing was asked"
        assert self.acked, "nothing was said"
        assert self.faults == [], self.faults[:5]
        assert not self.lost, f"{len(self.lost)} of {len(self.acked)} messages were lost"
        assert not self.twice, f"{len(self.twice)} messages were heard twice"


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _figures(seconds: list[float]) -> str:
    p50, p99, most = (percentile(seconds, share) * 1000 for share in (0.5, 0.99, 1.0))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {most:.0f} ms"
