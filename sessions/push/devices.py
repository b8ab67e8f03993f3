"""Devices that can receive pushes, as plain rows for the apps above to filter and address."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from sessions.models import PushRegistration
from sessions.push.provider import Push

FIELDS = (
    "id", "user_id", "provider", "token", "p256dh", "auth", "environment", "show", "user_session__session_token",
    "user__language",
)  # fmt: skip


@dataclass(frozen=True)
class Device:
    """One row of `FIELDS`."""

    id: int
    user_id: int
    provider: str
    token: str
    p256dh: str
    auth: str
    environment: str
    show: str
    sid: uuid.UUID
    language: str

    def push(self, **fields: Any) -> Push:
        return Push(
            registration_id=self.id,
            provider=self.provider,
            token=self.token,
            p256dh=self.p256dh,
            auth=self.auth,
            environment=self.environment,
            **fields,
        )


def living(at: datetime) -> QuerySet[PushRegistration]:
    """Return the registrations of living sessions whose users have push notifications on."""
    return PushRegistration.objects.filter(
        user_session__is_active=True,
        user_session__expires_at__gt=at,
        user__is_active=True,
        user__push_notifications=True,
    )


def of(rows: QuerySet[PushRegistration]) -> Iterable[Device]:
    return [Device(*row) for row in rows.values_list(*FIELDS)]
