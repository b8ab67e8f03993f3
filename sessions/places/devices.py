"""The user agent and fingerprint that a device sends. Labels for people to read, never credentials."""

import contextlib
import uuid
from functools import lru_cache

import structlog
from django.core.cache import cache
from django.db import IntegrityError, transaction

from sessions.models import UserSession

log = structlog.get_logger(__name__)

CLASH_SECONDS = 3_600


@lru_cache(maxsize=4_096)
def _parsed(user_agent: str) -> tuple[str | None, str | None, str | None]:
    from ua_parser import parse  # its tables are 7 MB, and what it builds of them 25

    found = parse(user_agent)
    browser = found.user_agent and _named(found.user_agent.family, found.user_agent.major)
    system = found.os and _named(found.os.family, found.os.major)
    device = found.device and (found.device.model or found.device.family)
    if not browser and user_agent.startswith("Dart/"):  # Flutter's own HTTP client
        browser = _named("Dart", user_agent[5:].split(" ")[0])
    return browser or None, system or None, None if device in {"Other", "Generic Smartphone"} else device or None


def _named(family: str, version: str | None) -> str:
    return f"{family} {version}" if version else family


def client_of(user_agent: str) -> dict[str, str | None]:
    """Return `{browser, os, device}`, each None if the user agent does not say."""
    browser, system, device = _parsed(user_agent)
    return {"browser": browser, "os": system, "device": device}


def compare_fingerprint(fingerprint: str, *, session_id: int, sid: uuid.UUID, recorded: str) -> None:
    """Store the fingerprint that a device sends if it differs from the one `recorded` for its session.

    It is a label: a difference refuses nothing. If another living session of the user already has it, this session
    keeps its own (one session per device) and is not compared again for an hour.
    """
    if not fingerprint or fingerprint == recorded:
        return
    hold = f"fingerprint-clash:{sid}"
    with contextlib.suppress(Exception):
        if cache.get(hold) == fingerprint:
            return
    try:
        with transaction.atomic():
            UserSession.objects.filter(pk=session_id).update(device_fingerprint=fingerprint)
        log.info("session.fingerprint_changed", sid=str(sid))
    except IntegrityError:
        log.info("session.fingerprint_clash", sid=str(sid))
        with contextlib.suppress(Exception):
            cache.set(hold, fingerprint, CLASH_SECONDS)
