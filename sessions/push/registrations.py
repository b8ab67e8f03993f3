"""Push registrations: at most one for each session, and one session for each device address."""

import hashlib
import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from common import pipelined, rows
from common.errors import NotFound
from sessions.models import PushRegistration, UserSession


def register(*, user_id: int, sid: uuid.UUID, provider: str, address: dict[str, str], show: str) -> PushRegistration:
    """Register the session's device and replace its earlier one; `address` holds the columns that identify the device.

    If another session had this device address, it loses it: the device has a new owner or a new session. The session's
    row is locked, so that a revocation happens before or after, never in between.

    Raises: NotFound for a session that the user does not have or that has ended.
    """
    now = timezone.now()
    digest = digest_of(provider, address["token"])
    for attempt in (1, 2, 3):
        try:
            with transaction.atomic():
                living = UserSession.objects.filter(is_active=True, expires_at__gt=now)
                user_session = (
                    living.select_for_update(no_key=True).filter(user_id=user_id, session_token=sid).only("pk").first()
                )
                if user_session is None:
                    raise NotFound
                PushRegistration.objects.filter(digest=digest).exclude(user_session=user_session).delete()
                registration, _created = PushRegistration.objects.update_or_create(
                    user_session=user_session,
                    defaults={
                        "p256dh": "",
                        "auth": "",
                        "environment": "",
                        **address,
                        "user_id": user_id,
                        "provider": provider,
                        "digest": digest,
                        "show": show,
                        "updated_at": now,
                    },
                )
            return registration
        except IntegrityError:  # two sessions register the same address at once: the later one gets it
            if attempt == 3:
                raise
    raise AssertionError("unreachable")


def unregister(*, user_id: int, sid: uuid.UUID) -> None:
    """Delete the session's registration; nothing is sent to the device after the commit."""
    PushRegistration.objects.filter(user_id=user_id, user_session__session_token=sid).delete()


def digest_of(provider: str, token: str) -> str:
    """Return the unique key of a device address; a digest, since an endpoint may have 2,000 characters."""
    return hashlib.sha256(f"{provider}:{token}".encode()).hexdigest()


def end(session_ids: list[int]) -> None:
    """Delete the registrations of sessions that end, in the transaction that ends them.

    The delete waits some milliseconds for a push that is being written (`gate.still_there`); after it nothing is sent.
    """
    if session_ids:
        ids, params = pipelined.any_of(session_ids)
        table = rows.table(PushRegistration)
        pipelined.send(f"DELETE FROM {table} WHERE user_session_id {ids}", params)  # noqa: S608 (a name of our own)


def shown(registration: PushRegistration) -> dict[str, Any]:
    """Return a registration as the API shows it, without the address."""
    return {
        "provider": registration.provider,
        "environment": registration.environment or None,
        "show": registration.show,
        "updated_at": registration.updated_at,
    }
