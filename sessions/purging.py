"""What of sessions and tokens goes in time."""

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
    """Sessions that reached their end unseen; the dates decide anyway, `is_active` is for those who read the table."""
    return UserSession.objects.filter(is_active=True, expires_at__lte=timezone.now())


def mark_ended(rows: QuerySet[Any]) -> None:
    registrations.end(list(rows.values_list("pk", flat=True)))
    rows.filter(is_active=True).update(is_active=False, ended_at=F("expires_at"), end_reason=EXPIRED)


def long_ended() -> QuerySet[UserSession]:
    kept = timedelta(days=settings.ENDED_SESSION_RETENTION_DAYS)
    return UserSession.objects.filter(is_active=False, ended_at__lt=timezone.now() - kept)


def outlived() -> QuerySet[OutstandingToken]:
    """Blacklist rows whose token has ended by itself, with the leeway that verification grants."""
    leeway = timedelta(seconds=settings.JWT_LEEWAY)
    return OutstandingToken.objects.filter(expires_at__lt=timezone.now() - leeway)


def register() -> None:
    purging.register("sessions that ran out", purging.update_batch(ran_out, mark_ended))
    purging.register("ended sessions", purging.delete_batch(long_ended))
    purging.register("blacklisted tokens", purging.delete_batch(outlived))
