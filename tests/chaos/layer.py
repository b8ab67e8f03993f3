"""A channel layer that drops, repeats and reorders a fifth of what comes in, while the file `CHAOS_LAYER_FLAG` exists.

It sits at the receiving end, so that nothing published by another way than `group_send` gets past it.
"""

import os
import random
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

Beneath: Any = import_string(settings.CHAOS_LAYER_BENEATH)
FLAG = os.environ.get("CHAOS_LAYER_FLAG", "")
DROPPED, REPEATED, LATE = 0.08, 0.14, 0.20  # cumulative


class FaultyLayer(Beneath):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._again: list[Any] = []
        self._held_back: list[Any] = []

    async def receive(self, channel: str) -> Any:
        if self._again:
            return self._again.pop()
        while True:
            message = await super().receive(channel)
            if self._held_back:
                self._again.append(self._held_back.pop())  # after a younger one
            if not FLAG or not os.path.exists(FLAG):
                return message
            chance = random.random()
            if chance < DROPPED:
                if self._again:
                    return self._again.pop()
            elif chance < REPEATED:
                self._again.append(message)
                return message
            elif chance < LATE:
                self._held_back.append(message)
                if self._again:
                    return self._again.pop()
            else:
                return message
