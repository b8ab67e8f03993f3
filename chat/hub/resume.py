"""Catch-up of one socket: hold live events back, send the missed ones, then switch to live without a gap."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from chat import database
from chat.hub.connection import Socket
from chat.hub.feed import Feed
from chat.hub.send_window import Frame
from chat.log import catchup
from chat.log.catchup import Place, Range
from chat.log.published import Encoded
from chat.protocol import outgoing
from chat.protocol.outgoing import GapFrame, Outgoing, RemovedFrame, ResumedFrame
from common.errors import NotFound

FRAME_BYTES = 512 * 1024


class Registry(Protocol):
    """Interface of the hub that a catch-up uses."""

    @property
    def feeds(self) -> Mapping[int, Feed]: ...
    def feed_of(self, conversation_id: int, conversation_uuid: uuid.UUID, head: int) -> Feed: ...
    def unfollow(self, socket: Socket, feed: Feed) -> None: ...
    def mend_if_needed(self, feed: Feed) -> None: ...


async def resume(
    registry: Registry, socket: Socket, cursors: dict[uuid.UUID, int], *, same_epoch: bool, ref: Any
) -> None:
    """Answer `resume`: `events`, `gap` and `removed`, most recent conversations first, then `resumed`.

    A removed member gets only `removed`: events would show the messages' present state.
    """
    held = {feed.id: (feed.uuid, feed.hold(socket).sent) for feed in socket.feeds}
    try:
        found = await database.run(catchup.read, socket.user_id, cursors, same_epoch=same_epoch)
        for together in _portions(found.ranges):
            await _tell_all(registry, socket, together)
        told = {one.conversation_id for one in found.ranges}
        for left in held.keys() - told:  # meanwhile, and without a cursor
            name, sent = held[left]
            for one in (await database.run(catchup.read_one, socket.user_id, name, sent)).ranges:
                await _tell(registry, socket, one)
        for name in found.removed:
            await _send(socket, RemovedFrame(conversation_uuid=name))
    finally:
        _let_go(socket)
    await _send(socket, ResumedFrame(ref=ref))


async def sync(registry: Registry, socket: Socket, conversation_uuid: uuid.UUID, after: int, *, ref: Any) -> None:
    """Answer `sync`: the events after `after` in one conversation, or `gap`. Raises NotFound."""
    feed = next((feed for feed in socket.feeds if feed.uuid == conversation_uuid), None)
    if feed is not None:
        feed.hold(socket)
    try:
        found = await database.run(catchup.read_one, socket.user_id, conversation_uuid, after)
        if not found.ranges or found.ranges[0].left:
            raise NotFound
        await _tell(registry, socket, found.ranges[0], ref=ref, answer=True)
    finally:
        _let_go(socket)


async def bring_in(registry: Registry, socket: Socket, place: Place) -> None:
    """Let the socket follow a conversation whose join event this process has missed."""
    feed = registry.feed_of(place.conversation_id, place.conversation_uuid, place.head)
    if feed in socket.feeds:
        return
    # Held before the read: the event may still arrive meanwhile, and must not be sent twice.
    socket.feeds[feed] = place.head
    feed.hide(socket, place.visible_after)
    feed.hold(socket)
    try:
        for one in (await database.run(catchup.read_one, socket.user_id, place.conversation_uuid, place.head)).ranges:
            if one.left:
                registry.unfollow(socket, feed)
            else:
                await _tell(registry, socket, one)
    finally:
        _let_go(socket)


def _portions(ranges: Iterable[Range]) -> Iterator[list[Range]]:
    """Divide the ranges, in order, into those that can be sent together; a gap and a removal stand alone."""
    portion: list[Range] = []
    room = FRAME_BYTES
    for one in ranges:
        size = sum(len(event.raw) for event in one.events)
        if portion and (size > room or one.is_gap or one.left):
            yield portion
            portion, room = [], FRAME_BYTES
        portion.append(one)
        room -= size
        if one.is_gap or one.left:
            yield portion
            portion, room = [], FRAME_BYTES
    if portion:
        yield portion


async def _tell_all(registry: Registry, socket: Socket, ranges: list[Range]) -> None:
    """Send the ranges of a portion, a frame for each in one write; continue live from there."""
    if len(ranges) == 1:
        await _tell(registry, socket, ranges[0])
        return
    told = [one.events for one in ranges if one.events]
    await socket.window.write_all([Frame(outgoing.encode_events(events), events=len(events)) for events in told])
    for one in ranges:
        await _go_live(registry, socket, one)


async def _tell(registry: Registry, socket: Socket, one: Range, *, ref: Any = None, answer: bool = False) -> None:
    """Send the range and continue live from there; `answer`: send a frame also if nothing is missing."""
    if one.left:
        feed = registry.feeds.get(one.conversation_id)
        if feed is not None:
            registry.unfollow(socket, feed)
        await _send(socket, RemovedFrame(conversation_uuid=one.conversation_uuid))
        return
    if one.is_gap:
        gap = GapFrame(ref=ref, conversation_uuid=one.conversation_uuid, from_seq=one.after + 1, last_seq=one.up_to)
        await _send(socket, gap)
    else:
        await _send_events(socket, one.events, ref=ref, answer=answer)
    await _go_live(registry, socket, one)


async def _send(socket: Socket, frame: Outgoing) -> None:
    """Send a frame when the window has drained, since a thousand small frames overfill it like a large one."""
    await socket.window.drained()
    if socket.is_open:
        socket.send(frame)


async def _send_events(socket: Socket, events: list[Encoded], *, ref: Any = None, answer: bool = False) -> None:
    """Send the events in one frame, or in several if they are large; each when the window has drained."""
    chunk: list[Encoded] = []
    size = 0
    for event in events:
        if chunk and size + len(event.raw) > FRAME_BYTES:
            await _send_chunk(socket, chunk, ref)
            chunk, size = [], 0
        chunk.append(event)
        size += len(event.raw)
    if chunk or answer:
        await _send_chunk(socket, chunk, ref)


async def _send_chunk(socket: Socket, chunk: list[Encoded], ref: Any) -> None:
    await socket.window.drained()
    socket.write(outgoing.encode_events(chunk, ref=ref), events=len(chunk))


async def _go_live(registry: Registry, socket: Socket, one: Range) -> None:
    """Send the events that arrived during the catch-up, until the socket has reached the live head."""
    position = one.up_to
    feed = registry.feed_of(one.conversation_id, one.conversation_uuid, position)
    first = one.after if one.events else position
    if feed not in socket.feeds:
        feed.hide(socket, one.visible_after)
    socket.feeds[feed] = min(socket.feeds.get(feed, first), first)
    follow = feed.hold(socket)
    while socket.is_open and feed in socket.feeds:
        missing = feed.since(position)
        if missing is None:
            hole = (await database.run(catchup.holes, {feed.id: position}))[feed.id]
            missing = hole.events
            if socket.user_id in hole.cut and follow.until is None:
                follow.until = hole.cut[socket.user_id]
        if follow.until is not None:  # removed meanwhile: the events read may show later state
            registry.unfollow(socket, feed)
            await _send(socket, RemovedFrame(conversation_uuid=feed.uuid))
            return
        if missing:
            await _send_events(socket, feed.seen_by(socket, missing))
            position = missing[-1].seq
        if position >= feed.head and follow.until is None:
            feed.join(socket, after=position)
            registry.mend_if_needed(feed)
            return


def _let_go(socket: Socket) -> None:
    """Release the feeds that a failed catch-up still holds; the client detects the gap and sends `sync`."""
    for feed in socket.feeds:
        follow = feed.behind.get(socket)
        if follow is not None and follow.held:
            feed.join(socket, after=feed.head)


def feed_named(socket: Socket, conversation_uuid: uuid.UUID) -> Feed:
    """Return the feed of this conversation that the socket follows. Raises NotFound."""
    for feed in socket.feeds:
        if feed.uuid == conversation_uuid:
            return feed
    raise NotFound
