"""Handlers for each frame of a client: read the frame, call one service, send the response.

Database work is enqueued on the socket and runs on a database thread, in the order of the socket's frames; messages go
to the writer; `ping` is answered at once.
"""

import functools
import math
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from chat import database
from chat.hub import resume
from chat.hub.connection import Socket
from chat.hub.endings import close_of
from chat.hub.process import Process
from chat.protocol.close_codes import Close
from chat.protocol.incoming import (
    AuthenticateFrame,
    DeleteFrame,
    EditFrame,
    FrameRefused,
    Incoming,
    MarkAsSeenFrame,
    MessageFrame,
    PingFrame,
    PresenceFrame,
    ReactFrame,
    ResumeFrame,
    SyncFrame,
    TypingFrame,
)
from chat.protocol.outgoing import AckFrame, AuthenticatedFrame, ErrorFrame, PongFrame, ReceiptFrame
from chat.services import access, blocks, messages, receipts
from chat.services.sending import Outcome, Send, Sent
from common import tracing
from common.errors import ApplicationError, PermissionRefused, TokenNotValid, ValidationFailed
from common.json import isoformat
from sessions.authentication import authenticate

CURSORS = 20_000  # per `resume`, including its `more` frames


def handle(process: Process, socket: Socket, frame: Incoming) -> None:
    """Start handling a frame. Raises errors that are known at once."""
    _HANDLERS[type(frame)](process, socket, frame)


def _later(socket: Socket, frame: Incoming, work: Any, *arguments: Any) -> None:
    if not socket.enqueue(functools.partial(work, *arguments), ref=frame.ref):
        socket.send(throttled(_("Too much is waiting."), ref=frame.ref, wait_s=1.0))


def throttled(detail: str, *, ref: Any, wait_s: float, client_msg_id: Any = None) -> ErrorFrame:
    return ErrorFrame(
        ref=ref,
        client_msg_id=client_msg_id,
        code="throttled",
        detail=detail,
        retryable=True,
        retry_after_ms=max(1, int(wait_s * 1000)),
    )


def _conversation(socket: Socket, given: uuid.UUID | None, frame: Incoming) -> uuid.UUID:
    """Return the frame's conversation or the socket's default. Raises FrameRefused without either."""
    name = given or socket.conversation_uuid
    if name is None:
        raise FrameRefused(
            "conversation_required",
            _("Name the conversation, or open the socket at its path."),
            ref=frame.ref,
            client_msg_id=getattr(frame, "client_msg_id", None),
        )
    return name


def _message(process: Process, socket: Socket, frame: MessageFrame) -> None:
    name = _conversation(socket, frame.conversation_uuid, frame)
    wait_s = socket.messages.take()
    if wait_s is not None:
        refusal = throttled(
            _("Too many messages."), ref=frame.ref, wait_s=wait_s, client_msg_id=_text(frame.client_msg_id)
        )
        socket.send(refusal)
        return
    send = Send(
        user_id=socket.user_id,
        session_id=socket.session_id,
        connection_id=socket.connection_id,
        conversation_uuid=name,
        content=frame.content or "",
        client_msg_id=frame.client_msg_id,
        reply_to=frame.reply_to,
        attachments=tuple(frame.attachments or ()),
    )
    socket.said_in = name
    if socket.typing:
        process.typing.stop_in(socket, name)
    done = functools.partial(_stored, socket, frame)
    process.writer.submit(send, done if tracing.tracer is None else tracing.message_span(name, done))


def _stored(socket: Socket, frame: MessageFrame, outcome: Outcome) -> None:
    if not socket.is_open:
        return
    if isinstance(outcome, Sent):
        ack = AckFrame(
            ref=frame.ref,
            client_msg_id=outcome.client_msg_id,
            message_uuid=outcome.message_uuid,
            conversation_uuid=outcome.conversation_uuid,
            seq=outcome.seq,
            created_at=isoformat(outcome.created_at),
            duplicate=outcome.duplicate,
        )
        socket.send(ack)
        return
    socket.refuse(outcome, ref=frame.ref, client_msg_id=_text(frame.client_msg_id))
    if isinstance(outcome, TokenNotValid):
        socket.close(close_of(outcome))


def _text(client_msg_id: uuid.UUID | None) -> str | None:
    return None if client_msg_id is None else str(client_msg_id)


def _mark_as_seen(process: Process, socket: Socket, frame: MarkAsSeenFrame) -> None:
    name = _conversation(socket, frame.conversation_uuid, frame)
    _later(socket, frame, _seen, socket, name, _seen_here(socket, name, frame), frame)


def _seen_here(socket: Socket, name: uuid.UUID, frame: MarkAsSeenFrame) -> int | None:
    """Return the position to mark: the frame's, else the newest sent on this socket, else None (everything)."""
    if frame.up_to_seq is not None:
        return frame.up_to_seq
    for feed, nothing_sent_up_to in socket.feeds.items():
        if feed.uuid == name:
            follow = feed.behind.get(socket)
            sent = feed.head if follow is None else follow.sent
            return sent if sent > nothing_sent_up_to else None
    return None


async def _seen(socket: Socket, name: uuid.UUID, up_to: int | None, frame: MarkAsSeenFrame) -> None:
    receipt = await database.run(receipts.mark_seen, user_id=socket.user_id, conversation_uuid=name, up_to_seq=up_to)
    if frame.ref is not None or not receipt.moved:  # otherwise the hub sends it to all members' sockets
        answer = ReceiptFrame(
            ref=frame.ref, conversation_uuid=name, user_id=socket.user_id, up_to_seq=receipt.up_to_seq
        )
        socket.send(answer)


