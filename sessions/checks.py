"""System checks: refuse to start with an unsafe token configuration or a guessable signing key."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from common.secrecy import is_guessable
from sessions.tokens import keys


@checks.register(checks.Tags.security)
def check_blacklist(**kwargs: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    if "rest_framework_simplejwt.token_blacklist" not in settings.INSTALLED_APPS:
        found.append(checks.Error("rest_framework_simplejwt.token_blacklist is not installed.", id="sessions.E001"))
    for name in ("ROTATE_REFRESH_TOKENS", "BLACKLIST_AFTER_ROTATION"):
        if not settings.SIMPLE_JWT.get(name):
            found.append(checks.Error(f"SIMPLE_JWT['{name}'] is off: refresh tokens rotate here.", id="sessions.E002"))
    return found


@checks.register(checks.Tags.security)
def check_keys(**kwargs: Any) -> list[checks.CheckMessage]:
    try:
        ring = keys.ring()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="sessions.E003")]
    if ring.derived or not settings.PRODUCTION:
        return []
    return [_guessable(key.kid, key.signing) for key in ring.keys.values() if _is_guessable(key.signing)]


def _is_guessable(secret: Any) -> bool:
    return isinstance(secret, bytes) and is_guessable(secret.decode("latin-1"))


def _guessable(kid: str, secret: bytes) -> checks.CheckMessage:
    """Return an error for a secret of few distinct characters, a warning for a run or repetition (perhaps a test's)."""
    kind, id_ = (checks.Error, "sessions.E008") if len(set(secret)) < 8 else (checks.Warning, "sessions.W008")
    hint = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"
    return kind(f"JWT_SIGNING_KEYS: {kid} could be guessed.", hint=hint, id=id_)


@checks.register(checks.Tags.security)
def check_lifetimes(**kwargs: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    if not 0 <= settings.REFRESH_REUSE_INTERVAL <= 60:
        found.append(checks.Error("REFRESH_REUSE_INTERVAL is 0 to 60 seconds.", id="sessions.E004"))
    if not 0 <= settings.JWT_LEEWAY <= 300:
        found.append(checks.Error("JWT_LEEWAY is 0 to 300 seconds.", id="sessions.E005"))
    # Either of the two lifetimes may be the longer one: the earlier end counts.
    for name in ("SESSION", "REMEMBER_ME"):
        if min(getattr(settings, f"{name}_{end}_LIFETIME") for end in ("IDLE", "ABSOLUTE")) <= 0:
            found.append(checks.Error(f"{name}_IDLE_LIFETIME and _ABSOLUTE_LIFETIME are above 0.", id="sessions.E006"))
    if settings.ACCESS_TOKEN_LIFETIME <= 0:
        found.append(checks.Error("ACCESS_TOKEN_LIFETIME is above 0.", id="sessions.E007"))
    return found
