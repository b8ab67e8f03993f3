"""Threads that start together, for tests of what happens when two requests meet."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection

from common.errors import ApplicationError

# Up to so many threads connect before they start. More could not all have a connection of PostgreSQL's pool at once.
CONNECTIONS = 8


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run each call in a thread with a database connection of its own; return results, or the errors of the product."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            if len(calls) <= CONNECTIONS:
                connection.ensure_connection()
            barrier.wait()
            return call()
        except ApplicationError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]
