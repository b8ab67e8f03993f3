"""Validator that refuses leaked passwords, by a list on disk: nothing leaves the machine.

`BREACHED_PASSWORDS_FILE` has one entry per line: SHA-1 in hex, as in the downloads of Have I Been Pwned (a count after
a colon is ignored), or the password in clear. A long list of sorted hashes of any size is searched on disk; any other
list is read into memory once.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core import checks
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

_HEX_CHARS = 40


@checks.register
def list_is_readable(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """System check: refuse to start if the configured list cannot be read."""
    path = settings.BREACHED_PASSWORDS_FILE
    try:
        if path:
            Path(path).open("rb").close()
    except OSError as error:
        return [checks.Error(f"BREACHED_PASSWORDS_FILE: {error.strerror}: {path}", id="users.E001")]
    return []


class BreachedPasswordValidator:
    """Password validator; accepts everything if the setting is empty."""

    def validate(self, password: str, user: Any = None) -> None:
        if settings.BREACHED_PASSWORDS_FILE and is_breached(password, Path(settings.BREACHED_PASSWORDS_FILE)):
            raise ValidationError(
                _("This password is known from a data leak. Please choose another one."), code="password_breached"
            )

    def get_help_text(self) -> str:
        return _("Your password must not be known from a data leak.")


def is_breached(password: str, path: Path) -> bool:
    digest = hashlib.sha1(password.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest().upper().encode()
    stat = path.stat()
    entries = _entries(path, stat.st_mtime_ns, stat.st_size)
    if entries is not None:
        return digest in entries
    with path.open("rb") as file:
        return _bisect(file, digest, size=stat.st_size)


@lru_cache(maxsize=1)
def _entries(path: Path, changed_at: int, size: int) -> frozenset[bytes] | None:
    """Return the digests of the list, None for sorted hashes, which are searched on disk."""
    digests: set[bytes] = set()
    ordered, previous = True, b""
    with path.open("rb") as file:
        for line in file:
            entry = line.rstrip(b"\r\n")
            head = entry[:_HEX_CHARS].upper()
            if _is_digest(entry):
                ordered, previous = ordered and previous <= head, head
                if not ordered or len(digests) < 100_000:
                    digests.add(head)
                    continue
                # Long and sorted so far: treated as a sorted list of hashes.
                return None
            if entry:
                ordered = False
                digests.add(hashlib.sha1(entry, usedforsecurity=False).hexdigest().upper().encode())
    return frozenset(digests)


def _is_digest(entry: bytes) -> bool:
    head, rest = entry[:_HEX_CHARS], entry[_HEX_CHARS:]
    return (
        len(head) == _HEX_CHARS and all(char in b"0123456789abcdefABCDEF" for char in head) and rest[:1] in {b"", b":"}
    )


def _bisect(file: BinaryIO, digest: bytes, *, size: int) -> bool:
    """Return whether the file has the digest's line, by binary search over byte offsets."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        file.seek(middle)
        if middle:
            file.seek(middle - 1)
            file.readline()
        line = file.readline()
        if not line or line[:_HEX_CHARS].upper() >= digest:
            high = middle
        else:
            low = middle + 1
    file.seek(max(low - 1, 0))
    if low:
        file.readline()
    return file.readline()[:_HEX_CHARS].upper() == digest
