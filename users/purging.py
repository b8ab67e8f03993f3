"""Expired rows of accounts that `manage.py purge_expired` deletes."""

from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from common import purging
from users.models import EmailVerificationToken, LoginCounter, NoticeToken, PasswordResetToken, SingleUseToken, User


def forgotten_counters() -> QuerySet[LoginCounter]:
    """Return counters whose last failure no longer counts."""
    return LoginCounter.objects.filter(last_failed_at__lte=timezone.now() - timedelta(seconds=settings.LOCKOUT_SECONDS))


def ended_lockouts() -> QuerySet[User]:
    return User.objects.filter(locked_until__lte=timezone.now())


def clear_mirror(people: QuerySet[User]) -> None:
    people.update(login_attempts=0, locked_until=None)


def dead_links(model: type[SingleUseToken]) -> QuerySet[SingleUseToken]:
    """Return links that ended a week ago; until then a second click still gets the specific response."""
    return model._default_manager.filter(expires_at__lte=timezone.now() - timedelta(days=7))


purging.register("login counters", purging.delete_batch(forgotten_counters))
purging.register("ended lockouts", purging.update_batch(ended_lockouts, clear_mirror))
purging.register("reset links", purging.delete_batch(lambda: dead_links(PasswordResetToken)))
purging.register("verification links", purging.delete_batch(lambda: dead_links(EmailVerificationToken)))
purging.register("notice links", purging.delete_batch(lambda: dead_links(NoticeToken)))
