"""Calls into this process's hub from any thread, and from processes without one (commands, the task worker)."""

import asyncio
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from asgiref.sync import async_to_sync

from chat import database
from chat.hub import layer, messages
from chat.hub.layer import group_of
from chat.hub.messages import Message
from chat.hub.process import Process
from chat.log import events
from chat.log.published import Published, Receipt
from common import outages

log = structlog.get_logger(__name__)

_current: Process | None = None


def current() -> Process:
    """Return the hub of the running loop; the first call in a loop starts it."""
    global _current
    loop = asyncio.get_running_loop()
    if _current is None or _current.loop is not loop:
        _current = Process(loop)
        _current.start()
    return _current


def running() -> Process | None:
    """Return the hub of this process, None before it is started."""
    return _current


async def start() -> None:
    """Start with the server, so that commits over REST are delivered from the beginning."""
    process = current()
    try:
        process.epoch = await database.run(events.epoch)
    except Exception as error:  # the database is down: sockets are refused until it is back, and report that themselves
        log.warning("hub.epoch_unknown", error=repr(error))


async def drain() -> None:
    if _current is not None:
        await _current.drain()


async def stop() -> None:
    global _current
    if _current is not None:
        process, _current = _current, None
        await process.stop()


def is_degraded() -> bool:
    """Return whether this process does not hear the others now."""
    process = _current
    return process is not None and process.layer is not None and process.layer.broken


def _on_loop(work: Callable[[Process], None], group: str = "", message: Message | None = None) -> None:
    """Run `work` on this process's hub; a process without one (a command, the task worker) sends to the layer."""
    process = _current
    if process is not None and process.loop.is_running():
        try:
            process.loop.call_soon_threadsafe(work, process)
            return
        except RuntimeError:
            log.debug("hub.loop_closed")
    if message is not None:
        _tell_without_hub([(group, message)])


def _tell_without_hub(told: Iterable[tuple[str, Message]]) -> None:
    if layer.is_needed():
        try:
            async_to_sync(layer.publish_once)([*told])
        except Exception as error:  # the other processes sweep
            outages.note("hub.tell_failed", error)


def publish(batch: list[Published]) -> None:
    """Deliver committed events to all sockets. Never raises."""
    if _current is not None:
        _on_loop(lambda process: process.publish(batch))
        return
    told: list[tuple[str, Message]] = []
    for published in batch:
        joined = any(event.kind == "member.joined" for event in published.events)
        group = layer.ALL if joined else group_of(published.conversation_id)
        told.append((group, messages.Events(b=[messages.batch_of(published)])))
    _tell_without_hub(told)


def tell_receipt(receipt: Receipt) -> None:
    """Send a receipt to the members, if the user shares it, and to the user's own devices."""
    _on_loop(lambda process: process.receipts.show(receipt))


def tell_revoked(*, sids: list[uuid.UUID], user_id: int, reason: str, **kwargs: Any) -> None:
    """Close every socket of these sessions, on every process."""
    _on_loop(
        lambda process: process.endings.end_sessions(sids, reason),
        layer.ALL,
        messages.SessionsRevoked(s=[str(sid) for sid in sids], reason=reason),
    )


def tell_suspended(*, user_id: int, **kwargs: Any) -> None:
    """Close every socket of a disabled account."""
    _on_loop(lambda process: process.endings.suspend(user_id), layer.ALL, messages.UserSuspended(u=user_id))


def tell_presence(user_ids: Iterable[int]) -> None:
    """Check the presence of these users again for their watchers: what they share, or with whom, has changed."""
    wanted = list(user_ids)
    _on_loop(lambda process: process.presence.check(wanted), layer.ALL, messages.PresenceChanged(u=wanted, r=True))
