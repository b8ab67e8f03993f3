"""JSON encoding with UTC times in milliseconds and `Z`, and strict decoding."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from django.utils.functional import Promise

JSONDecodeError = orjson.JSONDecodeError


def isoformat(at: datetime) -> str:
    """Return `2026-11-21T10:00:00.123Z`."""
    told = orjson.dumps(at, option=orjson.OPT_UTC_Z)  # a fifth of the time that `datetime` takes
    if len(told) == 29 and told.endswith(b'Z"'):  # "2026-11-21T10:00:00.123456Z"
        return told[1:24].decode() + "Z"
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return isoformat(value)
    if isinstance(value, uuid.UUID | Promise | Decimal):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):  # ReturnDict and other subclasses that orjson does not encode
        return dict(value)
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


def dumps(value: Any) -> bytes:
    """Encode to UTF-8 bytes."""
    return orjson.dumps(value, default=_default, option=_OPTIONS)


def loads(raw: bytes | str) -> Any:
    """Decode strictly: no NaN, no lone surrogate, at most 1,024 deep. Raises JSONDecodeError, never RecursionError."""
    return orjson.loads(raw)
