"""The delivery parts of one server process and their owner: hub, layer, writer, sweep, clock.

It lives as long as the event loop. `chat.hub.tell` has the instance of this process.
"""

import asyncio
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import structlog
from django.conf import settings

from chat import database
from chat.hub import admission, layer, messages, opening
from chat.hub.clock import Clock
from chat.hub.connection import Socket
from chat.hub.endings import Endings
from chat.hub.ephemeral import Receipts, Typing
from chat.hub.feed import Feed
from chat.hub.hub import Hub
from chat.hub.layer import group_of
from chat.hub.messages import Batch, Message
from chat.hub.opening import Knock, Opened
from chat.hub.presence import Entry
from chat.hub.presence_board import PresenceBoard
from chat.hub.sweep import Sweep
from chat.hub.together import Together
from chat.hub.writer import Writer
from chat.log.published import Published
from chat.protocol.close_codes import Close
from common import lifespan, tracing
from sessions.authentication import Authenticated

log = structlog.get_logger(__name__)

# While draining: time per socket, the total as a share of DRAIN_SECONDS, and when clients should reconnect.
DRAIN_SECONDS_A_SOCKET, DRAIN_SHARE, RECONNECT_MS = 0.01, 0.7, (100, 1_000)
CLOSINGS = 250  # sockets that leave are taken off the counts so many at once: nobody waits for it


