"""Export of a user's personal data. Source: GDPR articles 15 and 20."""

from typing import Any

from django.utils import timezone

from common.signals import user_exporting
from users import payload
from users.factors import listing
from users.models import SecurityEvent, User

_EVENT = ("id", "kind", "at", "ip_address", "location", "client", "session_id", "detail")


def export(*, user_id: int) -> dict[str, Any]:
    """Return the profile, the security timeline and what other apps add (`user_exporting`)."""
    user = User.objects.get(pk=user_id)
    own: dict[str, Any] = {
        "exported_at": timezone.now(),
        "user": payload.user(user)
        | {
            "last_login_ip": user.last_login_ip,
            "device_fingerprint": user.device_fingerprint,
            "password_changed_at": user.password_changed_at,
        },
        "factors": listing.of(user),
        "security_events": list(SecurityEvent.objects.filter(user_id=user_id).order_by("-at").values(*_EVENT)),
    }
    answers: list[tuple[Any, Any]] = user_exporting.send(sender=User, user_id=user_id)
    for _receiver, part in answers:
        own |= part or {}
    return own
