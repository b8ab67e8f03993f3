"""Wakes of which a fifth is dropped, repeated or late as they come in, while the file `CHAOS_LAYER_FLAG` exists.

It sits at the receiving end, so that nothing published in any way gets past it.
"""

import os
import random
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

FLAG = os.environ.get("CHAOS_LAYER_FLAG", "")
DROPPED, REPEATED, LATE = 0.08, 0.14, 0.20  # cumulative


def faulty(urls: list[str], process: str, heard: Callable[[bytes], None], changed: Any) -> Any:
    """Return the wakes of the settings, with faults."""
    return import_string(settings.CHAOS_WAKES_BENEATH)(urls, process, Faults(heard), changed)


class Faults:
    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self.heard = heard
        self.held_back: list[bytes] = []

    def __call__(self, payload: bytes) -> None:
        late, self.held_back = self.held_back, []
        chance = random.random() if FLAG and os.path.exists(FLAG) else 1.0
        if chance < DROPPED:
            pass
        elif chance < REPEATED:
            self.heard(payload)
            self.heard(payload)
        elif chance < LATE:
            self.held_back.append(payload)
        else:
            self.heard(payload)
        for one in late:  # after a younger one
            self.heard(one)
