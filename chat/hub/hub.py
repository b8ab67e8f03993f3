"""How a committed event reaches thousands of sockets: one hub in each server process.

    commit -> events.hand_over -> Hub.publish -> feeds of this process (order, fan-out)
                                              -> layer -> the hubs of the other processes -> their feeds

The layer may lose, repeat or reorder anything. What is missing is read from the database once for all sockets of the
process: when a feed sees a hole, when the layer's connection broke, and every `CHAT_SWEEP_SECONDS` in any case.
All methods but the functions at the end of this module belong to the event loop.
"""

import asyncio
import functools
import random
import time
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.utils import timezone

from chat import database
from chat.hub import layer, presence, resume
from chat.hub.connection import Socket
from chat.hub.ephemeral import Receipts, Typing
from chat.hub.feed import Feed
from chat.hub.layer import group_of
from chat.hub.presence_board import PresenceBoard, discard
from chat.hub.writer import Writer
from chat.log import catchup, events
from chat.log.events import Encoded, Published
from chat.protocol import outgoing
from chat.protocol.outgoing import Close, RemovedFrame
from chat.services.receipts import Receipt
from common.errors import TokenNotValid
from common.metrics import HOLES_MENDED, SOCKETS, SOCKETS_OPENED
from sessions import sockets as session_sockets
from sessions.authentication import Authenticated

log = structlog.get_logger(__name__)

INLINE_BYTES = 256 * 1024  # a larger publication goes as a wake: the others read it from the database
REORDER_SECONDS = 0.05  # what came early may only have overtaken the rest
TICK_SECONDS = 1.0
# At a drain: so much time for each socket, in all no more than this share of DRAIN_SECONDS, and when to come back.
DRAIN_SECONDS_A_SOCKET, DRAIN_SHARE, RECONNECT_MS = 0.01, 0.7, (100, 1_000)
PASSING = 10_000
JOINED_OVERLAP = timedelta(seconds=30)


