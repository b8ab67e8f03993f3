"""What is told and not stored: receipts and typing, to whoever follows the conversation, here and elsewhere."""

import time
from typing import TYPE_CHECKING

from django.conf import settings

from chat.hub.connection import Socket
from chat.hub.feed import Feed
from chat.hub.layer import group_of
from chat.protocol.outgoing import ReceiptFrame, TypingShownFrame
from chat.services.receipts import Receipt

if TYPE_CHECKING:
    from chat.hub.hub import Hub

RECEIPT_SECONDS = 1.0


class Receipts:
    """At most one a second for each person and conversation; the last one always arrives."""

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub
        self.waiting: dict[tuple[int, int], Receipt | None] = {}

    def show(self, receipt: Receipt) -> None:
        key = (receipt.conversation_id, receipt.user_id)
        if key in self.waiting:
            self.waiting[key] = receipt
            return
        self.waiting[key] = None
        self.hub.loop.call_later(RECEIPT_SECONDS, self._next, key)
        self.show_here(receipt)
        told = {
            "conversation_id": receipt.conversation_id,
            "conversation_uuid": str(receipt.conversation_uuid),
            "user_id": receipt.user_id,
            "up_to_seq": receipt.up_to_seq,
            "moved": True,
            "shared": receipt.shared,
        }
        self.hub.tell_others(group_of(receipt.conversation_id), {"k": "receipt", "r": told})

    def _next(self, key: tuple[int, int]) -> None:
        receipt = self.waiting.pop(key, None)
        if receipt is not None:
            self.show(receipt)

    def show_here(self, receipt: Receipt) -> None:
        """Show it to the members where it is shared, else to the person's own devices."""
        feed = self.hub.feeds.get(receipt.conversation_id)
        if feed is None:
            return
        if receipt.up_to_seq <= feed.seen.get(receipt.user_id, 0):  # another process or a thread was faster: never back
            return
        feed.seen[receipt.user_id] = receipt.up_to_seq
        frame = ReceiptFrame(
            conversation_uuid=receipt.conversation_uuid, user_id=receipt.user_id, up_to_seq=receipt.up_to_seq
        ).encode()
        for socket in list(feed.sockets()):
            if receipt.shared or socket.user_id == receipt.user_id:
                socket.write(frame)


class Typing:
    """Who is typing ends by saying so, by the end of the socket, or after 6 s."""

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub

    def start(self, socket: Socket, feed: Feed) -> None:
        fresh = feed.id not in socket.typing
        socket.typing[feed.id] = time.monotonic()
        if fresh:
            self._tell(feed.id, socket.user_id, active=True)

    def stop(self, socket: Socket, conversation_id: int) -> None:
        if socket.typing.pop(conversation_id, None) is not None:
            self._tell(conversation_id, socket.user_id, active=False)

    def stop_all(self, socket: Socket) -> None:
        for conversation_id in list(socket.typing):
            self.stop(socket, conversation_id)

    def expire(self, socket: Socket, now: float) -> None:
        for conversation_id in [
            name for name, since in socket.typing.items() if now - since >= settings.CHAT_TYPING_SECONDS
        ]:
            self.stop(socket, conversation_id)

    def _tell(self, conversation_id: int, user_id: int, *, active: bool) -> None:
        self.show_here(conversation_id, user_id, active)
        told = {"k": "typing", "c": conversation_id, "u": user_id, "a": active}
        self.hub.tell_others(group_of(conversation_id), told)

    def show_here(self, conversation_id: int, user_id: int, active: bool) -> None:
        feed = self.hub.feeds.get(conversation_id)
        if feed is None:
            return
        frame = TypingShownFrame(conversation_uuid=feed.uuid, user_id=user_id, active=active).encode()
        for socket in list(feed.sockets()):
            if socket.user_id != user_id:
                socket.write(frame, droppable=True)
