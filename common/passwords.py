"""Password hashing: Argon2id with OWASP's parameters, Unicode NFC, and verification that never fails with a 500."""

import unicodedata
from typing import Any

import bcrypt
import structlog
from django.conf import settings
from django.contrib.auth.hashers import (
    Argon2PasswordHasher,
    BCryptPasswordHasher,
    make_password,
    verify_password,
)
from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

log = structlog.get_logger(__name__)


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with 19 MiB and 26 ms per hash; Django's own takes 100 MiB and 250 ms, so four logins a second per core.

    Source: OWASP Password Storage Cheat Sheet (m=19 MiB, t=2, p=1). Other hashes are upgraded at login.
    """

    @property
    def time_cost(self) -> int:  # type: ignore[override]
        return settings.ARGON2_TIME_COST

    @property
    def memory_cost(self) -> int:  # type: ignore[override]
        return settings.ARGON2_MEMORY_KIB

    @property
    def parallelism(self) -> int:  # type: ignore[override]
        return settings.ARGON2_PARALLELISM


class MaximumLengthValidator:
    def validate(self, password: str, user: Any = None) -> None:
        if len(normalise(password)) > settings.PASSWORD_MAX_LENGTH:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return _("Your password must contain at most %(max)d characters.") % {"max": settings.PASSWORD_MAX_LENGTH}


class BCryptHasher(BCryptPasswordHasher):
    """Plain `bcrypt$` hashes of older projects. Their library truncated at 72 bytes; today's refuses longer input."""

    def encode(self, password: str, salt: Any) -> str:
        return super().encode(password.encode()[:72].decode(errors="ignore"), salt)

    def verify(self, password: str, encoded: str) -> bool:
        _algorithm, data = encoded.split("$", 1)
        raw = password.encode()[:72]  # in bytes: it may split a character
        return constant_time_compare(bcrypt.hashpw(raw, data.encode("ascii")), data.encode("ascii"))

    def harden_runtime(self, password: str, encoded: str) -> None:
        super().harden_runtime(password.encode()[:72].decode(errors="ignore"), encoded)


def normalise(password: str) -> str:
    """Return the password in NFC: devices differ in sending é as one code point or two."""
    return unicodedata.normalize("NFC", password)


def encode(password: str | None) -> str:
    """Return the hash of a new password in NFC; an unusable hash for None."""
    return make_password(None if password is None else normalise(password))


def verify(password: str, encoded: str) -> tuple[bool, bool]:
    """Return whether the password is correct, and whether its hash should be upgraded.

    Hashes from before the NFC rule are of the password as typed, which is tried as well. If a hasher fails, because of
    a truncated or foreign hash, the password is wrong.
    """
    right, outdated = _verify(normalise(password), encoded)
    if not right and password != normalise(password):
        right, outdated = _verify(password, encoded)[0], True
    return right, outdated


def _verify(password: str, encoded: str) -> tuple[bool, bool]:
    try:
        return verify_password(password, encoded)
    except Exception as error:
        # Log neither message nor traceback: they may contain the hash.
        log.warning("password.hash_is_broken", algorithm=encoded.partition("$")[0][:32], error=type(error).__name__)
        make_password("takes the time of a check")
        return False, False
