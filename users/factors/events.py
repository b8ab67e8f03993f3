"""Notifications about changed factors: in the security timeline, by mail, and by SMS for users who want that."""

import uuid
from typing import Any

from django.utils import timezone

from common.client import Client
from common.signals import security_event
from users.models import User

# The mail of each kind has the kind's name (`users.mail.letters`); `reauthenticated` has none.
TOLD = frozenset(
    {
        "mfa_enabled",
        "mfa_disabled",
        "passkey_added",
        "passkey_removed",
        "recovery_code_used",
        "recovery_codes_made",
        "social_linked",
        "social_unlinked",
        "phone_changed",
    }
)


def tell(kind: str, *, user_id: int, client: Client | None, sid: uuid.UUID | None = None, **detail: Any) -> None:
    """Store the event and enqueue its mail, in the caller's transaction."""
    security_event.send(
        sender=User,
        user_id=user_id,
        kind=kind,
        at=timezone.now(),
        client=client,
        session_id=sid,
        detail=detail,
    )
