"""Wakes of which none is heard, though the link to the engine is whole: what only the sweep can mend."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


def deaf(urls: list[str], process: str, heard: Callable[[bytes], None], changed: Any) -> Any:
    return import_string(settings.CLUSTER_WAKES_BENEATH)(urls, process, lambda payload: None, changed)
