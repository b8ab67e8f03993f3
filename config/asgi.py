"""The ASGI application: HTTP to Django's WSGI handler, WebSockets to Channels, and lifespan handling."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config.wsgi import application as wsgi_application  # isort: skip  (first: it sets Django up)

import structlog
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings

from chat.socket import handshake
from chat.socket.routing import websocket_urlpatterns
from common import lifespan
from config.checks import refuse_unsafe_start
from config.health import ProbesGate
from config.http import HTTPBridge, SocketGate

log = structlog.get_logger(__name__)
refuse_unsafe_start()


async def _drain() -> None:
    await lifespan.drain(within_s=settings.DRAIN_SECONDS)


async def lifespan_application(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[..., Any]) -> None:
    """Answer the ASGI lifespan protocol (uvicorn; daphne has none, see below)."""
    await receive()
    try:
        await lifespan.startup()
        _spare_the_collector()
    except Exception as error:
        log.exception("server.start_failed")
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    for signum in (signal.SIGTERM, signal.SIGINT):
        _drain_before(signum)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await lifespan.shutdown(within_s=settings.DRAIN_SECONDS)
    await send({"type": "lifespan.shutdown.complete"})


def _spare_the_collector() -> None:
    """Exclude all objects loaded so far from garbage collection, and run it less often.

    Every full collection traverses all objects; with 5,000 sockets that was a tenth of the work of a connect.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _drain_before(signum: int) -> None:
    """Delay the server's own handler of `signum` until the sockets are closed; a second signal runs it at once.

    A server stops serving its sockets in that handler, so `bye` must be sent before it.
    """
    loop = asyncio.get_running_loop()
    try:
        previous = signal.getsignal(signum)
        draining = False

        def stop() -> None:
            if callable(previous):
                previous(signum, None)
            else:
                signal.signal(signum, previous or signal.SIG_DFL)
                os.kill(os.getpid(), signum)

        def on_signal(number: int, frame: Any) -> None:
            nonlocal draining
            if draining:
                stop()
            draining = True
            loop.call_soon_threadsafe(lambda: loop.create_task(_drain()).add_done_callback(lambda _: stop()))

        signal.signal(signum, on_signal)
    except ValueError:  # not the main thread, which handles the signals
        log.debug("server.no_signals_here")


def _hook_into_daphne() -> None:
    """Do the same on daphne, which has no lifespan: by Twisted's triggers, set while this module is imported."""
    from twisted.internet import reactor as _reactor
    from twisted.internet.defer import Deferred

    reactor: Any = _reactor

    def as_deferred(work: Callable[[], Any]) -> Any:
        return Deferred.fromFuture(asyncio.ensure_future(work()))

    def start() -> None:
        as_deferred(lifespan.startup).addErrback(lambda failure: log.error("server.start_failed", error=str(failure)))

    async def end() -> None:
        await _drain()
        await lifespan.shutdown(within_s=settings.DRAIN_SECONDS)

    reactor.callWhenRunning(lambda: reactor.callLater(0, start))
    reactor.addSystemEventTrigger("before", "shutdown", lambda: as_deferred(end))


if "daphne.server" in sys.modules:
    _hook_into_daphne()

application = ProtocolTypeRouter(
    {
        "http": ProbesGate(HTTPBridge(wsgi_application)),
        "websocket": SocketGate(URLRouter(websocket_urlpatterns), websocket_urlpatterns, handshake.is_refused),
        "lifespan": lifespan_application,
    }
)
