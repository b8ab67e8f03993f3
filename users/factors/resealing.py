"""Re-encrypt sealed secrets with the current signing key, so that an old key can be removed from the ring.

Run by `manage.py rotate_signing_key`, and once a day for rings that are edited by hand.
"""

from collections.abc import Iterator
from typing import Any

import structlog
from django.db import models
from django.dispatch import receiver
from django_tasks import task

from common import tasks
from common.signals import sealing_key_changed
from sessions.tokens import keys, sealing
from users.factors import social_tokens, totp
from users.factors.models import SocialLink, TotpFactor

log = structlog.get_logger(__name__)


def reseal() -> int:
    """Seal again whatever another key sealed; return how many secrets no key of the ring can open."""
    unreadable = 0
    for row, field, context in _sealed_by_others():
        old = getattr(row, field)
        try:
            new = sealing.reseal(old, context=context)
        except sealing.Unreadable:
            unreadable += 1
            continue
        # Conditional: an enrolment at the same time may have replaced it.
        type(row)._default_manager.filter(pk=row.pk, **{field: old}).update(**{field: new})
    return unreadable


def _sealed_by_others() -> Iterator[tuple[models.Model, str, str]]:
    current = f"{keys.ring().signer.kid}:"
    for field in ("secret", "pending_secret"):
        wanted = {f"{field}__startswith": current}
        for app in TotpFactor.objects.exclude(**{field: ""}).exclude(**wanted).iterator():
            yield app, field, totp.context_of(app.user_id)
    for link in SocialLink.objects.exclude(refresh_token="").exclude(refresh_token__startswith=current).iterator():
        yield link, "refresh_token", social_tokens.context_of(link.user_id, link.provider)


@receiver(sealing_key_changed)
def on_new_key(sender: Any, **kwargs: Any) -> int:
    return reseal()


@tasks.daily
@task()
def reseal_daily() -> None:
    left = reseal()
    if left:
        log.error("sealing.unreadable", count=left)
