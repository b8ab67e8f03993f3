"""What accounts let `manage.py purge_expired` remove."""

from datetime import timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from common import purging
from users.models import EmailVerificationToken, LoginCounter, PasswordResetToken, SingleUseToken, User


def forgotten_counters() -> QuerySet[LoginCounter]:
    """Counters whose last failure no longer counts."""
    return LoginCounter.objects.filter(last_failed_at__lte=timezone.now() - timedelta(seconds=settings.LOCKOUT_SECONDS))


def clear_mirrors(limit: int) -> int:
    """Clear User's mirror of lockouts that have ended. A batch for `purging`."""
    ended = Q(locked_until__lte=timezone.now())
    keys = User.objects.filter(ended).order_by("pk").values_list("pk", flat=True)[:limit]
    return User.objects.filter(ended, pk__in=list(keys)).update(login_attempts=0, locked_until=None)


def dead_links(model: type[SingleUseToken]) -> QuerySet[SingleUseToken]:
    """Links that ended a week ago; until then a second click is still answered in kind."""
    return model.objects.filter(expires_at__lte=timezone.now() - timedelta(days=7))


purging.register("login counters", purging.delete_batch(forgotten_counters))
purging.register("ended lockouts", clear_mirrors)
purging.register("reset links", purging.delete_batch(lambda: dead_links(PasswordResetToken)))
purging.register("verification links", purging.delete_batch(lambda: dead_links(EmailVerificationToken)))
