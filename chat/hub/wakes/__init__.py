"""Wakes: short messages between processes, over the engine that the settings name.

A wake may get lost, come twice, late or in another order; the log in the database is the truth. `Wakes` (base.py) is
all that the hub sees. Each engine has a file; what connects, subscribes and publishes there is a `Link` (link.py).
"""

import asyncio
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.utils.module_loading import import_string

from chat.hub.wakes.base import Wakes


def is_needed() -> bool:
    """Return whether there are several processes: a single one needs no wakes."""
    return bool(settings.WAKES_URLS)


def make(process: str, heard: Callable[[bytes], None], changed: Callable[[Exception | None], None]) -> Wakes:
    """Return the wakes of this process, not started yet."""
    made: Wakes = import_string(settings.WAKES_BACKEND)(settings.WAKES_URLS, process, heard, changed)
    return made


async def round_trip(*, within_s: float) -> float:
    """Return the milliseconds until one's own message is heard. Raises TimeoutError, or the engine's error."""
    name, heard = uuid.uuid4().hex[:12], asyncio.Event()
    failures: list[Exception | None] = []
    way = make(f"doctor.{name}", lambda payload: heard.set(), failures.append)
    way.start()
    try:
        async with asyncio.timeout(within_s):
            await way.subscribe([channel := f"alviar__doctor__{name}"])
            while channel not in way.subscribed:  # noqa: ASYNC110  (a few times, by an operator)
                await asyncio.sleep(0.01)
            started = time.perf_counter()
            await way.publish([(channel, b"")])
            await heard.wait()
            return (time.perf_counter() - started) * 1000
    except TimeoutError:
        raise next((failure for failure in failures if failure is not None), TimeoutError("not heard")) from None
    finally:
        await way.stop()
