"""Scheduled deletion of ended sessions and expired blacklist rows."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from common import purging
from sessions.models import UserSession
from sessions.push import registrations
from sessions.services.validity import EXPIRED


def ran_out() -> QuerySet[UserSession]:
    """Return expired sessions still marked active. The dates decide; `is_active` is for people reading the table."""
    return UserSession.objects.filter(is_active=True, expires_at__lte=timezone.now())


def mark_ended(rows: QuerySet[Any]) -> None:
    registrations.end(list(rows.values_list("pk", flat=True)))
    rows.filter(is_active=True).update(is_active=False, ended_at=F("expires_at"), end_reason=EXPIRED)


def long_ended() -> QuerySet[UserSession]:
    kept = timedelta(days=settings.ENDED_SESSION_RETENTION_DAYS)
    return UserSession.objects.filter(is_active=False, ended_at__lt=timezone.now() - kept)


def outlived() -> QuerySet[OutstandingToken]:
    """Return blacklist rows whose token has expired, allowing for the leeway of verification."""
    leeway = timedelta(seconds=settings.JWT_LEEWAY)
    return OutstandingToken.objects.filter(expires_at__lt=timezone.now() - leeway)


def register() -> None:
    purging.register("sessions that ran out", purging.update_batch(ran_out, mark_ended))
    purging.register("ended sessions", purging.delete_batch(long_ended))
    purging.register("blacklisted tokens", purging.delete_batch(outlived))
