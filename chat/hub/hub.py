"""The registry of one process: which sockets are open, which conversations they follow, and the local fan-out.

    commit -> published.hand_over -> Process.publish -> Hub.receive -> the feeds of this process (order, fan-out)
                                                     -> layer -> the hubs of the other processes -> their feeds

The layer may lose, repeat or reorder messages; `chat.hub.sweep` reads what is missing from the database. All methods
run on the event loop.
"""

import asyncio
import time
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from chat import database
from chat.hub.connection import Socket
from chat.hub.feed import Feed, hidden_by
from chat.hub.layer import Layer, group_of
from chat.log import catchup
from chat.log.published import Published
from chat.protocol.close_codes import Close
from chat.protocol.outgoing import RemovedFrame
from common.errors import TokenNotValid
from common.metrics import SOCKETS_OPENED

log = structlog.get_logger(__name__)

PASSING = 10_000


class Watcher(Protocol):
    """Interface of the process that the registry uses."""

    def hole_seen(self, feed: Feed) -> None: ...
    def user_arrived(self, user_id: int) -> None: ...
    def user_left(self, user_id: int) -> None: ...
    def socket_joined(self, socket: Socket) -> None: ...
    def socket_left(self, socket: Socket) -> None: ...
    def spawn(self, work: Coroutine[Any, Any, Any]) -> None: ...


