"""Signal receivers that apply the consequences of changes made outside the services: by a shell, fixture or admin.

The services write by `rewrite()` and handle the consequences themselves; every other write is handled here.
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver
from django.utils import timezone

from common.signals import moderated, sessions_ending, user_suspended
from sessions.services import lifecycle as sessions
from users import suspensions
from users.identity import columns
from users.mail import enqueue, single_use
from users.models import Before, EmailVerificationToken, User, rewritten
from users.passwords import replace

# Reasons for ending sessions after which a pending address change may come from an attacker.
DISTRUSTED = {"revoked", "logout_all", "admin", "token_reused", "account_disabled"}


@receiver(sessions_ending)
def call_off_what_sessions_asked_for(sender: Any, user_id: int, reason: str, everywhere: bool, **kwargs: Any) -> None:
    """Cancel address changes and reset links; signing out everywhere also ends device tokens and the admin's cookie."""
    if reason in DISTRUSTED:
        single_use.call_off_changes(user_id)
    if everywhere and reason in {"logout_all", "admin", "account_disabled"}:
        User.objects.filter(pk=user_id).rewrite(device_token_version=F("device_token_version") + 1)
    if everywhere and reason == "account_disabled":
        single_use.void_resets(user_id)


@receiver(moderated)
def tell_of_moderation(sender: Any, user_id: int, act: str, text: str, until: datetime | None, **kwargs: Any) -> None:
    """Mail what a moderator did, and note when a suspension ends."""
    user = User.objects.filter(pk=user_id).first()
    if user is None or user.closed_at:
        return
    context = {"text": text, "until": until.isoformat() if until else ""}
    if act == "suspended":
        if until:
            suspensions.until(user_id=user_id, at=until)
        if user.email:  # `to`: a disabled account gets no other mail
            enqueue.send(user_id, "moderation_suspended", to=user.email, **context)
    elif user.email:
        enqueue.send(user_id, f"moderation_{act}", **context)


@receiver(post_save, sender=EmailVerificationToken)
def mail_a_link(sender: Any, instance: EmailVerificationToken, created: bool, raw: bool, **kwargs: Any) -> None:
    """Enqueue the mail of a token created by hand, as in the guide: `EmailVerificationToken.objects.create(user=user)`.

    The mail gets a secret of its own when it is written (`single_use.issue`, which saves by `bulk_create`).
    """
    if created and not raw:
        enqueue.send(instance.user_id, "verify_email")


@receiver(pre_save, sender=User)
def look_before(sender: Any, instance: User, raw: bool, update_fields: Any = None, **kwargs: Any) -> None:
    """Remember the row's values before a save, and normalise the columns of a raw save (a fixture)."""
    if raw:
        columns.settle(instance)
    instance._before = None  # type: ignore[attr-defined]
    if instance.pk is None or (update_fields is not None and not set(update_fields) & set(Before.FIELDS)):
        return
    row = User.objects.select_for_update(no_key=True).filter(pk=instance.pk).values(*Before.FIELDS).first()
    instance._before = Before(**row) if row else None  # type: ignore[attr-defined]


@receiver(post_save, sender=User)
def look_after(sender: Any, instance: User, **kwargs: Any) -> None:
    before: Before | None = instance.__dict__.pop("_before", None)
    if before is not None:
        see_to(sender, user_id=instance.pk, before=before)
        if before.password != instance.password:
            instance.refresh_from_db(
                fields=["password_changed_at", "login_attempts", "locked_until", "device_token_version"]
            )


@receiver(rewritten)
def see_to(sender: Any, user_id: int, before: Before, **kwargs: Any) -> None:
    """Apply the consequences of a new password, a new address or a suspension, in the transaction of the write."""
    user = User.objects.filter(pk=user_id).first()
    if user is None or user.closed_at:  # closing an account handles all of this itself
        return
    if user.password != before.password:
        replace.take_effect(user_id, by="operator", at=timezone.now())
    if user.email.lower() != before.email.lower():
        single_use.void_resets(user_id)
        single_use.call_off_changes(user_id)
    if before.is_active and not user.is_active and sessions.revoke_all(user_id=user_id, reason="account_disabled"):
        transaction.on_commit(lambda: user_suspended.send_robust(sender=User, user_id=user_id), robust=True)
