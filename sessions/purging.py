"""What of sessions and tokens is removed in time."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from common import purging
from sessions.living import EXPIRED
from sessions.models import UserSession


def end_expired(limit: int) -> int:
    """Mark sessions that ran out unseen; removes nothing, the list shows only living ones anyway."""
    with transaction.atomic():
        ran_out = UserSession.objects.filter(is_active=True, expires_at__lte=timezone.now()).order_by("pk")
        keys = purging.claim(ran_out, limit)
        if not keys:
            return 0
        return UserSession.objects.filter(pk__in=keys).update(
            is_active=False, ended_at=F("expires_at"), end_reason=EXPIRED
        )


def long_ended() -> QuerySet[UserSession]:
    kept = timedelta(days=settings.ENDED_SESSION_RETENTION_DAYS)
    return UserSession.objects.filter(is_active=False, ended_at__lt=timezone.now() - kept)


def outlived() -> QuerySet[OutstandingToken]:
    """Blacklist rows whose token has ended by itself, with the leeway that verification grants."""
    leeway = timedelta(seconds=settings.JWT_LEEWAY)
    return OutstandingToken.objects.filter(expires_at__lt=timezone.now() - leeway)


def register() -> None:
    purging.register("sessions that ran out", end_expired)
    purging.register("ended sessions", purging.delete_batch(long_ended))
    purging.register("blacklisted tokens", purging.delete_batch(outlived))
