"""Thread pool for the sockets' database work, so that a slow query never blocks the event loop.

`database_sync_to_async` is not used: it runs everything on one thread, where a slow query stalls every socket.
"""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.conf import settings
from django.db import close_old_connections

from common import database_time

T = TypeVar("T")
_pool: ThreadPoolExecutor | None = None


async def run(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call `function` on the pool and release its database connection afterwards."""
    call = functools.partial(_with_connection, function, args, kwargs)
    return await asyncio.get_running_loop().run_in_executor(pool(), call)


def _with_connection(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    with database_time.limited():
        close_old_connections()  # drops a connection that broke
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()  # PostgreSQL: back to its pool; SQLite: kept


def pool() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(settings.CHAT_DATABASE_THREADS, thread_name_prefix="chat-database")
    return _pool


def close() -> None:
    """Shut the pool down, with its connections."""
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False, cancel_futures=True)
        _pool = None
