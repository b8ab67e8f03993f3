"""The admin's pages of people: who may change whom, and what saving does."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common import rights
from common.client import client_of
from users import security_events
from users.admin import actions
from users.admin.acts import ACTS, Acts, bulk
from users.admin.finding import Finding, LockedFilter
from users.admin.forms import NewPersonForm, PersonForm
from users.admin.glance import Glance
from users.mail import enqueue
from users.models import User


@admin.register(User)
class PersonAdmin(Finding, Acts, Glance, UserAdmin):
    """A person: the list in `finding`, the buttons in `acts`, what stands above the form in `glance`."""

    form = PersonForm
    add_form = NewPersonForm
    change_form_template = "users/admin/person_change_form.html"
    list_display = (
        "username",
        "email",
        "email_verified",
        "is_active",
        "lockout",
        "living_sessions",
        "last_login",
    )
    list_filter = ("is_active", LockedFilter, "email_verified", "is_staff", "is_superuser")
    search_fields = ("username",)
    search_help_text = _("The beginning of names, or a whole e-mail address, number of an account or IP address.")
    ordering = ("-id",)
    filter_horizontal = ("groups", "user_permissions")
    readonly_fields = (
        "last_login",
        "last_login_ip",
        "date_joined",
        "closed_at",
        "password_changed_at",
        "lockout",
        "login_attempts",
        "fingerprint",
        "phone",
        "phone_verified",
    )
    # No password, not even its hash: the user chooses a new one ("Force a new password").
    fieldsets = (
        (None, {"fields": ("username", "first_name", "last_name")}),
        (_("Contact"), {"fields": ("email", "email_verified", "phone", "phone_verified")}),
        (_("State"), {"fields": ("is_active", "lockout", "login_attempts", "closed_at")}),
        (
            _("Sign-in"),
            {"fields": ("last_login", "last_login_ip", "fingerprint", "password_changed_at", "date_joined")},
        ),
        (
            _("Preferences"),
            {"fields": ("language", "timezone", "email_notifications", "sms_notifications", "push_notifications")},
        ),
        (_("Permissions"), {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    add_fieldsets = (
        (None, {"fields": ("username", "email", "language", "usable_password", "password1", "password2")}),
    )
    actions = tuple(bulk(name) for name in ACTS)

    class Media:
        css = {"all": ("users/admin.css",)}
        js = ("users/filters.js",)

    # --- Who may ---

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse changes to an account with more rights: setting its address would allow a password reset."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or rights.covers(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # only its owner closes an account, which keeps messages for the others; the admin disables it

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        if obj is not None and obj.pk == request.user.pk:
            # One's own address is changed by `email-change/`, with the password: a stolen cookie must not move it.
            fields = (*fields, "email", "email_verified")
        if request.user.is_superuser:
            return fields
        # Permission to change users does not allow raising one's own rights.
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **kwargs: Any) -> Any:
        if db_field.name == "user_permissions":  # each names its table: a hundred statements otherwise
            kwargs["queryset"] = Permission.objects.select_related("content_type")
        return super().formfield_for_manytomany(db_field, request=request, **kwargs)

    # --- Saving ---

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        before = User.objects.get(pk=obj.pk) if change else None
        new_address = before is not None and before.email.lower() != obj.email.lower()
        if new_address and "email_verified" not in form.changed_data:
            obj.email_verified = False
        super().save_model(request, obj, form, change)
        if before is None:
            if obj.email:
                enqueue.send(obj.pk, "verify_email" if obj.has_usable_password() else "password_reset")
            return
        if new_address:
            self._tell_of_new_address(request, before, obj)
        if before.is_active and not obj.is_active:
            actions.suspend(user=obj)

    def _tell_of_new_address(self, request: HttpRequest, before: User, obj: User) -> None:
        event = security_events.record(
            user_id=obj.pk, kind="email_changed", at=timezone.now(), client=client_of(request), detail={"by": "admin"}
        )
        if before.email:
            context = {"new_email": obj.email, "event_id": str(event.pk)}
            enqueue.send(obj.pk, "email_change_old_address", to=before.email, language=obj.language, **context)
        if obj.email and not obj.email_verified:
            enqueue.send(obj.pk, "verify_email")
