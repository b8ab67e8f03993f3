"""Timed work for the sockets of one process: token expiry, idle timeout, maximum age, and presence heartbeats."""

import asyncio
import heapq
import itertools
import time
import uuid
from typing import Any

import structlog
from django.conf import settings

from chat import database
from chat.hub import presence
from chat.hub.connection import Socket
from chat.hub.hub import Hub
from chat.hub.presence_board import PresenceBoard
from chat.protocol.close_codes import Close
from chat.protocol.outgoing import TokenExpiringFrame
from common import outages, shared_clock
from common.metrics import SOCKETS
from sessions.places import sockets as session_sockets

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
LOOK_SECONDS = 60.0  # every socket is checked at least this often


class Clock:
    def __init__(self, hub: Hub, *, presence_board: PresenceBoard) -> None:
        self.hub, self.presence = hub, presence_board
        self.due: list[tuple[float, int, Socket]] = []  # a heap by time
        self.order = itertools.count()

    def watch(self, socket: Socket) -> None:
        """Schedule the checks of a socket, from its `hello` on."""
        self._schedule(socket, time.monotonic(), shared_clock.now())

    def _schedule(self, socket: Socket, now: float, at: Any) -> None:
        heapq.heappush(self.due, (self._next_due(socket, now, at), next(self.order), socket))

    def _next_due(self, socket: Socket, now: float, at: Any) -> float:
        """Return the time of the next check; deadlines that are far away are checked once per idle timeout."""
        left = (socket.token_expires_at - at).total_seconds()
        is_to_warn = settings.CHAT_TOKEN_EXPIRING and not socket.warned
        token = now + left + (-settings.CHAT_TOKEN_EXPIRING if is_to_warn else settings.JWT_LEEWAY)
        patience = settings.CHAT_HEARTBEAT_TIMEOUT or LOOK_SECONDS
        silence = (socket.last_frame_at if socket.pings else now) + patience
        return max(now, min(token, silence, socket.max_age_at, now + LOOK_SECONDS))

    async def tick(self) -> None:
        """Run the due checks, once a second: an idle socket costs only its entry in the heap."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now, at = time.monotonic(), shared_clock.now()
            SOCKETS.set(len(self.hub.sockets))
            while self.due and self.due[0][0] <= now:
                socket = heapq.heappop(self.due)[2]
                if socket.connection_id in self.hub.sockets and socket.is_open:
                    self.check_times(socket, now, at)
                    self._schedule(socket, now, at)
            self.presence.tick(now)

    def check_times(self, socket: Socket, now: float, at: Any) -> None:
        left = (socket.token_expires_at - at).total_seconds()
        if left <= -settings.JWT_LEEWAY:
            socket.close(Close.TOKEN_NOT_VALID)
        elif 0 < settings.CHAT_TOKEN_EXPIRING >= left and not socket.warned:
            socket.warned = True
            socket.send(TokenExpiringFrame(in_s=max(0, int(left))))
        patience = settings.CHAT_HEARTBEAT_TIMEOUT
        if patience and socket.pings and now - socket.last_frame_at > patience:
            socket.close(Close.HEARTBEAT_TIMEOUT)
        if now >= socket.max_age_at:
            socket.close(Close.MAX_AGE)

    async def beat(self) -> None:
        """Renew the lifetimes of this process's sockets in the shared counts."""
        for turn in itertools.count():
            await asyncio.sleep(presence.BEAT_SECONDS)
            try:
                # The counts of the sessions live long enough for every third beat.
                due = [one for one in self.hub.sockets.values() if int(one.opened_at) % 3 == turn % 3]
                await database.run(_beat, [(socket.sid, socket.connection_id) for socket in due])
            except Exception as error:
                outages.note("hub.beat_failed", error)


def _beat(connections: list[tuple[uuid.UUID, str]]) -> None:
    presence.beat()
    session_sockets.beat(connections)
