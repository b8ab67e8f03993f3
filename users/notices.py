"""Security notices by push, sent to the devices that are signed in to the account.

Enqueued in the event's transaction if the user has a registered device; sent if `push_notifications` is on.
"""

from typing import Any

import structlog
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django_tasks import task

from sessions.models import PushRegistration
from sessions.push import delivery, devices
from users.mail.letters import spoken
from users.models import SecurityEvent, User

log = structlog.get_logger(__name__)

TEXTS = {
    "new_device": gettext_noop("Somebody signed in to your account on a new device."),
    "lockout": gettext_noop("Sign-in to your account is paused after several wrong passwords."),
    "password_changed": gettext_noop("The password of your account was changed."),
    "refresh_reused": gettext_noop("A device was signed out for your safety."),
    "email_changed": gettext_noop("The e-mail address of your account was changed."),
    "phone_changed": gettext_noop("The telephone number of your account was changed."),
    "mfa_enabled": gettext_noop("Two-step sign-in was turned on."),
    "mfa_disabled": gettext_noop("Two-step sign-in was turned off."),
    "passkey_added": gettext_noop("A passkey was added to your account."),
    "passkey_removed": gettext_noop("A passkey was removed from your account."),
}


def enqueue(event: SecurityEvent) -> None:
    """Enqueue the push of an event in the caller's transaction, if its kind has one and a device is registered."""
    if event.kind in TEXTS and PushRegistration.objects.filter(user_id=event.user_id).exists():
        push_notice.enqueue(event_id=event.pk if isinstance(event.pk, int) else str(event.pk))


@task(queue_name="push")
def push_notice(event_id: Any, only: list[int] | None = None, attempt: int = 1) -> None:
    """Push a security event to the user's devices, except the one that caused it."""
    event = SecurityEvent.objects.filter(pk=event_id).first()
    user = User.objects.filter(pk=event.user_id).first() if event else None
    if event is None or user is None:
        return
    rows = devices.living(timezone.now()).filter(user_id=user.pk)
    if event.session_id is not None:
        rows = rows.exclude(user_session__session_token=event.session_id)
    if only is not None:
        rows = rows.filter(pk__in=only)
    with translation.override(spoken(user, "")):
        title, text, hint = _("Security notice"), _(TEXTS[event.kind]), _("Something happened to your account.")
    pushes = []
    for device in devices.of(rows):
        data: dict[str, Any] = {"notice": event.kind}
        if device.show == PushRegistration.Show.NOTHING:
            pushes.append(device.push(data=data, body=hint, collapse="security", urgent=True))
        else:
            data |= {"title": title, "body": text}
            pushes.append(device.push(data=data, title=title, body=text, collapse="security", urgent=True))
    for at, ids in delivery.again(pushes, delivery.send(pushes), attempt=attempt):
        push_notice.using(run_after=at).enqueue(event_id=event_id, only=ids, attempt=attempt + 1)
