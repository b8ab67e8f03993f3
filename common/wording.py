"""Readable text for locations and devices."""

from collections.abc import Mapping
from typing import Any


def place(location: Mapping[str, Any] | None) -> str:
    """Return `Algiers, Algeria` for a described location, '' without a location."""
    return _joined(location, ("city", "region", "country_name"))


def device(client: Mapping[str, Any] | None) -> str:
    """Return `Firefox, Android, Pixel 8`, as far as known."""
    return _joined(client, ("browser", "os", "device"))


def _joined(facts: Mapping[str, Any] | None, keys: tuple[str, ...]) -> str:
    parts = [str(value) for key in keys if (value := (facts or {}).get(key))]
    return ", ".join(dict.fromkeys(parts))
