"""System checks that refuse an unsafe start of the server, of `manage.py` and of a plain import of `config.asgi`."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from common.secrecy import is_guessable

KNOWN_KEYS = ("django-insecure-", "change-me", "changeme", "secret", "your-secret")
MAKE_A_KEY = "Make one: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


@register(Tags.security)
def safe_to_start(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [*_found(settings), *_push()]


def _found(settings: Any) -> list[CheckMessage]:
    return [*_everywhere(settings), *(_production(settings) if settings.PRODUCTION else [])]


def line(message: CheckMessage) -> str:
    """Return a check's message as one line: what is wrong and what to do."""
    return " ".join(part for part in (str(message.msg), str(message.hint or ""), f"({message.id})") if part)


def faults_of(settings: Any) -> list[str]:
    """Return the errors above for settings that are not loaded by Django yet, one line each."""
    missing = {"alviar.E010"} if not settings.SECRET_KEY else set()  # reported by its own line
    return [line(message) for message in _found(settings) if message.level >= 40 and message.id not in missing]


def _everywhere(settings: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.WORKERS > 1 and settings.EMBEDDED_DATABASE:
        found.append(
            Error("WORKERS is above 1 and the database is SQLite.", hint="Set DATABASE_URL.", id="alviar.E001")
        )
    if settings.EMBEDDED_DATABASE and settings.SHARED_STORE == "database":
        found.append(
            Error(
                "WAKES_URL without REDIS_URL keeps cache, rates and presence in PostgreSQL; the database is SQLite.",
                hint="Set DATABASE_URL or REDIS_URL.",
                id="alviar.E005",
            )
        )
    elif settings.EMBEDDED_DATABASE and settings.WAKES_URL == "postgresql":
        found.append(
            Error(
                "WAKES_URL=postgresql is the database, and that is SQLite.", hint="Set DATABASE_URL.", id="alviar.E006"
            )
        )
    elif settings.WAKES_URL == "postgresql" and settings.DATABASE_POOLED_BY != "none":
        found.append(
            Error(
                "WAKES_URL=postgresql is the database, and a pooler in front of it keeps no LISTEN.",
                hint="Set WAKES_URL=postgresql://… straight to PostgreSQL.",
                id="alviar.E007",
            )
        )
    if settings.WORKERS > 1 and not settings.WAKES_URLS:
        found.append(
            Error(
                "WORKERS is above 1, but sockets, cache and rates live in the memory of one process.",
                hint="Set REDIS_URL, or WAKES_URL=postgresql to need nothing but PostgreSQL.",
                id="alviar.E002",
            )
        )
    if "rest_framework_simplejwt.token_blacklist" not in settings.INSTALLED_APPS:
        found.append(Error("The token_blacklist app is not installed.", id="alviar.E003"))
    if not (settings.SIMPLE_JWT["ROTATE_REFRESH_TOKENS"] and settings.SIMPLE_JWT["BLACKLIST_AFTER_ROTATION"]):
        found.append(Error("Refresh tokens must rotate and be blacklisted after it.", id="alviar.E004"))
    return found


def _push() -> list[CheckMessage]:
    """Report invalid keys of push services at start-up, not at the first message."""
    from sessions.push import apns, fcm, vapid

    found: list[CheckMessage] = []
    for look, name in ((vapid.key, "E020"), (fcm.credentials, "E021"), (apns.key, "E022")):
        try:
            look()
        except ImproperlyConfigured as error:
            found.append(Error(str(error), hint="docs/push.md", id=f"alviar.{name}"))
    return found


def _production(settings: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    key = settings.SECRET_KEY
    if len(key) < 32 or is_guessable(key) or key.lower().startswith(KNOWN_KEYS):
        found.append(
            Error(
                "SECRET_KEY is empty, short or a known default.",
                hint=MAKE_A_KEY,
                id="alviar.E010",
            )
        )
    if settings.DEBUG:
        found.append(Error("DEBUG is on.", hint="Unset it.", id="alviar.E011"))
    if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
        found.append(Error("ALLOWED_HOSTS is empty or `*`.", hint="ALLOWED_HOSTS=chat.example.com", id="alviar.E012"))
    if settings.HTTPS_ONLY and not settings.PUBLIC_URL.startswith("https://"):
        found.append(
            Warning(
                "PUBLIC_URL is not https:// although HTTPS_ONLY is on: the links in mails start with a redirect.",
                hint="PUBLIC_URL=https://chat.example.com",
                id="alviar.W010",
            )
        )
    if urlsplit(settings.PUBLIC_URL).path:
        found.append(
            Warning(
                "PUBLIC_URL has a path: pages and apps ask for /api/, /static/ and /ws/ at the root of its host.",
                hint="Give Alviar a host of its own, or let the proxy lead these to it, too.",
                id="alviar.W013",
            )
        )
    if not settings.JWT_SIGNING_KEYS:
        found.append(
            Warning(
                "JWT_SIGNING_KEYS is not set: tokens are signed with a key derived from SECRET_KEY, "
                "so that neither can be changed without the other.",
                hint="manage.py rotate_signing_key makes one.",
                id="alviar.W011",
            )
        )
    if not settings.EMAIL_URL and not settings.MAIL_DIR:
        found.append(
            Warning(
                f"No mail leaves: EMAIL_URL is not set, so that mails stay as files in {settings.EMAIL_FILE_PATH}.",
                hint="EMAIL_URL=smtp+tls://user:password@host:587, or MAIL_DIR if files are what you want.",
                id="alviar.W012",
            )
        )
    return found


class UnsafeStart(RuntimeError):
    """The settings do not allow a safe start; the text says what to change."""


def refuse_unsafe_start() -> None:
    """Raise UnsafeStart for any error above (for servers that import `config.asgi` without running any command)."""
    errors = [message for message in safe_to_start(None) if message.level >= 40]
    if errors:
        raise UnsafeStart(
            "Alviar does not start with these settings:\n" + "\n".join(f"- {line(error)}" for error in errors)
        )
