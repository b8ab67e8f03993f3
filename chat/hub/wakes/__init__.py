"""Wakes: short messages between processes, over the engine that the settings name.

A wake may get lost, come twice, late or in another order; the log in the database is the truth. `Wakes` (base.py) is
all that the hub sees. Each engine has a file; what connects, subscribes and publishes there is a `Link` (link.py).
"""

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
