"""Database work of the sockets: a bounded pool of threads, so that one slow query never holds up the loop.

Not `database_sync_to_async`: that runs everything of a process on one thread, where a slow query stalls every socket.
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
    """Call `function` on the pool and give its connection back afterwards."""
    call = functools.partial(_with_connection, function, args, kwargs)
    return await asyncio.get_running_loop().run_in_executor(pool(), call)


def _with_connection(function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
    with database_time.limited():
        close_old_connections()  # one that died with the database is not used again
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
    """Let the threads go, with their connections."""
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False, cancel_futures=True)
        _pool = None
