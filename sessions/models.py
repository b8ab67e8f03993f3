"""Sessions and push registrations, one per device. Tokens only name a session; its row decides whether it is valid."""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class UserSession(models.Model):
    """One login on one device. `session_token` is the `sid` claim of its tokens and the session's id in the API.

    It ends at the earlier of `idle_expires_at` and `absolute_expires_at`, which is `expires_at`, or when revoked.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="user_sessions", verbose_name=_("user")
    )
    session_token = models.UUIDField(_("session token"), unique=True, default=uuid.uuid4, editable=False)
    device_fingerprint = models.CharField(_("device fingerprint"), max_length=255, blank=True, default="")
    ip_address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    user_agent = models.TextField(_("user agent"), blank=True, default="")
    is_active = models.BooleanField(_("active"), default=True)
    expires_at = models.DateTimeField(_("expires at"))

    device_name = models.CharField(_("device name"), max_length=100, blank=True, default="")
    location = models.JSONField(_("location"), null=True, blank=True)
    client = models.JSONField(_("client"), default=dict, blank=True)
    remember_me = models.BooleanField(_("remember me"), default=False)
    created_at = models.DateTimeField(_("created at"))
    last_seen_at = models.DateTimeField(_("last seen at"))
    idle_expires_at = models.DateTimeField(_("idle end"))
    absolute_expires_at = models.DateTimeField(_("absolute end"))
    # When and by which methods (RFC 8176) the user last authenticated; null in rows of an older release.
    authenticated_at = models.DateTimeField(_("proved at"), null=True, blank=True)
    amr = models.JSONField(_("proved by"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    end_reason = models.CharField(_("end reason"), max_length=32, blank=True, default="")

    # Rotation: `generation` orders tokens (never `iat`); the stored claims are signed again for a repeated request.
    generation = models.PositiveIntegerField(default=0)
    minimum_generation = models.PositiveIntegerField(default=0)  # raised by a password change: older tokens are invalid
    current_jti = models.CharField(max_length=32, default="")
    previous_jti = models.CharField(max_length=32, default="", blank=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    successor_used = models.BooleanField(default=False)
    signing_kid = models.CharField(max_length=64, default="", blank=True)
    signing_algorithm = models.CharField(max_length=16, default="", blank=True)
    refresh_claims = models.TextField(default="", blank=True)  # text, not JSON: JSONB would reorder the signed claims

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        indexes = [
            models.Index(fields=["user", "is_active", "-last_seen_at"], name="user_sessions_living"),
            models.Index(fields=["ended_at"], name="user_sessions_ended"),
            models.Index(fields=["expires_at"], name="user_sessions_expires"),
            models.Index(fields=["ip_address"], name="user_sessions_ip"),  # support asks who came from where
        ]
        constraints = [
            # One session per device.
            models.UniqueConstraint(
                fields=["user", "device_fingerprint"],
                condition=models.Q(is_active=True) & ~models.Q(device_fingerprint=""),
                name="user_sessions_one_per_device",
            )
        ]

    def is_living(self, *, at: datetime) -> bool:
        return self.is_active and self.expires_at > at


class PushRegistration(models.Model):
    """The push address of a session's device. Deleted in the transaction that ends the session."""

    class Provider(models.TextChoices):
        WEBPUSH = "webpush", "Web Push"
        FCM = "fcm", "FCM"
        APNS = "apns", "APNs"
        EXPO = "expo", "Expo"

    class Show(models.TextChoices):
        FULL = "full", _("sender and text")
        SENDER = "sender", _("sender")
        NOTHING = "nothing", _("nothing")

    class Environment(models.TextChoices):
        PRODUCTION = "production", _("production")
        SANDBOX = "sandbox", _("sandbox")

    user_session = models.OneToOneField(UserSession, on_delete=models.CASCADE, related_name="push")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    provider = models.CharField(max_length=8, choices=Provider)
    token = models.TextField()  # for Web Push the endpoint
    digest = models.CharField(max_length=64, unique=True)  # of provider and token: a device has one session
    p256dh = models.CharField(max_length=100, blank=True, default="")
    auth = models.CharField(max_length=32, blank=True, default="")
    environment = models.CharField(max_length=10, choices=Environment, blank=True, default="")
    show = models.CharField(max_length=8, choices=Show, default=Show.NOTHING)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name = _("push registration")
        verbose_name_plural = _("push registrations")
