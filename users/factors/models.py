"""Authentication factors besides the password, open challenges, and SMS budgets."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class TotpFactor(models.Model):
    """The authenticator app of a user. It is on once `confirmed_at` is set: then login asks for its code.

    Both secrets are sealed (`sessions.tokens.sealing`). `last_step`: the newest 30-second step that was
    accepted, which is not accepted again.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="totp")
    secret = models.TextField(default="", blank=True)
    confirmed_at = models.DateTimeField(_("on since"), null=True)
    pending_secret = models.TextField(default="", blank=True)  # shown, not yet confirmed by a code
    pending_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")


class RecoveryCode(models.Model):
    """One of ten codes for use when the telephone is lost. Only its digest is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="users_recovery_code_unique")]


class Passkey(models.Model):
    """A WebAuthn credential. `credential_id` is base64url, as in the API; the private key stays on the device."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="passkeys")
    credential_id = models.CharField(max_length=1400, unique=True)
    public_key = models.BinaryField()
    sign_count = models.BigIntegerField(default=0)
    user_handle = models.CharField(max_length=100)
    name = models.CharField(_("name"), max_length=100, blank=True, default="")
    transports = models.JSONField(default=list)
    backed_up = models.BooleanField(_("backed up"), default=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    last_used_at = models.DateTimeField(_("last used at"), null=True)

    class Meta:
        verbose_name = _("passkey")
        verbose_name_plural = _("passkeys")


class SocialLink(models.Model):
    """A linked account of another provider, identified by its `sub`, never by its e-mail address."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="social_links")
    provider = models.CharField(_("provider"), max_length=40)
    subject = models.CharField(max_length=255)
    email = models.CharField(_("e-mail address"), max_length=254, blank=True, default="")
    linked_at = models.DateTimeField(_("linked at"), default=timezone.now)
    # Sealed; stored only to be revoked when the account closes, as Apple's App Store requires.
    refresh_token = models.TextField(default="", blank=True)

    class Meta:
        verbose_name = _("linked account")
        verbose_name_plural = _("linked accounts")
        constraints = [
            models.UniqueConstraint(fields=["provider", "subject"], name="users_social_subject_unique"),
            models.UniqueConstraint(fields=["user", "provider"], name="users_social_one_per_provider"),
        ]


class Challenge(models.Model):
    """An open challenge that can be answered once: an `mfa_token`, a WebAuthn challenge, a mailed or texted code.

    `digest` is SHA-256 of the token, `code` an HMAC of the six digits. An answered challenge is deleted.
    """

    digest = models.CharField(max_length=64, primary_key=True)
    purpose = models.CharField(max_length=20)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    code = models.CharField(max_length=64, default="", blank=True)
    tries = models.PositiveIntegerField(default=0)
    data = models.JSONField(default=dict)
    expires_at = models.DateTimeField(db_index=True)


class SmsBudget(models.Model):
    """How many SMS were sent in a window. In the database, not in the cache: SMS cost money also while Redis is down.

    `key` is an HMAC if it would otherwise contain a number or an address.
    """

    key = models.CharField(max_length=100, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    ends_at = models.DateTimeField(db_index=True)
