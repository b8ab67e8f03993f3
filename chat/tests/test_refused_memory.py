"""A refused handshake leaves nothing behind that only the garbage collector would find: it runs rarely here."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from chat.hub.connection import Socket
from chat.socket import consumer
from common.errors import TokenNotValid


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("token", ["nonsense", "a.b.c", ""])
async def test_a_refused_handshake_frees_its_socket_without_the_collector(monkeypatch: Any, token: str) -> None:
    made: list[weakref.ref[Any]] = []

    class Watched(Socket):
        __slots__ = ("__weakref__",)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(weakref.ref(self))

    monkeypatch.setattr(consumer, "Socket", Watched)
    sent: list[dict[str, Any]] = []
    waiting = iter([{"type": "websocket.connect"}])

    async def receive() -> dict[str, Any]:
        return next(waiting, {"type": "websocket.disconnect", "code": 1005})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/ws/chat/",
        "headers": [],
        "query_string": b"",
        "subprotocols": ["access_token", token],
        "client": ("203.0.113.9", 1),
    }
    gc.collect()
    gc.disable()
    try:
        await consumer.ChatConsumer()(scope, receive, send)
        await asyncio.sleep(0)  # tasks let go of their results at the next turn
        assert sent[-1] == {"type": "websocket.close", "code": 4401}
        assert [watched() for watched in made] == [None]
        async with asyncio.timeout(60):
            while any(type(one) is TokenNotValid for one in gc.get_objects()):  # the thread lets go a moment later
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/users/me/", "/api/users/sessions/", "/api/chat/conversations/"])
def test_a_refused_request_frees_its_error_without_the_collector(client: Any, path: str) -> None:
    gc.collect()
    gc.disable()
    try:
        for token in ("nonsense", "a.b.c", "é"):
            assert client.get(path, HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 401
        assert not [one for one in gc.get_objects() if type(one) is TokenNotValid]
    finally:
        gc.enable()
