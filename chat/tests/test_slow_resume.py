"""A catch-up waits for its client: thousands of small frames overfill no window, however slow the network is."""

import asyncio
import json
import uuid
from typing import Any

from chat.hub import resume, send_window
from chat.hub.connection import Socket
from chat.hub.feed import Feed
from chat.hub.send_window import Window
from chat.log.catchup import Catchup, Range

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
