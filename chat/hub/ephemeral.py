"""Ephemeral notifications, sent to the members' sockets on all processes but not stored: receipts and typing."""

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Callable, Mapping

from django.conf import settings

from chat.hub.connection import Socket
from chat.hub.feed import Feed
from chat.hub.layer import group_of
from chat.hub.messages import Message, ReceiptMoved, TypingChanged
from chat.log.published import Receipt
from chat.protocol.outgoing import ReceiptFrame, TypingShownFrame

RECEIPT_SECONDS = 1.0


class Receipts:
    """Receipts, throttled to one per second for each user and conversation; the last one is always sent."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, feeds: Mapping[int, Feed], tell_others: Callable[[str, Message], None]
    ) -> None:
        self.loop, self.feeds, self.tell_others = loop, feeds, tell_others
        self.waiting: dict[tuple[int, int], Receipt | None] = {}

    def show(self, receipt: Receipt) -> None:
        key = (receipt.conversation_id, receipt.user_id)
        if key in self.waiting:
            before = self.waiting[key]
            if before is not None and before.shared and not receipt.shared:  # the merged receipt stays shared
                receipt = dataclasses.replace(receipt, shared=True)
            self.waiting[key] = receipt
            return
        self.waiting[key] = None
        self.loop.call_later(RECEIPT_SECONDS, self._next, key)
        self.show_here(receipt)
        self.tell_others(group_of(receipt.conversation_id), ReceiptMoved.of(receipt))

    def _next(self, key: tuple[int, int]) -> None:
        receipt = self.waiting.pop(key, None)
        if receipt is not None:
            self.show(receipt)

    def show_here(self, receipt: Receipt) -> None:
        """Send a receipt to the local sockets of all members if it is shared, else only to the user's own."""
        feed = self.feeds.get(receipt.conversation_id)
        if feed is None:
            return
        if receipt.up_to_seq <= feed.seen.get(receipt.user_id, 0):  # a newer one has arrived: never backwards
            return
        feed.seen[receipt.user_id] = receipt.up_to_seq
        frame = ReceiptFrame(
            conversation_uuid=receipt.conversation_uuid, user_id=receipt.user_id, up_to_seq=receipt.up_to_seq
        ).encode()
        for socket in list(feed.sockets()):
            if socket.connection_id == receipt.by_connection:
                continue
            if receipt.shared or socket.user_id == receipt.user_id:
                socket.write(frame)


class Typing:
    """Typing indicators, which end by a frame, with the socket, or 6 s after the last frame.

    Every process measures the 6 s itself, so that they also end if the typist's process has died.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, feeds: Mapping[int, Feed], tell_others: Callable[[str, Message], None]
    ) -> None:
        self.loop, self.feeds, self.tell_others = loop, feeds, tell_others
        self.ends: dict[tuple[int, int], asyncio.TimerHandle] = {}

    def start(self, socket: Socket, feed: Feed) -> None:
        socket.typing.setdefault(feed.id, time.monotonic())
        self._tell(feed.id, socket.user_id, active=True)

    def stop(self, socket: Socket, conversation_id: int) -> None:
        if conversation_id in socket.typing:
            del socket.typing[conversation_id]
            self._tell(conversation_id, socket.user_id, active=False)

    def stop_in(self, socket: Socket, conversation_uuid: uuid.UUID) -> None:
        """End it with the message: whoever shows both would show that one types what stands there already."""
        for conversation_id in list(socket.typing):
            feed = self.feeds.get(conversation_id)
            if feed is not None and feed.uuid == conversation_uuid:
                self.stop(socket, conversation_id)

    def stop_all(self, socket: Socket) -> None:
        for conversation_id in list(socket.typing):
            self.stop(socket, conversation_id)

    def _tell(self, conversation_id: int, user_id: int, *, active: bool) -> None:
        self.show_here(conversation_id, user_id, active)
        self.tell_others(group_of(conversation_id), TypingChanged(c=conversation_id, u=user_id, a=active))

    def show_here(self, conversation_id: int, user_id: int, active: bool) -> None:
        """Send a typing indicator to the other members' local sockets: every repeat, and the end once."""
        timer = self.ends.pop((conversation_id, user_id), None)
        if timer is not None:
            timer.cancel()
        elif not active:
            return  # its start was never shown here
        feed = self.feeds.get(conversation_id)
        if feed is None:
            return
        if active:
            self.ends[conversation_id, user_id] = self.loop.call_later(
                settings.CHAT_TYPING_SECONDS, self._expire, conversation_id, user_id
            )
        frame = TypingShownFrame(conversation_uuid=feed.uuid, user_id=user_id, active=active).encode()
        for socket in list(feed.sockets()):
            if socket.user_id != user_id:
                socket.write(frame, droppable=True)
            elif not active:
                socket.typing.pop(conversation_id, None)

    def _expire(self, conversation_id: int, user_id: int) -> None:
        self.show_here(conversation_id, user_id, active=False)
