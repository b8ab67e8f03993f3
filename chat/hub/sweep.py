"""Repair of feeds: events that the layer lost are read from the database, once for all sockets."""

import asyncio
import functools
import random
from collections.abc import Callable
from datetime import timedelta

import structlog
from django.conf import settings

from chat import database
from chat.hub import resume
from chat.hub.feed import Feed
from chat.hub.hub import Hub
from chat.log import catchup
from chat.protocol.close_codes import Close
from common import outages, shared_clock
from common.metrics import HOLES_MENDED

log = structlog.get_logger(__name__)

SESSIONS_SECONDS = 1.0
REORDER_SECONDS = 0.05  # an early event may only have overtaken the others
JOINED_OVERLAP = timedelta(seconds=30)


class Sweep:
    """Repairs a feed soon after it detects a gap, and compares all with the database every `CHAT_SWEEP_SECONDS`.

    `is_degraded`: whether the layer is down, so that only the sweep delivers. `check_presence`: check watched users.
    """

    def __init__(self, hub: Hub, *, is_degraded: Callable[[], bool], check_presence: Callable[[], None]) -> None:
        self.hub, self.is_degraded, self.check_presence = hub, is_degraded, check_presence
        self.mending: set[int] = set()
        self.due = asyncio.Event()
        self.swept_at = shared_clock.now()

    def mend_if_needed(self, feed: Feed) -> None:
        if feed.has_hole and feed.id not in self.mending:
            self.mending.add(feed.id)
            self.hub.loop.call_later(REORDER_SECONDS, lambda: self.hub.spawn(self._mend()))

    async def _mend(self) -> None:
        """Read the missing events of every feed with a gap, once for all sockets."""
        wanted = {}
        for conversation_id in self.mending:
            feed = self.hub.feeds.get(conversation_id)
            if feed is not None and feed.has_hole:
                wanted[conversation_id] = feed.head
        self.mending.clear()
        if not wanted:
            return
        try:
            found = await database.run(catchup.holes, wanted)
        except Exception as error:
            outages.note("hub.mend_failed", error)
            self.hub.loop.call_later(1.0, self._mend_all)
            return
        for conversation_id, missing in found.items():
            feed = self.hub.feeds.get(conversation_id)
            if feed is None:
                continue
            if missing.events:
                HOLES_MENDED.inc()
                feed.receive(missing.events, cut=missing.cut)
                self.mend_if_needed(feed)
            else:  # announced but not in the database: no such commit
                feed.wanted = feed.head
                feed.pending.clear()
            self.hub.forget_if_empty(feed)

    def _mend_all(self) -> None:
        for feed in list(self.hub.feeds.values()):
            self.mend_if_needed(feed)

    def soon(self) -> None:
        """Sweep now, and again after messages in flight have arrived."""
        self.due.set()
        self.hub.loop.call_later(1.0, self.due.set)

    async def keep_sweeping(self) -> None:
        while True:
            degraded = self.is_degraded()
            pause = min(5, settings.CHAT_SWEEP_SECONDS) if degraded else settings.CHAT_SWEEP_SECONDS
            try:
                async with asyncio.timeout(pause * random.uniform(1.0, 1.3)):  # noqa: S311
                    await self.due.wait()
            except TimeoutError:
                pass
            self.due.clear()
            try:
                await self.sweep()
            except Exception as error:
                outages.note("hub.sweep_failed", error)

    async def sweep(self) -> None:
        """Compare all followed conversations with the database: sessions, memberships, heads, presence."""
        started = shared_clock.now()
        await self.check_sessions()
        users = list(self.hub.by_user)
        joined = await database.run(catchup.joined_since, users, self.swept_at - JOINED_OVERLAP)
        for user_id, place in joined:
            for socket in list(self.hub.by_user.get(user_id, ())):
                if socket.is_joined and self.hub.feeds.get(place.conversation_id) not in socket.feeds:
                    socket.enqueue(functools.partial(resume.bring_in, self.hub, socket, place))
        found = await database.run(catchup.heads, list(self.hub.feeds))
        for conversation_id, head in found.items():
            feed = self.hub.feeds.get(conversation_id)
            if feed is not None:
                feed.wanted = max(feed.wanted, head)
                feed.forget_old()
                self.mend_if_needed(feed)
        self.swept_at = started
        self.check_presence()

    async def check_sessions(self) -> None:
        """Close the sockets whose session has ended."""
        over = await database.run(catchup.over, [socket.session_id for socket in self.hub.sockets.values()])
        for socket in list(self.hub.sockets.values()):
            if socket.session_id in over:
                socket.close(Close.ACCOUNT_DISABLED if over[socket.session_id] else Close.SESSION_REVOKED)

    async def keep_checking_sessions(self) -> None:
        """While the layer delivers no revocations, poll the database for them, within 3 s in total."""
        while True:
            await asyncio.sleep(SESSIONS_SECONDS)
            if self.hub.sockets and self.is_degraded():
                try:
                    await self.check_sessions()
                except Exception as error:
                    outages.note("hub.sweep_failed", error)
