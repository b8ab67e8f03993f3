"""State of one open socket: user and session, followed feeds, quotas, and its queue of pending work."""

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.utils import translation

from chat.hub.quota import Quota
from chat.hub.send_window import Frame, Window
from chat.protocol import outgoing
from chat.protocol.close_codes import Close
from chat.protocol.outgoing import ByeFrame, Outgoing
from common import shared_clock
from common.metrics import SOCKETS_CLOSED, SOCKETS_SLOW

log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[None]]
WORK_QUEUE = 500


class Socket:
    __slots__ = (
        "bad_frames", "closed_code", "connection_id", "conversation_uuid", "cursors", "feeds", "frames", "hidden",
        "is_joined", "language", "last_frame_at", "max_age_at", "messages", "opened_at", "pings", "said_in",
        "session_id", "sid", "token_expires_at", "typing", "user_id", "warned", "watching", "window", "work", "worker",
    )  # fmt: skip

    def __init__(self, window: Window, *, language: str = "en") -> None:
        self.window = window
        self.connection_id = f"{random.getrandbits(128):032x}"
        self.language = language
        self.user_id = 0
        self.session_id = 0  # the session's row
        self.sid: uuid.UUID = uuid.UUID(int=0)
        self.token_expires_at: datetime = shared_clock.now()
        self.conversation_uuid: uuid.UUID | None = None  # the default conversation
        self.opened_at = self.last_frame_at = time.monotonic()
        self.max_age_at = float("inf")
        self.pings = self.warned = False
        self.is_joined = False  # until then no live event is sent, so that `hello` comes first
        self.closed_code = 0
        # Followed feeds (`Feed`, which imports this module), each with the `seq` that the socket started after.
        self.feeds: dict[Any, int] = {}
        self.cursors: dict[uuid.UUID, int] | None = None  # of a `resume` with `more`
        self.watching: frozenset[int] = frozenset()
        self.hidden: frozenset[int] = frozenset()  # of these: users whose presence this user may not see
        self.said_in: uuid.UUID | None = None  # where a message came after the last frame of typing
        self.typing: dict[int, float] = {}  # in which conversations, and when it was last checked (`time.monotonic`)
        self.messages = Quota(settings.CHAT_MESSAGES_PER_10S, 10)
        self.frames = Quota(settings.CHAT_FRAMES_PER_MINUTE, 60)
        self.bad_frames = Quota(settings.CHAT_BAD_FRAMES_PER_MINUTE, 60)
        self.work: deque[tuple[Work, Any, Any]] | None = None
        self.worker: asyncio.Task[None] | None = None

    # --- Out ---

    @property
    def is_open(self) -> bool:
        return not self.window.closing and not self.window.closed

    def write(self, payload: bytes, *, events: int = 1, droppable: bool = False) -> None:
        """Send a frame to this socket only; a client that is too slow is closed."""
        if not self.window.write(Frame(payload, events=events), droppable=droppable):
            self.close(Close.SLOW_CONSUMER)

    def send(self, frame: Outgoing) -> None:
        self.write(frame.encode())

    def refuse(self, exc: Exception, *, ref: Any = None, client_msg_id: Any = None) -> None:
        """Answer a frame with `error`, in the user's language."""
        with translation.override(self.language):
            self.send(outgoing.error_of(exc, ref=ref, client_msg_id=client_msg_id))

    def close(self, close: Close, *, reconnect_in_ms: int | None = None) -> None:
        """Send `bye` and close; clean-up follows when the server reports the disconnect."""
        if not self.is_open:
            return
        self.closed_code = int(close)
        SOCKETS_CLOSED.labels(int(close)).inc()
        if close is Close.SLOW_CONSUMER:
            SOCKETS_SLOW.inc()
        bye = ByeFrame(code=close.code, close=int(close), reconnect_in_ms=reconnect_in_ms)
        self.window.close(int(close), Frame(bye.encode(), events=0), discard=close is Close.SLOW_CONSUMER)

    # --- Work, in the order of its frames ---

    def enqueue(self, work: Work, *, ref: Any = None, client_msg_id: Any = None) -> bool:
        """Queue `work` behind earlier work; its exceptions are answered by `error`. False: the queue is full."""
        if self.work is None:
            self.work = deque()
        if len(self.work) >= WORK_QUEUE:
            return False
        self.work.append((work, ref, client_msg_id))
        if self.worker is None:
            self.worker = asyncio.get_running_loop().create_task(self._work())
        return True

    async def _work(self) -> None:
        try:
            while self.work and self.is_open:
                work, ref, client_msg_id = self.work.popleft()
                try:
                    await work()
                except Exception as error:
                    if outgoing.error_of(error).code == "internal":
                        log.exception("socket.work_failed", user_id=self.user_id)
                    if self.is_open:
                        self.refuse(error, ref=ref, client_msg_id=client_msg_id)
        finally:
            self.work = self.worker = None

    def lost(self) -> None:
        """Stop sending: the client is disconnected."""
        self.window.lost()
        if self.worker is not None:
            self.worker.cancel()
