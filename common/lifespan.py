"""Lifespan hooks of a server process: start-up, drain and shutdown.

Apps register hooks in `AppConfig.ready()`; `config/asgi.py` runs them, on uvicorn and daphne alike. Commands and tests
do not, so that only a server has background work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

log = structlog.get_logger(__name__)

Hook = Callable[[], Awaitable[None]]
_startup: list[Hook] = []
_drain: list[Hook] = []
_shutdown: list[Hook] = []


def on_startup(hook: Hook) -> Hook:
    """Await `hook` on the event loop before the first request; an exception aborts the start."""
    _startup.append(hook)
    return hook


def on_drain(hook: Hook) -> Hook:
    """Await `hook` at SIGTERM while the server still serves, to close the sockets. Limited by `DRAIN_SECONDS`."""
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
    """Run all drain hooks concurrently; failures and timeouts are logged."""
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


async def end(tasks: Iterable["asyncio.Task[Any]"], *, within_s: float = 2.0) -> None:
    """Cancel the tasks and wait for their ends, `within_s` seconds at most, then once more.

    Some libraries swallow a cancellation that meets an answer; what goes on after the second is logged and left.
    """
    living = {task for task in tasks if not task.done()}
    for _ in range(2):
        for task in living:
            task.cancel()
        if living:
            done, living = await asyncio.wait(living, timeout=within_s)
            for task in done:
                if not task.cancelled() and (error := task.exception()):
                    log.warning("lifespan.task_failed_at_its_end", error=repr(error))
    if living:
        log.warning("lifespan.tasks_go_on", tasks=[repr(task.get_coro()) for task in living])
