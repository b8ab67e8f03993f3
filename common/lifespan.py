"""What a server process does before it serves, before it stops serving and after.

An app registers in `AppConfig.ready()`; `config/asgi.py` calls, on uvicorn and daphne alike. Commands and tests call
nothing of it, so that only a server has background work.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

Hook = Callable[[], Awaitable[None]]
_startup: list[Hook] = []
_drain: list[Hook] = []
_shutdown: list[Hook] = []


def on_startup(hook: Hook) -> Hook:
    """Await `hook` on the event loop before the first request; what it raises stops the start."""
    _startup.append(hook)
    return hook


def on_drain(hook: Hook) -> Hook:
    """Await `hook` at SIGTERM while the server still serves: tell the sockets to go. Bounded by `DRAIN_SECONDS`."""
    _drain.append(hook)
    return hook


def on_shutdown(hook: Hook) -> Hook:
    """Await `hook` once the server has stopped serving."""
    _shutdown.append(hook)
    return hook


async def startup() -> None:
    for hook in _startup:
        await hook()


async def drain(*, within_s: float) -> None:
    """Run every drain hook at once; what fails or takes longer is logged and left."""
    await _bounded("drain", _drain, within_s)


async def shutdown(*, within_s: float) -> None:
    await _bounded("shutdown", _shutdown, within_s)


async def _bounded(name: str, hooks: list[Hook], within_s: float) -> None:
    if not hooks:
        return
    tasks = [asyncio.ensure_future(hook()) for hook in hooks]
    done, late = await asyncio.wait(tasks, timeout=within_s)
    for task in late:
        task.cancel()
        log.warning(f"lifespan.{name}_too_slow", hook=repr(task.get_coro()), within_s=within_s)
    for task in done:
        if error := task.exception():
            log.error(f"lifespan.{name}_failed", exc_info=error)