class Hub:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.process = uuid.uuid4().hex[:12]
        self.epoch = ""
        self.draining = False
        self.feeds: dict[int, Feed] = {}
        self.sockets: dict[str, Socket] = {}
        self.by_user: dict[int, set[Socket]] = defaultdict(set)
        self.by_sid: dict[uuid.UUID, set[Socket]] = defaultdict(set)
        self.writer = Writer(loop)
        self.layer = layer.Layer(self.process, self._on_message, self.sweep_soon) if layer.is_needed() else None
        # What passed by with nobody here to follow it: a socket that is just joining may have read before it.
        self.passing: OrderedDict[int, int] = OrderedDict()
        self.passing_members: OrderedDict[int, float] = OrderedDict()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.loops: list[asyncio.Task[None]] = []  # of its life
        self.healing: set[int] = set()
        self.sweep_now = asyncio.Event()
        self.swept_at = timezone.now()
        self.receipts = Receipts(self)
        self.typing = Typing(self)
        self.presence = PresenceBoard(self)

    def start(self) -> None:
        if self.layer is not None:
            self.layer.start()
        self.loops = [self.loop.create_task(work) for work in (self._tick(), self._sweep(), self._beat())]

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("hub.task_failed", exc_info=error)

    async def stop(self) -> None:
        self.writer.stop()
        if self.tasks:  # sockets that are being taken off the counts
            await asyncio.wait(list(self.tasks), timeout=2)
        ending = [*self.loops, *self.tasks]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self.layer is not None:
            await self.layer.stop()
        database.close()

    async def drain(self) -> None:
        """Tell every socket to go, spread over `DRAIN_SECONDS` at most, and wait until they have been told.

        Those that wait for their turn are served meanwhile; each is asked to come back a moment after its `bye`, so
        that the other processes meet them one after another.
        """
        self.draining = True
        sockets = list(self.sockets.values())
        random.shuffle(sockets)
        spread_s = min(DRAIN_SHARE * settings.DRAIN_SECONDS, DRAIN_SECONDS_A_SOCKET * len(sockets))
        started = self.loop.time()
        for place, socket in enumerate(sockets):
            wait = started + spread_s * place / len(sockets) - self.loop.time()
            if wait > 0 or place % 200 == 199:
                await asyncio.sleep(max(0.0, wait))
            socket.close(Close.SERVER_DRAIN, reconnect_in_ms=random.randrange(*RECONNECT_MS))  # noqa: S311
        if sockets:  # nobody here will be left to tell who does not come back
            self.tell_others(layer.ALL, {"k": "left", "u": sorted({socket.user_id for socket in sockets})})
        deadline = time.monotonic() + 1.5
        while any(not socket.window.is_idle for socket in sockets) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for socket in sockets:
            if not socket.window.is_idle:
                socket.window.abort()

    # --- Sockets come and go ---

    async def join(self, socket: Socket, places: list[catchup.Place], *, read_at: float) -> None:
        """Let the socket be live from the heads in `places`, which were read from the database at `read_at`.

        Subscribe first, then read: where a group was not joined yet, or somebody's membership passed by meanwhile, the
        heads are read anew.
        """
        self.sockets[socket.connection_id] = socket
        SOCKETS.set(len(self.sockets))
        SOCKETS_OPENED.inc()
        self.by_user[socket.user_id].add(socket)
        self.by_sid[socket.sid].add(socket)
        if len(self.by_user[socket.user_id]) == 1:
            self.presence.arrived(socket.user_id)
        stale = await self._subscribe({group_of(place.conversation_id) for place in places})
        while stale or self.passing_members.get(socket.user_id, 0.0) >= read_at:
            read_at = time.monotonic()
            places = await database.run(catchup.places, socket.user_id)
            stale = False
        socket.is_joined = True
        for place in places:
            self.follow(socket, place.conversation_id, place.conversation_uuid, after=place.head)

    async def _subscribe(self, groups: set[str]) -> bool:
        """Join the layer's groups; return whether there was anything to join."""
        if self.layer is None or not groups - self.layer.subscribed:
            return False
        await self.layer.subscribe(groups)
        return True

    def count(self, socket: Socket, known: Authenticated) -> None:
        """Note whose the socket is; from here on `leave` takes it off the counts of open sockets."""
        socket.user_id, socket.sid, socket.session_id = known.user_id, known.sid, known.session_id
        socket.token_expires_at = known.token_expires_at

    def forget_late(self, opening: "asyncio.Future[Any]", connection_id: str) -> None:
        """Take off the counts a socket that opened when nobody waited for it any more."""
        if not opening.cancelled() and opening.exception() is None:
            known = opening.result().authenticated
            self.spawn(database.run(_closed, known.user_id, known.sid, connection_id))

    def leave(self, socket: Socket) -> None:
        """Forget the socket."""
        socket.lost()
        if socket.user_id:
            self.spawn(database.run(_closed, socket.user_id, socket.sid, socket.connection_id))
        if self.sockets.pop(socket.connection_id, None) is None:
            return
        SOCKETS.set(len(self.sockets))
        for feed in socket.feeds:
            feed.leave(socket)
            self._forget_if_empty(feed)
        socket.feeds = {}
        self.typing.stop_all(socket)
        self.presence.watch(socket, frozenset())
        discard(self.by_sid, socket.sid, socket)
        discard(self.by_user, socket.user_id, socket)
        if socket.user_id not in self.by_user:
            self.presence.left(socket.user_id)

    def follow(self, socket: Socket, conversation_id: int, conversation_uuid: uuid.UUID, *, after: int) -> Feed:
        """Let the socket have everything past `after`."""
        feed = self.feed_of(conversation_id, conversation_uuid, after)
        socket.feeds[feed] = after
        feed.join(socket, after=after)
        self.mend_if_needed(feed)
        return feed

    def follow_all(self, user_id: int, feed: Feed, *, after: int) -> None:
        """Let the person's sockets follow; those that do already stay as they are."""
        _note(self.passing_members, user_id, time.monotonic())
        for socket in self.by_user.get(user_id, ()):
            if socket.is_joined and feed not in socket.feeds:
                socket.feeds[feed] = after
                feed.join(socket, after=after)

    def remove_all(self, user_id: int, feed: Feed, *, at: int) -> None:
        """End what the person's sockets see of the conversation with event `at`, which they have got."""
        for socket in list(self.by_user.get(user_id, ())):
            if feed not in socket.feeds:
                continue
            follow = feed.behind.get(socket)
            if follow is not None and follow.held:
                follow.until = at  # the catch-up that holds it tells the rest
            elif follow is None or follow.sent <= at:
                self.unfollow(socket, feed)
                socket.send(RemovedFrame(conversation_uuid=feed.uuid))

    def unfollow(self, socket: Socket, feed: Feed) -> None:
        socket.feeds.pop(feed, None)
        feed.leave(socket)
        self._forget_if_empty(feed)

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
        """Join the conversation's group; what was published before is found by one look at the head."""
        assert self.layer is not None  # noqa: S101
        await self.layer.subscribe({group_of(feed.id)})
        found = await database.run(catchup.heads, [feed.id])
        feed.wanted = max(feed.wanted, found.get(feed.id, 0))
        self.mend_if_needed(feed)

    def _forget_if_empty(self, feed: Feed) -> None:
        if feed.is_empty and self.feeds.get(feed.id) is feed:
            del self.feeds[feed.id]

    # --- Events, out and in ---

    def publish(self, batch: list[Published]) -> None:
        """Take what this process committed: to the local sockets at once, to the other processes through the layer."""
        for published in batch:
            self._receive(published)
        if self.layer is not None:
            self._publish_to_others(batch)

    def _publish_to_others(self, batch: list[Published]) -> None:
        assert self.layer is not None  # noqa: S101
        by_group: dict[str, list[Any]] = defaultdict(list)
        for published in batch:
            told = _to_wire(published)
            by_group[group_of(published.conversation_id)].append(told)
            if any(event.kind == "member.joined" for event in published.events):
                by_group[layer.ALL].append(told)  # who joins may have a socket where nobody follows the conversation
        for group, told_all in by_group.items():
            self.layer.publish(group, {"k": "events", "b": told_all})

    def _receive(self, published: Published) -> None:
        feed = self.feeds.get(published.conversation_id)
        if feed is None:
            feed = self._adopt(published)
            if feed is None:
                return
        feed.receive(published.events)
        self.mend_if_needed(feed)
        if feed.is_empty:
            self._forget_if_empty(feed)

    def _adopt(self, published: Published) -> Feed | None:
        """Start to follow a conversation that one of our people just joined; else note that it moved."""
        last = published.events[-1].seq if published.events else 0
        _note(self.passing, published.conversation_id, max(last, self.passing.get(published.conversation_id, 0)))
        for event in published.events:
            if event.kind != "member.joined" or event.member_id is None:
                continue
            _note(self.passing_members, event.member_id, time.monotonic())
            if event.member_id in self.by_user:
                # The founders joined with event 1; who is added later, with their own.
                first = published.events[0]
                after = first.seq - 1 if first.kind == "conversation.created" else event.seq - 1
                feed = self.feed_of(published.conversation_id, published.conversation_uuid, after)
                if first.kind == "conversation.created":
                    for one in published.events:
                        if one.member_id is not None:
                            self.follow_all(one.member_id, feed, after=after)
                return feed
        return None

    def _on_message(self, message: dict[str, Any]) -> None:
        """Take what another process published."""
        match message.get("k"):
            case "events":
                for conversation_id, name, told, wanted in message["b"]:
                    self._receive_told(conversation_id, uuid.UUID(bytes=name), told, wanted)
            case "receipt":
                told = message["r"]
                self.receipts.show_here(Receipt(**{**told, "conversation_uuid": uuid.UUID(told["conversation_uuid"])}))
            case "typing":
                self.typing.show_here(message["c"], message["u"], message["a"])
            case "presence":
                self.presence.moved(message["u"], recheck=message["r"])
            case "left":
                for user_id in message["u"]:
                    if user_id not in self.by_user:
                        self.presence.left(user_id)
            case "revoked":
                self._end_sessions([uuid.UUID(sid) for sid in message["s"]], message["reason"])
            case "suspended":
                self._suspend(message["u"])
            case "superseded":
                self._supersede(message["c"])

    def _receive_told(self, conversation_id: int, name: uuid.UUID, told: list[Any], wanted: int) -> None:
        if told:
            heard = tuple(Encoded(seq, kind, raw, member_id) for seq, kind, raw, member_id in told)
            self._receive(Published(conversation_id, name, heard))
        elif feed := self.feeds.get(conversation_id):
            feed.wanted = max(feed.wanted, wanted)
            self.mend_if_needed(feed)

    # --- Holes ---

    def mend_if_needed(self, feed: Feed) -> None:
        if feed.has_hole and feed.id not in self.healing:
            self.healing.add(feed.id)
            self.loop.call_later(REORDER_SECONDS, lambda: self.spawn(self._mend()))

    async def _mend(self) -> None:
        """Read what is missing in every feed that has a hole, once for all sockets."""
        wanted = {}
        for conversation_id in self.healing:
            feed = self.feeds.get(conversation_id)
            if feed is not None and feed.has_hole:
                wanted[conversation_id] = feed.head
        self.healing.clear()
        if not wanted:
            return
        try:
            found = await database.run(catchup.holes, wanted)
        except Exception as error:
            log.warning("hub.mend_failed", error=repr(error))
            self.loop.call_later(1.0, self._mend_all)
            return
        for conversation_id, missing in found.items():
            feed = self.feeds.get(conversation_id)
            if feed is None:
                continue
            if missing:
                HOLES_MENDED.inc()
                feed.receive(missing)
                self.mend_if_needed(feed)
            else:  # announced, and yet not there: a wake that came from nobody's commit
                feed.wanted = feed.head
                feed.pending.clear()
            self._forget_if_empty(feed)

    def _mend_all(self) -> None:
        for feed in list(self.feeds.values()):
            self.mend_if_needed(feed)

    # --- The sweep ---

    def sweep_soon(self) -> None:
        """Something may have been lost: look at once, and again when what was under way has settled."""
        self.sweep_now.set()
        self.loop.call_later(1.0, self.sweep_now.set)

    async def _sweep(self) -> None:
        while True:
            degraded = self.layer is not None and self.layer.broken
            pause = min(5, settings.CHAT_SWEEP_SECONDS) if degraded else settings.CHAT_SWEEP_SECONDS
            try:
                async with asyncio.timeout(pause * random.uniform(1.0, 1.3)):  # noqa: S311
                    await self.sweep_now.wait()
            except TimeoutError:
                pass
            self.sweep_now.clear()
            try:
                await self.sweep()
            except Exception as error:
                log.warning("hub.sweep_failed", error=repr(error))

    async def sweep(self) -> None:
        """Compare everything followed with the database: heads, sessions, memberships, presence."""
        started = timezone.now()
        users = list(self.by_user)
        joined = await database.run(catchup.joined_since, users, self.swept_at - JOINED_OVERLAP)
        for user_id, place in joined:
            for socket in list(self.by_user.get(user_id, ())):
                if socket.is_joined and self.feeds.get(place.conversation_id) not in socket.feeds:
                    socket.enqueue(functools.partial(resume.bring_in, self, socket, place))
        found = await database.run(catchup.heads, list(self.feeds))
        for conversation_id, head in found.items():
            feed = self.feeds.get(conversation_id)
            if feed is not None:
                feed.wanted = max(feed.wanted, head)
                feed.forget_old()
                self.mend_if_needed(feed)
        over = await database.run(catchup.over, [socket.session_id for socket in self.sockets.values()])
        for socket in list(self.sockets.values()):
            if socket.session_id in over:
                socket.close(Close.ACCOUNT_DISABLED if over[socket.session_id] else Close.SESSION_REVOKED)
        self.swept_at = started
        self.presence.check_all()

    # --- The clock ---

    async def _tick(self) -> None:
        """Do once a second what depends on time alone; one loop over the sockets instead of timers in each."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now, at = time.monotonic(), timezone.now()
            for socket in list(self.sockets.values()):
                if socket.is_joined:  # nothing comes before `hello`
                    self._check_times(socket, now, at)
            self.presence.tick(now)

    def _check_times(self, socket: Socket, now: float, at: Any) -> None:
        left = (socket.token_expires_at - at).total_seconds()
        if left <= -settings.JWT_LEEWAY:
            socket.close(Close.TOKEN_NOT_VALID)
        elif 0 < settings.CHAT_TOKEN_EXPIRING >= left and not socket.warned:
            socket.warned = True
            socket.send(outgoing.TokenExpiringFrame(in_s=max(0, int(left))))
        patience = settings.CHAT_HEARTBEAT_TIMEOUT
        if patience and socket.pings and now - socket.last_frame_at > patience:
            socket.close(Close.HEARTBEAT_TIMEOUT)
        if now >= socket.max_age_at:
            socket.close(Close.MAX_AGE)
        if socket.typing:
            self.typing.expire(socket, now)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(presence.BEAT_SECONDS)
            try:
                await database.run(_beat, [(socket.sid, socket.connection_id) for socket in self.sockets.values()])
            except Exception as error:
                log.warning("hub.beat_failed", error=repr(error))

    # --- Told to the other processes ---

    def tell_others(self, group: str, message: dict[str, Any]) -> None:
        if self.layer is not None:
            self.layer.publish(group, message)

    # --- Sessions end ---

    def _end_sessions(self, sids: Iterable[uuid.UUID], reason: str) -> None:
        gone = reason in {"account_disabled", "account_closed"}
        for sid in sids:
            for socket in list(self.by_sid.get(sid, ())):
                socket.close(Close.ACCOUNT_DISABLED if gone else Close.SESSION_REVOKED)

    def end_sessions(self, sids: list[uuid.UUID], reason: str) -> None:
        self._end_sessions(sids, reason)
        self.tell_others(layer.ALL, {"k": "revoked", "s": [str(sid) for sid in sids], "reason": reason})

    def _suspend(self, user_id: int) -> None:
        for socket in list(self.by_user.get(user_id, ())):
            socket.close(Close.ACCOUNT_DISABLED)

    def suspend(self, user_id: int) -> None:
        self._suspend(user_id)
        self.tell_others(layer.ALL, {"k": "suspended", "u": user_id})

    def _supersede(self, connection_ids: Iterable[str]) -> None:
        for connection_id in connection_ids:
            if socket := self.sockets.get(connection_id):
                socket.close(Close.SUPERSEDED)

    def supersede(self, connection_ids: list[str]) -> None:
        self._supersede(connection_ids)
        self.tell_others(layer.ALL, {"k": "superseded", "c": connection_ids})


def _to_wire(published: Published) -> list[Any]:
    last = published.events[-1].seq
    fits = sum(len(event.raw) for event in published.events) <= INLINE_BYTES
    told = [[event.seq, event.kind, event.raw, event.member_id] for event in published.events] if fits else []
    return [published.conversation_id, published.conversation_uuid.bytes, told, last]


def _note(recent: OrderedDict[int, Any], key: int, value: Any) -> None:
    recent[key] = value
    recent.move_to_end(key)
    if len(recent) > PASSING:
        recent.popitem(last=False)


# --- On a database thread ---------------------------------------------------------------------------------------------


def _closed(user_id: int, sid: uuid.UUID, connection_id: str) -> None:
    presence.closed(presence.Entry(user_id, sid, connection_id, 0.0))
    session_sockets.closed(sid, connection_id)


def _beat(connections: list[tuple[uuid.UUID, str]]) -> None:
    presence.beat()
    session_sockets.beat(connections)


# --- From any thread --------------------------------------------------------------------------------------------------

_current: Hub | None = None


def current() -> Hub:
    """Return the hub of the running loop; the first call in a loop starts it."""
    global _current
    loop = asyncio.get_running_loop()
    if _current is None or _current.loop is not loop:
        _current = Hub(loop)
        _current.start()
    return _current


async def start() -> None:
    """Start with the server, so that what is committed over REST is heard from the beginning."""
    hub = current()
    try:
        hub.epoch = await database.run(events.epoch)
    except Exception as error:  # the database is away: sockets are refused until it is back, which is theirs to say
        log.warning("hub.epoch_unknown", error=repr(error))


async def drain() -> None:
    if _current is not None:
        await _current.drain()


async def stop() -> None:
    global _current
    if _current is not None:
        hub, _current = _current, None
        await hub.stop()


def _on_loop(work: Callable[[Hub], None], group: str = "", message: dict[str, Any] | None = None) -> None:
    """Let the hub of this process do it; a process without one (a command, the task worker) tells the layer."""
    hub = _current
    if hub is not None and hub.loop.is_running():
        try:
            hub.loop.call_soon_threadsafe(work, hub)
            return
        except RuntimeError:
            log.debug("hub.loop_closed")
    if message is not None:
        _tell_without_hub(group, message)


def _tell_without_hub(group: str, message: dict[str, Any]) -> None:
    if layer.is_needed():
        try:
            async_to_sync(_send_once)(group, {"type": "hub", "o": "", **message})
        except Exception as error:  # the others sweep
            log.warning("hub.tell_failed", error=repr(error))


async def _send_once(group: str, message: dict[str, Any]) -> None:
    async with asyncio.timeout(layer.TIMEOUT_SECONDS):
        await get_channel_layer().group_send(group, message)


def publish(batch: list[Published]) -> None:
    """Hand committed events to everybody's sockets. Never raises."""
    if _current is not None:
        _on_loop(lambda hub: hub.publish(batch))
        return
    for published in batch:
        joined = any(event.kind == "member.joined" for event in published.events)
        group = layer.ALL if joined else group_of(published.conversation_id)
        _tell_without_hub(group, {"k": "events", "b": [_to_wire(published)]})


