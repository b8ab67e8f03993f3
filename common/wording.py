"""Places and devices as people read them."""

from collections.abc import Mapping
from typing import Any


def place(location: Mapping[str, Any] | None) -> str:
    """Return `Algiers, Algeria` of a described location, or nothing for an address that has no place."""
    return _joined(location, ("city", "region", "country_name"))


def device(client: Mapping[str, Any] | None) -> str:
    """Return `Firefox, Android, Pixel 8`, as much of it as is known."""
    return _joined(client, ("browser", "os", "device"))


def _joined(facts: Mapping[str, Any] | None, keys: tuple[str, ...]) -> str:
    parts = [str(value) for key in keys if (value := (facts or {}).get(key))]
    return ", ".join(dict.fromkeys(parts))
