"""The security timeline: what happened to an account, when, from which location and device.

Events are stored and logged when `common.signals.security_event` is sent, which sessions (a lower layer) does too.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common import purging, rows
from common.client import Client
from common.json import isoformat
from common.signals import security_event
from sessions.places import devices, location
from users import notices
from users.mail import enqueue, letters
from users.models import SecurityEvent

log = structlog.get_logger(__name__)

KINDS: dict[str, Any] = {
    "login": _("signed in"),
    "login_failed": _("wrong password"),
    "lockout": _("sign-in paused after wrong passwords"),
    "new_device": _("signed in on a new device"),
    "refresh_replayed": _("refresh repeated after a lost answer"),
    "refresh_reused": _("copied refresh token refused"),
    "session_revoked": _("signed out"),
    "password_changed": _("password changed"),
    "email_changed": _("e-mail address changed"),
    "mfa_enabled": _("second factor turned on"),
    "mfa_disabled": _("second factor turned off"),
    "passkey_added": _("passkey added"),
    "passkey_removed": _("passkey removed"),
    "recovery_code_used": _("recovery code used"),
    "recovery_codes_made": _("new recovery codes made"),
    "social_linked": _("account of another provider linked"),
    "social_unlinked": _("account of another provider unlinked"),
    "phone_changed": _("phone number changed"),
    "reauthenticated": _("confirmed who they are"),
}
# Events that come in bursts are stored as one row with a count: kind, and the field that identifies a burst.
COALESCED = {"login_failed": "ip_address", "refresh_replayed": "session_id"}
COALESCE_WITHIN = timedelta(minutes=10)
MAILS = {"new_device": "new_sign_in", "refresh_reused": "token_reused"} | {kind: kind for kind in letters.OF_FACTORS}


def record(
    *,
    user_id: int,
    kind: str,
    at: datetime,
    client: Client | None = None,
    session_id: UUID | None = None,
    detail: dict[str, Any] | None = None,
) -> SecurityEvent:
    """Store one event in the caller's transaction and log it as `security.<kind>` once that has committed."""
    event = _event(user_id, kind, at, client, session_id, detail)
    if kind in COALESCED:
        with transaction.atomic():
            event = _coalesced(event) or event
            event.save()
    else:
        rows.insert(event)
    _log_on_commit(event)
    return event


def rehearse(*, kind: str, at: datetime, client: Client | None = None) -> None:
    """Spend the time of `record` for an unknown name, so that a refused login's duration reveals nothing."""
    event = _event(0, kind, at, client, None, None)
    with transaction.atomic():
        _coalesced(event)
        SecurityEvent.objects.filter(pk=event.pk).update(kind=kind)


def _event(
    user_id: int,
    kind: str,
    at: datetime,
    client: Client | None,
    session_id: UUID | None,
    detail: dict[str, Any] | None,
) -> SecurityEvent:
    client = client or Client()
    return SecurityEvent(
        user_id=user_id,
        kind=kind,
        at=at,
        ip_address=client.ip_address,
        location=location.lookup(client.ip_address),
        client=devices.client_of(client.user_agent),
        session_id=session_id,
        detail=detail or {},
    )


def _coalesced(event: SecurityEvent) -> SecurityEvent | None:
    """Return the row of the burst that this event belongs to, with its count raised; None if it starts one."""
    by = COALESCED.get(event.kind)
    if by is None:
        return None
    begun = (
        SecurityEvent.objects.select_for_update()
        .filter(user_id=event.user_id, kind=event.kind, at__gt=event.at - COALESCE_WITHIN, **{by: getattr(event, by)})
        .order_by("-at")
        .first()
    )
    if begun is None:
        event.detail = {**event.detail, "count": 1}
        return None
    begun.detail = {
        **begun.detail,
        **event.detail,
        "count": begun.detail.get("count", 1) + 1,
        "last_at": isoformat(event.at),
    }
    return begun


def _log_on_commit(event: SecurityEvent) -> None:
    facts = {
        "user_id": event.user_id,
        "ip_address": event.ip_address,
        "country": (event.location or {}).get("country"),
        "session_id": str(event.session_id) if event.session_id else None,
        "detail": event.detail,
    }
    transaction.on_commit(lambda: log.info(f"security.{event.kind}", **facts))


@receiver(security_event)
def store(
    sender: Any,
    *,
    user_id: int,
    kind: str,
    at: datetime | None = None,
    client: Client | None = None,
    session_id: UUID | None = None,
    detail: dict[str, Any] | None = None,
    **_kwargs: Any,
) -> SecurityEvent:
    event = record(
        user_id=user_id, kind=kind, at=at or timezone.now(), client=client, session_id=session_id, detail=detail
    )
    if kind in MAILS:
        enqueue.send(user_id, MAILS[kind], event_id=str(event.pk))
    notices.enqueue(event)
    return event  # so that the sender can refer to it in a mail


def outlived() -> QuerySet[SecurityEvent]:
    """Return events older than `SECURITY_EVENT_RETENTION_DAYS`; none with 0, which keeps them for ever."""
    days = settings.SECURITY_EVENT_RETENTION_DAYS
    if not days:
        return SecurityEvent.objects.none()
    return SecurityEvent.objects.filter(at__lt=timezone.now() - timedelta(days=days))


purging.register("security events", purging.delete_batch(outlived))
