"""WebSocket URLs."""

from django.urls import path

from chat.socket.consumer import ChatConsumer

websocket_urlpatterns = [
    path("ws/chat/", ChatConsumer.as_asgi()),  # type: ignore[arg-type]
    # The same socket with a default conversation.
    path("ws/chat/<any_uuid:conversation_uuid>/", ChatConsumer.as_asgi()),  # type: ignore[arg-type]
]
