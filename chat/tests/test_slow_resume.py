"""A catch-up waits for its client: thousands of small frames overfill no window, however slow the network is."""

import asyncio
import json
import uuid
from types import SimpleNamespace
from typing import Any

from chat.hub import resume, send_window
from chat.hub.connection import Socket
from chat.hub.feed import Feed
from chat.hub.send_window import Window
from chat.log.catchup import Catchup, Range
from chat.log.published import Encoded

MANY = 2_000


class Registry:
    """A hub with nothing live."""

    def __init__(self) -> None:
        self.feeds: dict[int, Any] = {}

    def feed_of(self, conversation_id: int, conversation_uuid: uuid.UUID, head: int) -> Any:
        made = Feed(self, conversation_id, conversation_uuid, head)  # type: ignore[arg-type]
        return self.feeds.setdefault(conversation_id, made)

    def unfollow(self, socket: Socket, feed: Any) -> None:
        socket.feeds.pop(feed, None)

    def mend_if_needed(self, feed: Any) -> None:
        return


async def _resumed(monkeypatch: Any, found: Catchup) -> list[dict[str, Any]]:
    """Return what a client gets that takes one frame at each turn of the loop."""
    told: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)  # the buffer of a slow link is full after every frame
        told.append(json.loads(message["text"]) if "text" in message else message)

    async def run(function: Any, *args: Any, **kwargs: Any) -> Any:
        return found

    monkeypatch.setattr(resume.database, "run", run)
    socket = Socket(Window(send))
    await resume.resume(Registry(), socket, {}, same_epoch=True, ref=7)  # type: ignore[arg-type]
    await socket.window.drained()
    assert socket.is_open
    return told


async def test_a_gap_in_thousands_of_conversations_is_no_slow_consumer(monkeypatch: Any) -> None:
    assert MANY > send_window.MAX_EVENTS
    gaps = [Range(number, uuid.UUID(int=number), 0, 5, 0, is_gap=True) for number in range(1, MANY + 1)]
    told = await _resumed(monkeypatch, Catchup(gaps, []))
    assert [frame["type"] for frame in told] == ["gap"] * MANY + ["resumed"]


async def test_thousands_of_conversations_that_were_left_are_no_slow_consumer(monkeypatch: Any) -> None:
    left = [Range(number, uuid.UUID(int=number), 0, 5, 0, left=True) for number in range(1, MANY + 1)]
    gone = [uuid.UUID(int=MANY + number) for number in range(1, MANY + 1)]
    told = await _resumed(monkeypatch, Catchup(left, gone))
    assert [frame["type"] for frame in told] == ["removed"] * 2 * MANY + ["resumed"]


def _missed(count: int, *, after: int = 0) -> list[Range]:
    """Return conversations with one missed event each."""
    ranges = []
    for number in range(after + 1, after + count + 1):
        raw = json.dumps({"conversation_uuid": str(uuid.UUID(int=number)), "seq": 5}).encode()
        ranges.append(Range(number, uuid.UUID(int=number), 4, 5, 0, events=[Encoded(5, "message.created", raw)]))
    return ranges


def _told_of(frames: list[dict[str, Any]]) -> list[int]:
    """Return the conversations of the frames, in order; each `events` is of one."""
    numbers = []
    for frame in frames:
        [name] = {told["conversation_uuid"] for told in frame.get("events", [frame])}
        numbers.append(uuid.UUID(name).int)
    return numbers


async def test_an_event_in_thousands_of_conversations_is_no_slow_consumer(monkeypatch: Any) -> None:
    told = await _resumed(monkeypatch, Catchup(_missed(MANY), []))
    assert told[-1] == {"type": "resumed", "ref": 7}
    assert _told_of(told[:-1]) == list(range(1, MANY + 1))


class WebSocketsSansIOProtocol:
    """A stand-in for uvicorn's protocol, which takes frames that are ready for the wire."""

    def __init__(self) -> None:
        self.conn = SimpleNamespace(extensions=[])
        self.writable = asyncio.Event()
        self.writable.set()
        self.close_sent = self.disconnected = False
        self.written: list[bytes] = []
        self.transport = SimpleNamespace(write=self.written.append, is_closing=lambda: False)

    async def send(self, message: dict[str, Any]) -> None:
        raise AssertionError("a frame went through ASGI")


def _frames(wire: bytes) -> list[dict[str, Any]]:
    """Return the text frames in these bytes of a server."""
    frames = []
    while wire:
        assert wire[0] == 0x81
        size, start = wire[1], 2
        if size == 126:
            size, start = int.from_bytes(wire[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(wire[2:10]), 10
        frames.append(json.loads(wire[start : start + size]))
        wire = wire[start + size :]
    return frames


async def _written(monkeypatch: Any, found: Catchup) -> list[list[dict[str, Any]]]:
    """Return the frames of each write of a catch-up."""

    async def run(function: Any, *args: Any, **kwargs: Any) -> Any:
        return found

    monkeypatch.setattr(resume.database, "run", run)
    protocol = WebSocketsSansIOProtocol()
    registry, socket = Registry(), Socket(Window(protocol.send))
    await resume.resume(registry, socket, {}, same_epoch=True, ref=7)  # type: ignore[arg-type]
    for feed in registry.feeds.values():
        assert (feed.live, feed.behind, feed.head) == ({socket}, {}, 5)  # live events follow
    return [_frames(wire) for wire in protocol.written]


async def test_frames_of_several_conversations_go_out_in_one_write_in_their_order(monkeypatch: Any) -> None:
    monkeypatch.setattr(resume, "FRAME_BYTES", 1024)
    gap = Range(200, uuid.UUID(int=200), 0, 5, 0, is_gap=True)
    quiet = Range(300, uuid.UUID(int=300), 5, 5, 0)
    writes = await _written(monkeypatch, Catchup([*_missed(40), gap, *_missed(2, after=40), quiet], []))
    assert writes[-1] == [{"type": "resumed", "ref": 7}]
    assert {frame["type"] for write in writes[:-3] for frame in write} == {"events"}
    assert [_told_of(write) for write in writes[-3:-1]] == [[200], [41, 42]]
    assert _told_of([frame for write in writes[:-3] for frame in write]) == list(range(1, 41))
    assert 3 <= len(writes[:-3]) <= 10  # 74 bytes each, 1,024 in a write


async def test_a_catch_up_in_quiet_conversations_says_only_that_it_is_complete(monkeypatch: Any) -> None:
    quiet = [Range(number, uuid.UUID(int=number), 5, 5, 0) for number in range(1, 4)]
    assert await _written(monkeypatch, Catchup(quiet, [])) == [[{"type": "resumed", "ref": 7}]]
