"""The chat of Channels' tutorial (its asynchronous form, in-memory layer), on Alviar's server.

With DATABASE_URL each message is stored by the ORM before the group gets it; without, nothing is stored.

uvicorn benchmarks.peers.channels_chat:application
"""

import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection, models
from django.urls import path

from benchmarks.peers import setup
from benchmarks.peers.event import event

setup.configure(
    __name__,
    apps=["channels"],
    # The default capacity of 100 drops most of a flood; with it the chat would lose messages and look faster.
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 100_000}}},
)
STORES = "default" in settings.DATABASES and bool(settings.DATABASES["default"].get("NAME"))
urlpatterns: list[Any] = []


class Message(models.Model):
    content = models.TextField()
    client_msg_id = models.UUIDField(unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "tutorial"


def make_people(count: int, sessions: int = 0) -> list[dict[str, str]]:
    """Create the table of messages; the chat asks for no sign-in."""
    with connection.schema_editor() as editor:
        editor.create_model(Message)
    return []


class ChatConsumer(AsyncWebsocketConsumer):
    seq = 0

    async def connect(self) -> None:
        self.room_group_name = "chat_benchmark"
        await self.channel_layer.group_add(self.room_group_name, self.channel_name)
        offered = self.scope["subprotocols"]
        await self.accept(offered[0] if offered else None)
        await self.send(text_data=json.dumps({"type": "hello"}))

    async def disconnect(self, close_code: int) -> None:
        await self.channel_layer.group_discard(self.room_group_name, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        frame = json.loads(text_data or "")
        if STORES:
            await Message.objects.acreate(content=frame["content"], client_msg_id=frame["client_msg_id"])
        ChatConsumer.seq += 1
        message = event(ChatConsumer.seq, frame["content"], frame["client_msg_id"])
        await self.channel_layer.group_send(self.room_group_name, {"type": "chat.message", "message": message})

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"type": "events", "events": [event["message"]]}))


application = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": URLRouter([path("ws/chat/", ChatConsumer.as_asgi())])}
)