class Process:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.name = uuid.uuid4().hex[:12]
        self.epoch = ""
        self.draining = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self.loops: list[asyncio.Task[None]] = []  # background tasks
        self.writer = Writer(loop)
        self.gate = admission.make(loop)
        self.openings: Together[Knock, Opened] = Together(opening.open_all, self.spawn, late=self._opened_late)
        self.closings: Together[Entry, None] = Together(opening.close_all, self.spawn, at_most=CLOSINGS)
        self.layer = layer.Layer(self.name, self.on_message, self.sweep_soon) if layer.is_needed() else None
        self.hub = Hub(loop, layer=self.layer, watcher=self)
        self.receipts = Receipts(loop, self.hub.feeds, self.tell_others)
        self.typing = Typing(loop, self.hub.feeds, self.tell_others)
        self.presence = PresenceBoard(self.spawn, self.tell_others)
        self.endings = Endings(self.hub, self.tell_others)
        self.clock = Clock(self.hub, presence_board=self.presence)
        self.sweep = Sweep(self.hub, is_degraded=self._is_degraded, check_presence=self.presence.check_all)

    # --- Its life ---

    def start(self) -> None:
        if self.layer is not None:
            self.layer.start()
        lives = (self.clock.tick(), self.sweep.keep_sweeping(), self.sweep.keep_checking_sessions(), self.clock.beat())
        self.loops = [self.loop.create_task(work) for work in lives]

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
        if self.tasks:  # sockets that are being removed from the counts
            await asyncio.wait(list(self.tasks), timeout=2)
        await lifespan.end([*self.loops, *self.tasks])
        if self.layer is not None:
            await self.layer.stop()
        database.close()

    async def drain(self) -> None:
        """Close every socket with `bye`, spread over at most `DRAIN_SECONDS`, and wait until it is sent.

        Sockets that are still open are served meanwhile. Each is asked to reconnect a moment after its `bye`, so that
        they reach the other processes one after another.
        """
        self.draining = True
        self.gate.close()
        sockets = list(self.hub.sockets.values())
        random.shuffle(sockets)
        spread_s = min(DRAIN_SHARE * settings.DRAIN_SECONDS, DRAIN_SECONDS_A_SOCKET * len(sockets))
        started = self.loop.time()
        for place, socket in enumerate(sockets):
            wait = started + spread_s * place / len(sockets) - self.loop.time()
            if wait > 0 or place % 200 == 199:
                await asyncio.sleep(max(0.0, wait))
            socket.close(Close.SERVER_DRAIN, reconnect_in_ms=random.randrange(*RECONNECT_MS))  # noqa: S311
        if sockets:  # this process cannot report those who do not reconnect
            self.tell_others(layer.ALL, messages.ProcessLeft(u=sorted({socket.user_id for socket in sockets})))
        deadline = time.monotonic() + 1.5
        while any(not socket.window.is_idle for socket in sockets) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for socket in sockets:
            if not socket.window.is_idle:
                socket.window.abort()

    def _is_degraded(self) -> bool:
        return self.layer is not None and self.layer.broken

    def sweep_soon(self) -> None:
        """Request a sweep: the layer may have lost messages."""
        self.sweep.soon()

    # --- The counts of open sockets ---

    def count(self, socket: Socket, known: Authenticated) -> None:
        """Record the socket's user; from now on `leave` removes it from the counts of open sockets."""
        socket.user_id, socket.sid, socket.session_id = known.user_id, known.sid, known.session_id
        socket.token_expires_at = known.token_expires_at

    def _opened_late(self, knock: Knock, opened: Opened) -> None:
        """Take off the counts a socket that opened when nobody waited for it any more."""
        known = opened.authenticated
        self.closings.tell(Entry(known.user_id, known.sid, knock.connection_id, 0.0))

    def leave(self, socket: Socket) -> None:
        """Unregister the socket, here and in the counts."""
        socket.lost()
        if socket.user_id:
            self.closings.tell(Entry(socket.user_id, socket.sid, socket.connection_id, 0.0))
        self.hub.leave(socket)

    # --- The hub's watcher ---

    def hole_seen(self, feed: Feed) -> None:
        self.sweep.mend_if_needed(feed)

    def user_arrived(self, user_id: int) -> None:
        self.presence.arrived(user_id)

    def user_left(self, user_id: int) -> None:
        self.presence.left(user_id)

    def socket_joined(self, socket: Socket) -> None:
        self.clock.watch(socket)

    def socket_left(self, socket: Socket) -> None:
        self.typing.stop_all(socket)
        self.presence.watch(socket, frozenset())

    # --- Events and messages, out and in ---

    def publish(self, batch: list[Published]) -> None:
        """Deliver committed events: to the local sockets directly, to the other processes by the layer."""
        for published in batch:
            self._fan_out(published)
        if self.layer is not None:
            self._publish_to_others(batch)

    def _publish_to_others(self, batch: list[Published]) -> None:
        by_group: dict[str, list[Batch]] = defaultdict(list)
        for published in batch:
            told = messages.batch_of(published)
            by_group[group_of(published.conversation_id)].append(told)
            if any(event.kind == "member.joined" for event in published.events):
                by_group[layer.ALL].append(told)  # a joining user may have a socket on any process
        for group, batches in by_group.items():
            self.tell_others(group, messages.Events(b=batches))

    def tell_others(self, group: str, message: Message) -> None:
        if self.layer is not None:
            self.layer.publish(group, message)

    def on_message(self, wire: dict[str, Any]) -> None:
        """Handle a message of another process; unknown ones are ignored."""
        match messages.from_wire(wire):
            case messages.Events(b=batches):
                for batch in batches:
                    self._receive(batch)
            case messages.ReceiptMoved() as moved:
                self.receipts.show_here(moved.receipt)
            case messages.TypingChanged(c=conversation_id, u=user_id, a=active):
                self.typing.show_here(conversation_id, user_id, active)
            case messages.PresenceChanged(u=user_ids, r=recheck):
                self.presence.moved(user_ids, recheck=recheck)
            case messages.ProcessLeft(u=user_ids):
                for user_id in user_ids:
                    if user_id not in self.hub.by_user:
                        self.presence.left(user_id)
            case messages.SessionsRevoked(s=sids, reason=reason):
                self.endings.end_sessions_here([uuid.UUID(sid) for sid in sids], reason)
            case messages.UserSuspended(u=user_id):
                self.endings.suspend_here(user_id)
            case messages.SocketsSuperseded(c=connection_ids):
                self.endings.supersede_here(connection_ids)
            case messages.Dropped():
                self.sweep_soon()

    def _fan_out(self, published: Published) -> None:
        if tracing.tracer is None:
            self.hub.receive(published)
            return
        seqs = published.events[0].seq, published.events[-1].seq
        with tracing.fan_out_span(published.conversation_uuid, *seqs):
            self.hub.receive(published)

    def _receive(self, batch: Batch) -> None:
        if batch.events:
            name = uuid.UUID(bytes=batch.name)
            self._fan_out(Published(batch.conversation_id, name, tuple(batch.events)))
        else:
            self.hub.announce(batch.conversation_id, batch.last_seq)