def _edit(process: Process, socket: Socket, frame: EditFrame) -> None:
    change = functools.partial(messages.edit, message_uuid=frame.message_uuid, content=frame.content)
    _later(socket, frame, _change, socket, frame, change)


def _delete(process: Process, socket: Socket, frame: DeleteFrame) -> None:
    change = functools.partial(messages.delete, message_uuid=frame.message_uuid)
    _later(socket, frame, _change, socket, frame, change)


def _react(process: Process, socket: Socket, frame: ReactFrame) -> None:
    change = functools.partial(
        messages.react, message_uuid=frame.message_uuid, emoji=frame.emoji, remove=bool(frame.remove)
    )
    _later(socket, frame, _change, socket, frame, change)


async def _change(socket: Socket, frame: Incoming, change: Callable[..., messages.Changed]) -> None:
    try:
        changed = await database.run(change, user_id=socket.user_id, session_id=socket.session_id)
    except TokenNotValid as error:
        socket.refuse(error, ref=frame.ref)
        socket.close(close_of(error))
        return
    ack = AckFrame(
        ref=frame.ref,
        message_uuid=changed.message.uuid,
        conversation_uuid=changed.conversation_uuid,
        seq=changed.seq,
        created_at=isoformat(changed.at),
        duplicate=False,
    )
    socket.send(ack)


def _resume(process: Process, socket: Socket, frame: ResumeFrame) -> None:
    cursors = {**(socket.cursors or {}), **frame.cursors}
    if len(cursors) > CURSORS:
        socket.cursors = None
        raise ValidationFailed.of("cursors", "max_length", _("Too many cursors."))
    if frame.more:
        socket.cursors = cursors
        return
    socket.cursors = None
    same_epoch = frame.epoch == process.epoch
    work = functools.partial(resume.resume, process.hub, socket, cursors, same_epoch=same_epoch, ref=frame.ref)
    _later(socket, frame, work)


def _sync(process: Process, socket: Socket, frame: SyncFrame) -> None:
    name = _conversation(socket, frame.conversation_uuid, frame)
    _later(socket, frame, functools.partial(resume.sync, process.hub, socket, name, frame.after_seq, ref=frame.ref))


def _typing(process: Process, socket: Socket, frame: TypingFrame) -> None:
    name = _conversation(socket, frame.conversation_uuid, frame)
    if socket.said_in == name:
        socket.said_in = None
    _later(socket, frame, _type, process, socket, name, frame.active)


async def _type(process: Process, socket: Socket, name: uuid.UUID, active: bool) -> None:
    feed = resume.feed_named(socket, name)
    if not active:
        process.typing.stop(socket, feed.id)
        return
    now = time.monotonic()
    if now - socket.typing.get(feed.id, -math.inf) > settings.CHAT_TYPING_SECONDS:  # who repeats may be blocked since
        try:
            await database.run(_require_unblocked, socket.user_id, name)
        except ApplicationError:
            process.typing.stop(socket, feed.id)
            raise
        if feed.id in socket.typing:
            socket.typing[feed.id] = now
    if feed in socket.feeds and socket.is_open and socket.said_in != name:  # else its message has overtaken it
        process.typing.start(socket, feed)


def _require_unblocked(user_id: int, name: uuid.UUID) -> None:
    """Raise NotFound or Blocked: typing is shown only for users who may write here."""
    blocks.refuse_blocked(access.member_of(user_id, name).conversation)


def _presence(process: Process, socket: Socket, frame: PresenceFrame) -> None:
    _later(socket, frame, functools.partial(process.presence.answer, socket, frozenset(frame.user_ids), ref=frame.ref))


def _authenticate(process: Process, socket: Socket, frame: AuthenticateFrame) -> None:
    _later(socket, frame, _authenticated, socket, frame)


async def _authenticated(socket: Socket, frame: AuthenticateFrame) -> None:
    try:
        known = await database.run(authenticate, frame.token)
    except TokenNotValid as error:
        socket.refuse(error, ref=frame.ref)
        if (close := close_of(error)) is not Close.TOKEN_NOT_VALID:
            socket.close(close)
        return
    if (known.user_id, known.sid) != (socket.user_id, socket.sid):
        raise PermissionRefused  # a token of another session
    if known.token_expires_at > socket.token_expires_at:
        socket.token_expires_at, socket.warned = known.token_expires_at, False
    socket.send(AuthenticatedFrame(ref=frame.ref, token_expires_at=isoformat(socket.token_expires_at)))


def _ping(process: Process, socket: Socket, frame: PingFrame) -> None:
    socket.pings = True
    socket.send(PongFrame(ref=frame.ref, server_time=isoformat(timezone.now())))


_HANDLERS: dict[type[Incoming], Callable[[Process, Socket, Any], None]] = {
    MessageFrame: _message,
    MarkAsSeenFrame: _mark_as_seen,
    EditFrame: _edit,
    DeleteFrame: _delete,
    ReactFrame: _react,
    ResumeFrame: _resume,
    SyncFrame: _sync,
    TypingFrame: _typing,
    PresenceFrame: _presence,
    AuthenticateFrame: _authenticate,
    PingFrame: _ping,
}
