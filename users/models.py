"""User accounts, their single-use tokens and security events. Field names follow the sessions guide."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Lower
from django.dispatch import Signal
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from common import passwords
from users.identity import columns, names

# before: Before; user_id: int. A password, an address or `is_active` was written without the services: by `save()`,
# a fixture, `update()` or `bulk_update()`. Sent inside the transaction of the write.
rewritten = Signal()


@dataclass(frozen=True, kw_only=True)
class Before:
    """The values of a row before it was written."""

    password: str
    email: str
    is_active: bool

    FIELDS = ("password", "email", "is_active")


class PeopleQuerySet(models.QuerySet["User"]):
    """Queryset whose writes of many rows maintain name keys and the effects of a new password or address."""

    def update(self, **fields: Any) -> int:
        if isinstance(fields.get("username"), str) or any(isinstance(fields.get(n), str) for n in ("email", *NAMES)):
            settled = self.model(**{n: v for n, v in fields.items() if n in ("username", "email", *NAMES)})
            for name in columns.settle(settled, only=set(fields)):
                fields[name] = getattr(settled, name)
        if not set(fields) & set(Before.FIELDS):
            return super().update(**fields)
        with transaction.atomic(using=self.db):
            before = {row.pop("pk"): Before(**row) for row in self.values("pk", *Before.FIELDS)}
            # By primary key: after the write the filter may no longer match.
            written = super().update(**fields)
            for user_id, was in before.items():
                rewritten.send(sender=self.model, user_id=user_id, before=was)
        return written

    update.alters_data = True  # type: ignore[attr-defined]

    def rewrite(self, **fields: Any) -> int:
        """Plain `update()` for the services, which handle the consequences themselves."""
        return super().update(**fields)

    rewrite.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[Any], fields: Any, batch_size: int | None = None) -> int:
        objs, fields = list(objs), list(fields)
        kept: set[str] = set()
        for one in objs:
            kept |= columns.settle(one, only=set(fields))
        return super().bulk_update(objs, [*fields, *sorted(kept - set(fields))], batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(  # type: ignore[override]
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Iterable[str] | None = None,
        unique_fields: Iterable[str] | None = None,
    ) -> list[Any]:
        objs, unique_fields = list(objs), list(unique_fields or ())
        if not update_conflicts:
            return super().bulk_create(objs, batch_size, ignore_conflicts)
        fields = set(update_fields or ())
        for one in objs:
            fields |= columns.settle(one, only=fields)
        with transaction.atomic(using=self.db):
            met = self.filter(**{f"{name}__in": [getattr(one, name) for one in objs] for name in unique_fields})
            before = {row.pop("pk"): Before(**row) for row in met.values("pk", *Before.FIELDS)}
            written = super().bulk_create(
                objs,
                batch_size,
                update_conflicts=True,
                update_fields=sorted(fields),
                unique_fields=unique_fields or None,
            )
            for user_id, was in before.items():
                rewritten.send(sender=self.model, user_id=user_id, before=was)
        return written

    bulk_create.alters_data = True  # type: ignore[attr-defined]


NAMES = ("first_name", "last_name")


class PeopleManager(UserManager.from_queryset(PeopleQuerySet)["User"]):  # type: ignore[misc]
    use_in_migrations = False

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find by the exact name: otherwise a fixture without primary keys could overwrite a look-alike."""
        return self.get(username=names.normalise(username or ""))

    def create_superuser(self, username: str, email: str | None = None, password: Any = None, **fields: Any) -> "User":
        """Like Django's. Raises ValidationError, which the command prints, if the name or the address is taken."""
        same = models.Q(username_key=names.skeleton(username)) | models.Q(username_looks=names.looks(username))
        if self.filter(same).exists():
            raise ValidationError(_("A user with that username already exists."), code="unique")
        if email and self.alias(lower=Lower("email")).filter(lower=columns.addresses.key(email) or email).exists():
            raise ValidationError(_("A user with that e-mail address already exists."), code="unique")
        return super().create_superuser(username, email, password, **fields)


