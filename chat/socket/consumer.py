"""WebSocket consumer: handshake, reading and dispatching of frames, closing. No exception reaches the server.

It replaces Channels' `dispatch`, which switches to a thread for every event to close database connections and costs
more than the event itself.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from channels.consumer import AsyncConsumer
from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _

from chat.hub import tell
from chat.hub.admission import ClientGone
from chat.hub.connection import Socket
from chat.hub.endings import close_of
from chat.hub.opening import Knock, Opened
from chat.hub.process import Process
from chat.hub.send_window import Frame, Window
from chat.protocol import incoming, outgoing
from chat.protocol.close_codes import Close
from chat.protocol.incoming import FrameRefused
from chat.protocol.outgoing import HelloFrame, Limits
from chat.socket import handlers, handshake
from common import handshakes, shared_clock
from common.errors import NotFound, TemporarilyUnavailable, TokenNotValid, from_exception
from common.json import isoformat

log = structlog.get_logger(__name__)

FLOOD_WAIT_MS = 10_000
FLOOD_REFUSALS = 5  # or a twentieth of the limit: a client that keeps sending after so many refusals is closed
HANDSHAKE_SECONDS = 4.0  # from its admission; daphne gives up 5 s after the request


class ChatConsumer(AsyncConsumer):
    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        await receive()  # websocket.connect
        if handshake.is_refused(scope):
            await send({"type": "websocket.close"})  # before accept: the server answers HTTP 403
            return
        socket = Socket(Window(send), language=handshake.language_of(scope))
        here = tell.current()
        try:
            is_open = await self._open(scope, here, socket, send)
            scope["headers"].clear()  # a socket lives for hours; do not keep the token and the other headers
            scope["subprotocols"].clear()
            if is_open:
                await self._read(here, socket, receive)
            else:
                await self._until_gone(receive)
        except Exception as error:
            if isinstance(error, OSError) or type(error).__name__ == "ClientDisconnected":  # gone before `hello`
                return
            log.exception("socket.failed", user_id=socket.user_id or None)
            socket.close(Close.INTERNAL)
            await self._until_gone(receive)
        finally:
            here.leave(socket)

    async def _open(self, scope: dict[str, Any], here: Process, socket: Socket, send: Callable[[Any], Any]) -> bool:
        """Accept and send `hello`, or accept, send `error` and close. Never selects the token as subprotocol."""
        default = scope.get("url_route", {}).get("kwargs", {}).get("conversation_uuid")
        token = handshake.token_of(scope)
        opened: Opened | None = None
        failure = TemporarilyUnavailable() if here.draining else await here.gate.enter(send)
        if isinstance(failure, ClientGone):
            return False
        if failure is None:
            try:
                opened = await _opened(here, token, socket.connection_id, default)
            except Exception as error:  # no cycle with this frame
                failure = error if from_exception(error) is None else error.with_traceback(None)
            finally:
                here.gate.leave()
        if opened is not None:
            here.count(socket, opened.authenticated)
        elif isinstance(failure, TokenNotValid) and (throttled := await handshakes.count_refused(scope)):
            await handshakes.refuse(throttled, scope, send)
            return False
        await send({"type": "websocket.accept", "subprotocol": handshake.SUBPROTOCOL})
        if opened is None:
            assert failure is not None  # noqa: S101
            _refuse(here, socket, failure)
            return False
        socket.opened_at = socket.last_frame_at = time.monotonic()
        if settings.CHAT_MAX_AGE:
            socket.max_age_at = socket.opened_at + settings.CHAT_MAX_AGE * random.uniform(1.0, 1.1)  # noqa: S311
        here.epoch = opened.epoch
        try:
            await here.hub.join(socket, opened.places, read_at=opened.read_at)
        except Exception as error:
            _refuse(here, socket, error)
            return False
        if opened.superseded:
            here.endings.supersede(opened.superseded)
        _greet(socket, opened)
        if not opened.default_is_mine:
            socket.refuse(NotFound())
        else:
            socket.conversation_uuid = default
        return True

    async def _read(self, here: Process, socket: Socket, receive: Callable[[], Awaitable[Any]]) -> None:
        socket.window.on_control(lambda: _is_too_much(socket))
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                return
            if event["type"] != "websocket.receive" or not socket.is_open:
                continue
            text = event.get("text")
            with translation.override(socket.language):
                if text is None:
                    socket.close(Close.BAD_FRAME)
                else:
                    _take(here, socket, text)

    async def _until_gone(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """Wait for the disconnect; frames that still arrive are ignored."""
        while (await receive())["type"] != "websocket.disconnect":
            pass


async def _opened(here: Process, token: str, connection_id: str, default: Any) -> Opened:
    """Open the socket within the handshake's time limit. Raises TokenNotValid, TemporarilyUnavailable."""
    asked = here.openings.ask(Knock(token, connection_id, default))
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            return await asked
    except TimeoutError:
        if asked.done() and not asked.cancelled() and asked.exception() is None:  # both in one turn: it is counted
            return asked.result()
        raise TemporarilyUnavailable from None
    finally:
        del asked  # it holds the error, the error this frame: a cycle for each refused handshake


