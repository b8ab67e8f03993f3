"""Timed work of the sockets of one process: token ends, silence, maximum age, and the beats of presence."""

import asyncio
import time
import uuid
from typing import Any

import structlog
from django.conf import settings
from django.utils import timezone

from chat import database
from chat.hub import presence
from chat.hub.connection import Socket
from chat.hub.hub import Hub
from chat.hub.presence_board import PresenceBoard
from chat.protocol.close_codes import Close
from chat.protocol.outgoing import TokenExpiringFrame
from common import outages
from sessions import sockets as session_sockets

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0


class Clock:
    def __init__(self, hub: Hub, *, presence_board: PresenceBoard) -> None:
        self.hub, self.presence = hub, presence_board

    async def tick(self) -> None:
        """Do once a second what depends on time alone; one loop over the sockets instead of timers in each."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now, at = time.monotonic(), timezone.now()
            for socket in list(self.hub.sockets.values()):
                if socket.is_joined:  # nothing comes before `hello`
                    self.check_times(socket, now, at)
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
        """Keep the process and its sockets counted as alive."""
        while True:
            await asyncio.sleep(presence.BEAT_SECONDS)
            try:
                await database.run(_beat, [(socket.sid, socket.connection_id) for socket in self.hub.sockets.values()])
            except Exception as error:
                outages.note("hub.beat_failed", error)


def _beat(connections: list[tuple[uuid.UUID, str]]) -> None:
    presence.beat()
    session_sockets.beat(connections)
