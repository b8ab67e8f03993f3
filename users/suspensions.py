"""Suspensions that end by themselves: a task of that very time, and once a day whatever it may have missed."""

from datetime import datetime
from typing import Any

import structlog
from django.utils import timezone
from django_tasks import task

from common.tasks import daily
from users.models import User

log = structlog.get_logger(__name__)


def until(*, user_id: int, at: datetime) -> None:
    """Note when the suspension of an account that was just disabled ends, in the caller's transaction."""
    User.objects.filter(pk=user_id).rewrite(suspended_until=at)
    lift.using(run_after=at).enqueue(user_id=user_id)


def over() -> Any:
    return User.objects.filter(is_active=False, closed_at=None, suspended_until__lte=timezone.now())


@task()
def lift(user_id: int) -> None:
    """Enable the account again, unless it was disabled for good, closed, or suspended for longer meanwhile."""
    if over().filter(pk=user_id).rewrite(is_active=True, suspended_until=None):
        log.info("suspension.ended", user_id=user_id)


@daily
@task()
def lift_all() -> None:
    for user_id in over().values_list("pk", flat=True)[:10_000]:
        lift.func(user_id)
