"""Signal receivers: sessions end when their user is disabled, deleted or closes the account; export of sessions."""

import uuid
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.signals import post_delete, post_save, pre_delete
from django.dispatch import receiver

from common.signals import session_revoked, user_closing, user_exporting, user_suspended
from sessions.models import PushRegistration, UserSession
from sessions.services import lifecycle

EXPORTED = (
    "session_token",
    "device_name",
    "device_fingerprint",
    "ip_address",
    "location",
    "user_agent",
    "client",
    "remember_me",
    "created_at",
    "last_seen_at",
    "expires_at",
    "ended_at",
    "end_reason",
)


@receiver(post_save, sender=settings.AUTH_USER_MODEL)
def end_sessions_of_a_disabled_person(sender: Any, instance: Any, created: bool, raw: bool, **kwargs: Any) -> None:
    if created or raw or instance.is_active:
        return
    if lifecycle.revoke_all(user_id=instance.pk, reason="account_disabled"):
        user_id = instance.pk
        transaction.on_commit(lambda: user_suspended.send_robust(sender=sender, user_id=user_id), robust=True)


@receiver(user_suspended)
def end_sessions_of_a_suspended_person(user_id: int, **kwargs: Any) -> None:
    lifecycle.revoke_all(user_id=user_id, reason="account_disabled")


@receiver(pre_delete, sender=settings.AUTH_USER_MODEL)
def remember_sessions_of_a_deleted_person(sender: Any, instance: Any, **kwargs: Any) -> None:
    """Remember the sessions before their rows are deleted with the user, so that their sockets can be closed."""
    instance._sids_to_close = list(
        UserSession.objects.filter(user_id=instance.pk, is_active=True).values_list("session_token", flat=True)
    )


@receiver(post_delete, sender=settings.AUTH_USER_MODEL)
def close_sockets_of_a_deleted_person(sender: Any, instance: Any, **kwargs: Any) -> None:
    sids: list[uuid.UUID] = getattr(instance, "_sids_to_close", [])
    user_id = instance.pk  # Django sets it to None once the deletion is complete
    if sids:
        transaction.on_commit(
            lambda: session_revoked.send_robust(
                sender=UserSession, sids=sids, user_id=user_id, reason="account_disabled"
            ),
            robust=True,
        )


@receiver(user_closing)
def erase_sessions_of_a_closed_account(user_id: int, **kwargs: Any) -> None:
    """Delete the rows with the account, not after their retention: addresses and devices are personal data."""
    lifecycle.revoke_all(user_id=user_id, reason="account_closed")
    UserSession.objects.filter(user_id=user_id).delete()


@receiver(user_exporting)
def export_sessions(user_id: int, **kwargs: Any) -> dict[str, Any]:
    """Return the stored data of a user's sessions for the export, ended ones included."""
    rows = UserSession.objects.filter(user_id=user_id).order_by("-pk").values(*EXPORTED)
    devices = PushRegistration.objects.filter(user_id=user_id).order_by("pk")
    pushed = devices.values(
        "provider", "environment", "show", "updated_at", session_id=F("user_session__session_token")
    )
    return {"push": list(pushed), "sessions": [{"id": row.pop("session_token"), **row} for row in rows]}