def _is_too_much(socket: Socket) -> bool:
    """Count one frame; return True after refusing it (and closing a client that keeps sending) over the limit."""
    socket.last_frame_at = time.monotonic()
    wait_s = socket.frames.take(socket.last_frame_at)
    if wait_s is None:
        return False
    if socket.frames.over > max(FLOOD_REFUSALS, socket.frames.limit // 20):
        socket.close(Close.THROTTLED, reconnect_in_ms=FLOOD_WAIT_MS)
    else:
        with translation.override(socket.language):
            socket.send(handlers.throttled(_("Too many frames."), ref=None, wait_s=wait_s))
    return True


def _take(here: Process, socket: Socket, text: str) -> None:
    """Parse and dispatch one frame, or answer with `error`."""
    if _is_too_much(socket):
        return
    ref = client_msg_id = None
    try:
        if (
            len(text) > settings.CHAT_FRAME_BYTES
            or len(text.encode("utf-8", "surrogatepass")) > settings.CHAT_FRAME_BYTES
        ):
            raise FrameRefused("too_long", _("The frame is too long."), bad=True)
        frame = incoming.parse(text)
        ref, client_msg_id = frame.ref, getattr(frame, "client_msg_id", None)
        handlers.handle(here, socket, frame)
    except FrameRefused as refusal:
        socket.refuse(refusal)
        if refusal.bad:
            socket.bad_frames.take()
            if socket.bad_frames.is_full:
                socket.close(Close.BAD_FRAME)
    except Exception as error:
        if from_exception(error) is None:
            log.exception("socket.frame_failed", user_id=socket.user_id)
        socket.refuse(error, ref=ref, client_msg_id=None if client_msg_id is None else str(client_msg_id))


def _greet(socket: Socket, opened: Opened) -> None:
    known = opened.authenticated
    hello = HelloFrame(
        v=outgoing.VERSION,
        connection_id=socket.connection_id,
        session_id=socket.sid,
        user_id=socket.user_id,
        epoch=opened.epoch,
        server_time=isoformat(shared_clock.now()),
        heartbeat_interval_ms=settings.CHAT_HEARTBEAT_MS,
        token_expires_at=isoformat(socket.token_expires_at),
        auth_time=isoformat(known.auth_time or shared_clock.now()),
        amr=list(known.amr),
        limits=Limits(
            frame_bytes=settings.CHAT_FRAME_BYTES,
            content_chars=settings.CHAT_CONTENT_CHARS,
            messages_per_10s=settings.CHAT_MESSAGES_PER_10S,
        ),
    )
    socket.send(hello)


def _refuse(here: Process, socket: Socket, failure: Exception) -> None:
    """Send `error`, then close with its code: a refused handshake gets no `bye`."""
    if isinstance(failure, TokenNotValid):
        close = close_of(failure)
    elif here.draining:
        close = Close.SERVER_DRAIN
    elif from_exception(failure) is not None:
        close = Close.TEMPORARILY_UNAVAILABLE
    else:
        log.error("socket.handshake_failed", exc_info=failure)
        close = Close.INTERNAL
    with translation.override(socket.language):
        told = outgoing.error_of(failure)
    socket.window.write(Frame(told.encode()))
    socket.closed_code = int(close)
    socket.window.close(int(close), None)