def tell_receipt(receipt: Receipt) -> None:
    """Show the members how far somebody has read, if they share it; their own devices in any case."""
    _on_loop(lambda hub: hub.receipts.show(receipt))


def tell_revoked(*, sids: list[uuid.UUID], user_id: int, reason: str, **kwargs: Any) -> None:
    """Close every socket of these sessions, on every process."""
    _on_loop(
        lambda hub: hub.end_sessions(sids, reason),
        layer.ALL,
        {"k": "revoked", "s": [str(sid) for sid in sids], "reason": reason},
    )


def tell_suspended(*, user_id: int, **kwargs: Any) -> None:
    """Close every socket of a disabled account."""
    _on_loop(lambda hub: hub.suspend(user_id), layer.ALL, {"k": "suspended", "u": user_id})


def tell_presence(user_ids: Iterable[int]) -> None:
    """Show the presence of these people anew to whoever follows it: what they share, or with whom, has changed."""
    wanted = list(user_ids)

    _on_loop(lambda hub: hub.presence.check(wanted), layer.ALL, {"k": "presence", "u": wanted, "r": True})


def close_of(error: TokenNotValid) -> Close:
    """Return the close code for a token that does not count."""
    match error.reason:
        case "session_revoked" | "session_expired":
            return Close.SESSION_REVOKED
        case "user_inactive":
            return Close.ACCOUNT_DISABLED
        case _:
            return Close.TOKEN_NOT_VALID
