"""Who you are. Field names are those of the sessions guide."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from users.identity import names


class User(AbstractUser):
    """A person. `username` is NFKC-normalised, `username_key` its look-alike skeleton: found by it and unique."""

    username = models.CharField(
        _("username"),
        max_length=names.MAXIMUM_CHARS,
        unique=True,
        validators=[names.validate],
        error_messages={"unique": _("A user with that username already exists.")},
    )
    username_key = models.CharField(max_length=600, unique=True, editable=False)

    # What search compares with, by prefix; kept by save().
    search_username = models.CharField(max_length=600, db_index=True, default="", editable=False)
    search_first_name = models.CharField(max_length=600, db_index=True, default="", editable=False)
    search_last_name = models.CharField(max_length=600, db_index=True, default="", editable=False)

    # Authentication
    email_verified = models.BooleanField(_("e-mail verified"), default=False)
    phone_number = models.CharField(_("phone number"), max_length=20, blank=True, default="")
    phone_verified = models.BooleanField(_("phone verified"), default=False)

    # Security
    last_login_ip = models.GenericIPAddressField(_("last login address"), null=True, blank=True)
    login_attempts = models.PositiveIntegerField(_("login attempts"), default=0)
    locked_until = models.DateTimeField(_("locked until"), null=True, blank=True)
    password_changed_at = models.DateTimeField(_("password changed at"), null=True, blank=True)
    # Raised to void every `device_token` that was handed out (reset, logout everywhere).
    device_token_version = models.PositiveIntegerField(default=0, editable=False)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True, editable=False)

    # Sessions
    device_fingerprint = models.CharField(_("device fingerprint"), max_length=255, blank=True, default="")

    # Preferences
    language = models.CharField(_("language"), max_length=10, default="fr")
    timezone = models.CharField(_("time zone"), max_length=50, default="Africa/Algiers")

    # Notifications
    email_notifications = models.BooleanField(_("e-mail notifications"), default=True)
    sms_notifications = models.BooleanField(_("SMS notifications"), default=False)
    push_notifications = models.BooleanField(_("push notifications"), default=True)

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(Lower("email"), condition=~models.Q(email=""), name="users_user_email_unique"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.username = names.normalise(self.username)
        self.username_key = names.skeleton(self.username)
        for field in ("username", "first_name", "last_name"):
            setattr(self, f"search_{field}", names.fold(getattr(self, field))[:600])
        fields = kwargs.get("update_fields")
        if fields is not None:
            kept = {f"search_{field}" for field in {"username", "first_name", "last_name"} & set(fields)}
            kwargs["update_fields"] = {*fields, *kept} | ({"username_key"} if "username" in fields else set())
        super().save(*args, **kwargs)


class LoginCounter(models.Model):
    """Failed passwords of one identifier (or one remembered device), known or unknown alike.

    `key` is an HMAC: no row names anybody. The lockout decides from here; User mirrors it.
    """

    key = models.CharField(max_length=64, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    locked_until = models.DateTimeField(null=True)
    last_failed_at = models.DateTimeField(null=True, db_index=True)
    # How many of `failures` have been decided; the rest are being checked at this moment.
    settled = models.PositiveIntegerField(default=0)


def _reset_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.PASSWORD_RESET_LIFETIME)


def _verification_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.EMAIL_VERIFICATION_LIFETIME)


class SingleUseToken(models.Model):
    """A secret that is mailed as a random UUID and kept as its digest in UUID form (RFC 9562 version 8 of SHA-256)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token = models.UUIDField(unique=True, editable=False, default=uuid.uuid4)
    is_used = models.BooleanField(default=False)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class PasswordResetToken(SingleUseToken):
    """Lives `PASSWORD_RESET_LIFETIME` seconds (1 hour)."""

    expires_at = models.DateTimeField(default=_reset_end)


class EmailVerificationToken(SingleUseToken):
    """Lives `EMAIL_VERIFICATION_LIFETIME` seconds (24 hours). `email` is the address that it proves."""

    email = models.EmailField(blank=True, default="")
    expires_at = models.DateTimeField(default=_verification_end)


class SecurityEvent(models.Model):
    """One line of a person's security timeline. Never changed; gone after `SECURITY_EVENT_RETENTION_DAYS`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="security_events")
    kind = models.CharField(_("kind"), max_length=40)
    at = models.DateTimeField(_("at"))
    ip_address = models.GenericIPAddressField(_("address"), null=True)
    location = models.JSONField(_("location"), null=True)
    client = models.JSONField(_("client"), default=dict)
    session_id = models.UUIDField(_("session"), null=True)
    detail = models.JSONField(_("detail"), default=dict)

    class Meta:
        verbose_name = _("security event")
        verbose_name_plural = _("security events")
        indexes = [
            models.Index(fields=["user", "-at"], name="users_event_user_at"),
            models.Index(fields=["at"], name="users_event_at"),  # the purge, and the admin's list of all
        ]