class Hub:
    """Open sockets by connection, user and session, and the feed of each conversation that one of them follows.

    Invariants: a socket stands in `sockets`, `by_user` and `by_sid`, or in none of them; `socket.feeds` and a feed's
    own sockets name each other; a feed without sockets is not in `feeds`; no entry of `by_user` and `by_sid` is empty.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, layer: Layer | None, watcher: Watcher) -> None:
        self.loop, self.layer, self.watcher = loop, layer, watcher
        self.spawn = watcher.spawn
        self.feeds: dict[int, Feed] = {}
        self.sockets: dict[str, Socket] = {}
        self.by_user: dict[int, set[Socket]] = defaultdict(set)
        self.by_sid: dict[uuid.UUID, set[Socket]] = defaultdict(set)
        # Recent heads of conversations without a local follower: a socket that is joining may have read an older head.
        self.passing: OrderedDict[int, int] = OrderedDict()
        self.passing_members: OrderedDict[int, float] = OrderedDict()
        # Sessions and people whose end passed by, with the reason: a socket that read before it must not come in.
        self.passing_ends: OrderedDict[uuid.UUID | int, tuple[float, str]] = OrderedDict()

    # --- Sockets ---

    async def join(self, socket: Socket, places: list[catchup.Place], *, read_at: float) -> None:
        """Register the socket as live from the heads in `places`, which were read from the database at `read_at`.

        Subscribe first, then read: if a layer group was not joined yet, or a membership changed meanwhile, the heads
        are read again.

        Raises: TokenNotValid where the session ended since.
        """
        for key in (socket.sid, socket.user_id):
            ended = self.passing_ends.get(key)
            if ended is not None and ended[0] >= read_at:
                raise TokenNotValid(ended[1])
        self.sockets[socket.connection_id] = socket
        SOCKETS_OPENED.inc()
        self.by_user[socket.user_id].add(socket)
        self.by_sid[socket.sid].add(socket)
        if len(self.by_user[socket.user_id]) == 1:
            self.watcher.user_arrived(socket.user_id)
        stale = await self._subscribe({group_of(place.conversation_id) for place in places})
        while stale or self.passing_members.get(socket.user_id, 0.0) >= read_at:
            read_at = time.monotonic()
            places = await database.run(catchup.places, socket.user_id)
            stale = False
        socket.is_joined = True
        self.watcher.socket_joined(socket)
        for place in places:
            self.follow(socket, place)

    async def _subscribe(self, groups: set[str]) -> bool:
        """Join the layer's groups; return whether any was new."""
        if self.layer is None or not groups - self.layer.subscribed:
            return False
        await self.layer.subscribe(groups)
        return True

    def leave(self, socket: Socket) -> None:
        """Unregister the socket and end its presence watches and typing indicators."""
        if self.sockets.pop(socket.connection_id, None) is None:
            return
        for feed in socket.feeds:
            feed.leave(socket)
            self.forget_if_empty(feed)
        socket.feeds = {}
        self.watcher.socket_left(socket)
        discard(self.by_sid, socket.sid, socket)
        discard(self.by_user, socket.user_id, socket)
        if socket.user_id not in self.by_user:
            self.watcher.user_left(socket.user_id)

    def follow(self, socket: Socket, place: catchup.Place) -> Feed:
        """Deliver to the socket all events after the head that was read."""
        feed = self.feed_of(place.conversation_id, place.conversation_uuid, place.head)
        socket.feeds[feed] = place.head
        feed.hide(socket, place.visible_after)
        feed.join(socket, after=place.head)
        self.mend_if_needed(feed)
        return feed

    def follow_all(self, user_id: int, feed: Feed, *, after: int, visible_after: int) -> None:
        """Let the user's sockets follow the feed; those that already do are unchanged."""
        _note(self.passing_members, user_id, time.monotonic())
        for socket in self.by_user.get(user_id, ()):
            if socket.is_joined and feed not in socket.feeds:
                socket.feeds[feed] = after
                feed.hide(socket, visible_after)
                feed.join(socket, after=after)

    def remove_all(self, user_id: int, feed: Feed, *, at: int) -> None:
        """End the user's view of the conversation at event `at`, which their sockets have received."""
        for socket in list(self.by_user.get(user_id, ())):
            if feed not in socket.feeds:
                continue
            follow = feed.behind.get(socket)
            if follow is not None and follow.held:
                follow.until = at  # the running catch-up sends the rest
            elif follow is None or follow.sent <= at:
                self.unfollow(socket, feed)
                socket.send(RemovedFrame(conversation_uuid=feed.uuid))

    def unfollow(self, socket: Socket, feed: Feed) -> None:
        socket.feeds.pop(feed, None)
        feed.leave(socket)
        self.forget_if_empty(feed)

    def drop_slow(self, socket: Socket) -> None:
        log.info("socket.slow", user_id=socket.user_id, connection_id=socket.connection_id)
        socket.close(Close.SLOW_CONSUMER)
        for feed in socket.feeds:
            feed.leave(socket)

    def feed_of(self, conversation_id: int, conversation_uuid: uuid.UUID, head: int) -> Feed:
        feed = self.feeds.get(conversation_id)
        if feed is None:
            feed = self.feeds[conversation_id] = Feed(self, conversation_id, conversation_uuid, head)
            feed.wanted = max(head, self.passing.get(conversation_id, 0))
            if self.layer is not None and group_of(conversation_id) not in self.layer.subscribed:
                self.spawn(self._subscribe_then_mend(feed))
        return feed

    async def _subscribe_then_mend(self, feed: Feed) -> None:
        """Join the conversation's layer group, then check the head for events published before."""
        assert self.layer is not None  # noqa: S101
        await self.layer.subscribe({group_of(feed.id)})
        found = await database.run(catchup.heads, [feed.id])
        feed.wanted = max(feed.wanted, found.get(feed.id, 0))
        self.mend_if_needed(feed)

    def forget_if_empty(self, feed: Feed) -> None:
        if feed.is_empty and self.feeds.get(feed.id) is feed:
            del self.feeds[feed.id]

    def mend_if_needed(self, feed: Feed) -> None:
        if feed.has_hole:
            self.watcher.hole_seen(feed)

    def note_end(self, key: uuid.UUID | int, reason: str) -> None:
        """Note that a session (by its `sid`) or an account (by its id) has ended, for sockets that are just joining."""
        _note(self.passing_ends, key, (time.monotonic(), reason))

    # --- Events ---

    def receive(self, published: Published) -> None:
        feed = self.feeds.get(published.conversation_id)
        if feed is None:
            feed = self._adopt(published)
            if feed is None:
                return
        feed.receive(published.events)
        self.mend_if_needed(feed)
        if feed.is_empty:
            self.forget_if_empty(feed)

    def _adopt(self, published: Published) -> Feed | None:
        """Start a feed if a local user has just joined the conversation; otherwise remember its new head."""
        last = published.events[-1].seq if published.events else 0
        _note(self.passing, published.conversation_id, max(last, self.passing.get(published.conversation_id, 0)))
        for event in published.events:
            if event.kind != "member.joined" or event.member_id is None:
                continue
            _note(self.passing_members, event.member_id, time.monotonic())
            if event.member_id in self.by_user:
                # The first members join with event 1, later ones with their own event.
                first = published.events[0]
                after = first.seq - 1 if first.kind == "conversation.created" else event.seq - 1
                feed = self.feed_of(published.conversation_id, published.conversation_uuid, after)
                if first.kind == "conversation.created":
                    for one in published.events:
                        if one.member_id is not None:
                            self.follow_all(one.member_id, feed, after=after, visible_after=hidden_by(one))
                return feed
        return None

    def announce(self, conversation_id: int, up_to: int) -> None:
        """Record that events up to `up_to` exist and must be read from the database."""
        if feed := self.feeds.get(conversation_id):
            feed.wanted = max(feed.wanted, up_to)
            self.mend_if_needed(feed)


def _note(recent: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    recent[key] = value
    recent.move_to_end(key)
    if len(recent) > PASSING:
        recent.popitem(last=False)


def discard(index: dict[Any, set[Socket]], key: Any, socket: Socket) -> None:
    """Remove the socket from the index, with its entry if that becomes empty."""
    sockets = index.get(key)
    if sockets is not None:
        sockets.discard(socket)
        if not sockets:
            del index[key]