class User(AbstractUser):
    """A user. `username` is NFKC-normalised; `username_key`, its look-alike skeleton, is unique and the look-up key."""

    objects: ClassVar[Any] = PeopleManager()

    # What the person of a request is read without; whoever asks for one of these reads it then.
    RARELY_READ = (
        "username_key",
        "username_looks",
        "search_username",
        "search_first_name",
        "search_last_name",
        "last_login_ip",
        "login_attempts",
        "locked_until",
        "device_fingerprint",
        "links_version",
    )

    username = columns.NameColumn(
        _("username"),
        max_length=names.MAXIMUM_CHARS,
        unique=True,
        validators=[names.validate],
        error_messages={"unique": _("A user with that username already exists.")},
    )
    email = columns.AddressColumn(_("email address"), blank=True)
    username_key = columns.KeyColumn(max_length=600, unique=True, editable=False, made_of=("username", names.skeleton))

    # `names.looks`: unique as well.
    username_looks = columns.KeyColumn(
        max_length=600, unique=True, null=True, editable=False, made_of=("username", names.looks)
    )

    # Case-folded columns for prefix search.
    search_username = columns.KeyColumn(
        max_length=600, db_index=True, default="", editable=False, made_of=("username", names.fold)
    )
    search_first_name = columns.KeyColumn(
        max_length=600, db_index=True, default="", editable=False, made_of=("first_name", names.fold)
    )
    search_last_name = columns.KeyColumn(
        max_length=600, db_index=True, default="", editable=False, made_of=("last_name", names.fold)
    )

    # Authentication
    email_verified = models.BooleanField(_("e-mail verified"), default=False)
    phone_number = models.CharField(_("phone number"), max_length=20, blank=True, default="")
    phone_verified = models.BooleanField(_("phone verified"), default=False)

    # Security
    last_login_ip = models.GenericIPAddressField(_("last login address"), null=True, blank=True)
    login_attempts = models.PositiveIntegerField(_("login attempts"), default=0)
    locked_until = models.DateTimeField(_("locked until"), null=True, blank=True)
    password_changed_at = models.DateTimeField(_("password changed at"), null=True, blank=True)
    # Incremented to invalidate every issued `device_token` (reset, logout everywhere).
    device_token_version = models.PositiveIntegerField(default=0, editable=False)
    # Incremented to cancel an address change in progress, also one whose mail is not written yet.
    links_version = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True, editable=False)
    # Disabled until then; `users.suspensions.lift` enables the account again.
    suspended_until = models.DateTimeField(_("suspended until"), null=True, blank=True, editable=False)

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
            # A verified number belongs to one account; an unverified one may be in several.
            models.UniqueConstraint(
                fields=["phone_number"],
                condition=models.Q(phone_verified=True) & ~models.Q(phone_number=""),
                name="users_user_phone_unique",
            ),
        ]
        # What support filters by, and few people are.
        indexes = [
            models.Index(fields=["id"], condition=models.Q(is_active=False), name="users_user_inactive"),
            models.Index(fields=["id"], condition=models.Q(is_staff=True), name="users_user_staff"),
            models.Index(fields=["id"], condition=models.Q(email_verified=False), name="users_user_unverified"),
            models.Index(
                fields=["locked_until"], condition=models.Q(locked_until__isnull=False), name="users_user_locked"
            ),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row with its name keys; `users.receivers` ends what a new password or address invalidates."""
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"]}
            kwargs["update_fields"] |= columns.settle(self, only=kwargs["update_fields"])
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)

    def set_password(self, raw_password: str | None) -> None:
        """Hash the NFC form. Saving it ends the sessions and links of the old password."""
        super().set_password(raw_password if raw_password is None else passwords.normalise(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        """Check like every sign-in. An outdated hash is upgraded, which does not count as a password change."""
        right, outdated = passwords.verify(raw_password or "", self.password)
        if right and outdated and raw_password:
            self.upgrade_hash(raw_password)
        return right

    async def acheck_password(self, raw_password: str | None) -> bool:
        return await sync_to_async(self.check_password)(raw_password)

    def upgrade_hash(self, raw_password: str) -> None:
        """Store a hash of the preferred algorithm, unless the password was changed meanwhile."""
        old, self.password = self.password, passwords.encode(raw_password)
        type(self).objects.filter(pk=self.pk, password=old).rewrite(password=self.password)

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Bind the admin's session cookie also to logout everywhere and suspension, not only to the password."""
        return salted_hmac(
            "users.session_auth", f"{self.password}:{self.device_token_version}", secret=secret, algorithm="sha256"
        ).hexdigest()


class LoginCounter(models.Model):
    """Counter of failed passwords for one identifier (known or unknown), remembered device or session.

    `key` is an HMAC: no row identifies anybody. The lockout is decided from here; User mirrors it.
    """

    key = models.CharField(max_length=64, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    locked_until = models.DateTimeField(null=True)
    last_failed_at = models.DateTimeField(null=True, db_index=True)
    # How many of `failures` are final; the others are still being checked.
    settled = models.PositiveIntegerField(default=0)


def _reset_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.PASSWORD_RESET_LIFETIME)


def _verification_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.EMAIL_VERIFICATION_LIFETIME)


class SingleUseToken(models.Model):
    """A secret that is mailed as a random UUID and stored as its SHA-256 digest in UUID form (RFC 9562 version 8)."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token = models.UUIDField(unique=True, editable=False, default=uuid.uuid4)
    is_used = models.BooleanField(default=False)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class PasswordResetToken(SingleUseToken):
    """Token of a reset link, valid `PASSWORD_RESET_LIFETIME` seconds (1 hour). `email`: where it was mailed to."""

    email = models.EmailField(blank=True, default="", db_default="")
    expires_at = models.DateTimeField(default=_reset_end)


class EmailVerificationToken(SingleUseToken):
    """Token of a verification link, valid `EMAIL_VERIFICATION_LIFETIME` seconds (24 h). `email`: what it verifies.

    `allowed_by` is set for an address change: the account's mark at the time of the request
    (`mail.single_use.mark`). Without it the link verifies the stored address and changes nothing else.
    """

    email = models.EmailField(blank=True, default="")
    allowed_by = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    expires_at = models.DateTimeField(default=_verification_end)


def _notice_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.NOTICE_LINK_LIFETIME)


class NoticeToken(SingleUseToken):
    """Answers "Was it you?" in the mail about a security event, once. Lives `NOTICE_LINK_LIFETIME` seconds (7 days)."""

    event = models.ForeignKey("SecurityEvent", on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(default=_notice_end)


class SecurityEvent(models.Model):
    """One entry of a user's security timeline, deleted after `SECURITY_EVENT_RETENTION_DAYS`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="security_events", verbose_name=_("user"))
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
            models.Index(fields=["kind", "-at"], name="users_event_kind_at"),
            models.Index(fields=["ip_address", "-at"], name="users_event_ip_at"),
        ]


# Other models of this app: Django looks for them in this module.
from users.factors.models import (  # noqa: E402, F401
    Challenge,
    Passkey,
    RecoveryCode,
    SmsBudget,
    SocialLink,
    TotpFactor,
)
