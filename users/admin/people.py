"""Admin pages for users, their security timeline, groups, and the admin's own audit log."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.utils import formats, timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from common import csv_export, rights
from common.admin import NOTHING, Audited, History, Keyset, as_address, confirm, people_named, sections
from common.client import client_of
from common.errors import ValidationFailed
from common.json import isoformat
from common.wording import device, place
from sessions import endings
from sessions.models import UserSession
from sessions.places import location
from users import security_events
from users.admin import actions
from users.factors import listing
from users.flows import register
from users.identity import addresses, names
from users.mail import enqueue
from users.models import SecurityEvent, User
from users.phone import numbers


def _checked(field: str, **wanted: Any) -> None:
    try:
        register.require_free(**wanted)
    except ValidationFailed as error:
        raise ValidationError(
            [ValidationError(e["message"], e["code"]) for e in error.extra["errors"][field]]
        ) from None


class PersonForm(forms.ModelForm):
    """User form with the rules of registration; it refuses to disable or demote the last superuser."""

    language = forms.ChoiceField(label=capfirst(_("language")), choices=settings.LANGUAGES)

    class Meta:
        model = User
        fields = (
            *("username", "first_name", "last_name", "email", "email_verified"),
            *("is_active", "language", "timezone", "email_notifications", "sms_notifications", "push_notifications"),
            *("is_staff", "is_superuser", "groups", "user_permissions"),
        )

    def clean_username(self) -> str:
        _checked("username", username=self.cleaned_data["username"], except_id=self.instance.pk)
        return self.cleaned_data["username"]

    def clean_email(self) -> str:
        email = self.cleaned_data["email"]
        if email:
            email = addresses.normalise(email)
            _checked("email", email=email, except_id=self.instance.pk)
        return email

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        before = User.objects.filter(pk=self.instance.pk).first()
        taken = [field for field in ("is_active", "is_staff", "is_superuser") if cleaned.get(field) is False]
        if before and before.is_superuser and before.is_active and taken:
            try:
                actions.keep_a_superuser(before)
            except actions.Refused as refusal:
                self.add_error(taken[0], str(refusal))
        if before and before.closed_at and cleaned.get("is_active"):
            self.add_error("is_active", _("This account was closed by its owner."))
        return cleaned


class NewPersonForm(AdminUserCreationForm):
    class Meta(AdminUserCreationForm.Meta):
        model = User
        fields = ("username", "email", "language")

    language = forms.ChoiceField(
        label=capfirst(_("language")), choices=settings.LANGUAGES, initial=User._meta.get_field("language").default
    )
    clean_email = PersonForm.clean_email

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["usable_password"].label = _("Password")
        self.fields["usable_password"].help_text = _("Disabled: the person is mailed a link to choose one.")

    def clean_username(self) -> str:
        _checked("username", username=self.cleaned_data["username"])
        return self.cleaned_data["username"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("set_usable_password") is False and not cleaned.get("email") and "email" not in self.errors:
            self.add_error("email", _("Without a password the person needs an address, to be mailed a link."))
        return cleaned


class LockedFilter(admin.SimpleListFilter):
    title = _("lockout")
    parameter_name = "locked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("locked"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(locked_until__gt=timezone.now()) if self.value() == "yes" else queryset


@dataclass(frozen=True, kw_only=True)
class Act:
    """`own`: whether an admin may do it to themself. `will`: what it does beyond the sessions that it `ends`."""

    label: Any
    run: Callable[..., None]
    own: bool = True
    ends: bool = False
    will: tuple[Any, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether a page says first what will happen."""
        return self.ends or bool(self.will)


ACTS = {
    "unlock": Act(label=_("Lift the lockout"), run=actions.unlock),
    "verify_email": Act(label=_("Mark the e-mail address as verified"), run=actions.mark_verified),
    "force_reset": Act(
        label=_("Force a new password"),
        run=actions.force_reset,
        own=False,
        ends=True,
        will=(
            _("The password stops working."),
            _("A link to choose a new one is mailed."),
            _("Open reset links and address changes end."),
        ),
    ),
    "sign_out": Act(
        label=_("Revoke all sessions"),
        run=actions.sign_out,
        ends=True,
        will=(_("Remembered devices are forgotten."), _("Pending address changes end.")),
    ),
    "disable": Act(
        label=_("Disable the account"),
        run=actions.suspend,
        own=False,
        ends=True,
        will=(
            _("Nobody signs in to the account until it is enabled again."),
            _("Open reset links and address changes end."),
        ),
    ),
    "enable": Act(label=_("Enable the account"), run=actions.restore),
}


def _bulk(name: str) -> Callable[..., HttpResponse | None]:
    @admin.action(description=ACTS[name].label, permissions=["change"])
    def act(person_admin: "PersonAdmin", request: HttpRequest, queryset: Any) -> HttpResponse | None:
        if ACTS[name].asks and request.POST.get("confirmed") != "yes":
            return person_admin.ask_for_many(request, list(queryset), name)
        done = sum(person_admin.act(request, user, name) for user in queryset)
        if done:
            said = ngettext("Done for %(count)d person.", "Done for %(count)d people.", done) % {"count": done}
            person_admin.message_user(request, said, messages.SUCCESS)
        return None

    act.__name__ = name
    return act


ROWS = 10  # of each table on a person's page; "more" leads to all


@admin.register(User)
class PersonAdmin(Audited, Keyset, UserAdmin):
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
    actions = tuple(_bulk(name) for name in ACTS)

    class Media:
        css = {"all": ("users/admin.css",)}

    # --- The list ---

    def found_by(self, term: str) -> Q:
        """Search by whole keys, or by the beginnings of folded names as `users/search/` does."""
        if address := as_address(term):
            recent = UserSession.objects.filter(ip_address=address).order_by("-pk").values_list("user_id")[:500]
            return Q(pk__in={user_id for (user_id,) in recent})
        if term.isdecimal() and len(term) < 19:
            return Q(pk=int(term)) | Q(search_username__startswith=term)
        if "@" in term:
            return Q(pk__in=people_named(term))
        found = Q()
        for word in names.fold(term).split():
            found &= (
                Q(search_username__startswith=word)
                | Q(search_first_name__startswith=word)
                | Q(search_last_name__startswith=word)
            )
        return found or NOTHING

    def decorated(self, rows: list[Any]) -> list[Any]:
        living = UserSession.objects.filter(
            user__in=[row.pk for row in rows], is_active=True, expires_at__gt=timezone.now()
        )
        counts = dict(living.order_by().values_list("user").annotate(count=Count("pk")))
        for row in rows:
            row.living_sessions = counts.get(row.pk, 0)
        return rows

    # --- Columns ---

    @admin.display(description=_("locked until"))
    def lockout(self, user: User) -> Any:
        return user.locked_until if self.is_locked(user) else "-"

    def is_locked(self, user: User) -> bool:
        return bool(user.locked_until and user.locked_until > timezone.now())

    @admin.display(description=_("sessions"))
    def living_sessions(self, user: Any) -> int:
        return user.living_sessions

    @admin.display(description=_("device fingerprint"))
    def fingerprint(self, user: User) -> str:
        return f"…{user.device_fingerprint[-6:]}" if user.device_fingerprint else "-"

    @admin.display(description=_("phone number"))
    def phone(self, user: User) -> str:
        """Return the number masked: enough to compare it on the telephone, too little to call it."""
        return numbers.masked(user.phone_number) or "-"

    # --- Who may ---

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse changes to an account with more rights: setting its address would allow a password reset."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or rights.covers(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # only its owner closes an account, which keeps messages for the others; the admin disables it

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
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

    # --- Acts ---

    def act(self, request: HttpRequest, user: User, name: str) -> bool:
        """Run the action and write it to the audit log, or show the reason of the refusal."""
        chosen = ACTS[name]
        if not self.has_change_permission(request, user):
            return self._refuse(request, user, _("You may not change this person."))
        if not chosen.own and user.pk == request.user.pk:
            return self._refuse(request, user, _("You cannot do this to your own account."))
        try:
            with transaction.atomic():
                chosen.run(user=user)
                self.log_act(request, user, name)
        except actions.Refused as refusal:
            return self._refuse(request, user, str(refusal))
        return True

    def _refuse(self, request: HttpRequest, user: User, why: Any) -> bool:
        self.message_user(request, f"{user.username}: {why}", messages.ERROR)
        return False

    def get_urls(self) -> list[Any]:
        # A password set here would have to be shown or sent to the user in clear.
        urls = [url for url in super().get_urls() if url.name != "auth_user_password_change"]
        act = self.admin_site.admin_view(self.act_view)
        remove = self.admin_site.admin_view(self.second_factor_view)
        return [
            path("<int:pk>/act/<slug:name>/", act, name="users_user_act"),
            path("<int:pk>/second-factor/", remove, name="users_user_second_factor"),
            *urls,
        ]

    def second_factor_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove a second factor that its owner has lost; never one's own, so that a stolen cookie cannot."""
        user = self._person(request, pk)
        label = _("Remove the second factor")
        if request.method != "POST":
            return confirm(
                self,
                request,
                title=label,
                subject=user.username,
                will=[
                    _("The authenticator app and all recovery codes stop working."),
                    _("Passkeys, password and sessions stay."),
                    _("The person is mailed the reason."),
                ],
                button=label,
                back=reverse("admin:users_user_change", args=[pk]),
                reason=_("Reason (the person is told)"),
            )
        try:
            if user.pk == request.user.pk:
                raise actions.Refused(_("You cannot do this to your own account."))
            with transaction.atomic():
                reason = request.POST.get("reason", "")
                actions.remove_second_factor(user=user, reason=reason, client=client_of(request))
                self.log_act(request, user, "remove_second_factor")
        except actions.Refused as refusal:
            self._refuse(request, user, str(refusal))
        else:
            self.message_user(request, _("Done: %(act)s.") % {"act": label}, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:users_user_change", args=[pk]))

    def act_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Say on GET what will happen, do it on POST."""
        if name not in ACTS:
            raise Http404
        user = self._person(request, pk, itself=False)
        if request.method != "POST":
            return confirm(
                self,
                request,
                title=ACTS[name].label,
                subject=user.username,
                will=self._will([user], name),
                button=ACTS[name].label,
                back=reverse("admin:users_user_change", args=[pk]),
            )
        if self.act(request, user, name):
            self.message_user(request, _("Done: %(act)s.") % {"act": ACTS[name].label}, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:users_user_change", args=[pk]))

    def ask_for_many(self, request: HttpRequest, people: list[User], name: str) -> HttpResponse:
        """Say what an action of the list will do, for all that are chosen together."""
        chosen = [("_selected_action", user.pk) for user in people]
        shown = ", ".join(user.username for user in people[:10]) + (", …" if len(people) > 10 else "")
        return confirm(
            self,
            request,
            title=ACTS[name].label,
            subject=shown,
            will=self._will(people, name),
            button=ACTS[name].label,
            back=request.get_full_path(),
            hidden=[("action", name), ("confirmed", "yes"), *chosen],
        )

    def _will(self, people: list[User], name: str) -> list[Any]:
        act = ACTS[name]
        return [*(endings.of(endings.living([user.pk for user in people])) if act.ends else []), *act.will]

    def _person(self, request: HttpRequest, pk: int, *, itself: bool = True) -> User:
        """Return somebody whom the reader may change. With `itself` False the act itself says why not."""
        if request.method not in {"GET", "HEAD", "POST"}:
            raise PermissionDenied
        if not self.has_change_permission(request):
            raise PermissionDenied
        user = User.objects.filter(pk=pk).first()
        if user is None:
            raise Http404
        if itself and not self.has_change_permission(request, user):
            raise PermissionDenied
        return user

    # --- The person's page ---

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        user = kwargs.get("obj")
        if user is not None:
            context |= (
                self._glance(request, user)
                | self._acts(request, user)
                | self._factors(request, user)
                | self._sessions(request, user)
                | self._timeline(request, user)
            )
        return super().render_change_form(request, context, *args, **kwargs)

    def _glance(self, request: HttpRequest, user: User) -> dict[str, Any]:
        """Show the state in a line of marks: what is wrong first."""
        now = timezone.now()
        marks: list[tuple[str, Any]] = []
        if user.closed_at:
            marks.append(("bad", _("closed by its owner")))
        elif user.suspended_until and user.suspended_until > now:
            until = formats.date_format(timezone.localtime(user.suspended_until), "SHORT_DATETIME_FORMAT")
            marks.append(("bad", _("suspended until %(time)s") % {"time": until}))
        elif not user.is_active:
            marks.append(("bad", _("disabled")))
        else:
            marks.append(("good", _("active")))
        if self.is_locked(user):
            until = formats.date_format(timezone.localtime(user.locked_until), "TIME_FORMAT")
            marks.append(("bad", _("locked until %(time)s") % {"time": until}))
        if user.email and not user.email_verified:
            marks.append(("soft", _("address not verified")))
        if user.is_superuser:
            marks.append(("soft", _("superuser")))
        elif user.is_staff:
            marks.append(("soft", _("staff")))
        return {"marks": marks, "sections": sections(request, user.pk)}

    def _acts(self, request: HttpRequest, user: User) -> dict[str, Any]:
        if not self.has_change_permission(request, user) or user.closed_at:
            return {}
        left_out = {"enable"} if user.is_active else {"disable", "force_reset"}
        if not self.is_locked(user) and not user.login_attempts:
            left_out.add("unlock")
        if user.email_verified or not user.email:
            left_out.add("verify_email")
        own = user.pk == request.user.pk
        names = [name for name, act in ACTS.items() if name not in left_out and (act.own or not own)]
        url = "admin:users_user_act"
        shown = [
            {"label": ACTS[name].label, "asks": ACTS[name].asks, "url": reverse(url, args=[user.pk, name])}
            for name in names
        ]
        return {"acts": shown}

    def _factors(self, request: HttpRequest, user: User) -> dict[str, Any]:
        """Return which factors the user has, without any secret."""
        shown = listing.of(user)
        may = self.has_change_permission(request, user) and user.pk != request.user.pk
        url = reverse("admin:users_user_second_factor", args=[user.pk]) if may and shown["totp"] else ""
        return {"factors": shown, "second_factor_url": url}

    def _sessions(self, request: HttpRequest, user: User) -> dict[str, Any]:
        if not request.user.has_perm("user_sessions.view_usersession"):
            return {}
        now = timezone.now()
        rows = UserSession.objects.filter(user=user).order_by("-is_active", "-last_seen_at")[:ROWS]
        shown = [
            {
                "row": row,
                "device": row.device_name or device(row.client) or "-",
                "place": place(location.described(row.location)) or "-",
                "living": row.is_living(at=now),
            }
            for row in rows
        ]
        may = request.user.has_perm("user_sessions.change_usersession")
        may = may and rights.covers(request.user, user)
        return {"sessions": shown, "may_revoke": may}

    def _timeline(self, request: HttpRequest, user: User) -> dict[str, Any]:
        if not request.user.has_perm("users.view_securityevent"):
            return {}
        shown = [
            {
                "event": event,
                "kind": security_events.KINDS.get(event.kind, event.kind),
                "device": device(event.client) or "-",
                "place": place(location.described(event.location)) or "-",
            }
            for event in SecurityEvent.objects.filter(user=user).order_by("-at")[:ROWS]
        ]
        return {"timeline": shown}


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(Audited, DjangoGroupAdmin):
    """Groups are for superusers only: whoever can change one could give themself any permission."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(security_events.KINDS.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(SecurityEvent)
class SecurityEventAdmin(History):
    list_display = ("at", "what", "user", "ip_address", "place", "device")
    list_filter = (KindFilter, "at")
    search_fields = ("ip_address",)
    search_help_text = _("A whole user name, e-mail address or IP address.")
    list_select_related: ClassVar[Any] = ("user",)
    ordering = ("-at",)
    fields = ("at", "what", "user", "ip_address", "place", "device", "session_id", "detail")
    readonly_fields = ("what", "place", "device")

    def found_by(self, term: str) -> Q:
        address = as_address(term)
        return Q(ip_address=address) if address else Q(user__in=people_named(term))

    @admin.display(description=_("what"), ordering="kind")
    def what(self, event: SecurityEvent) -> str:
        return str(security_events.KINDS.get(event.kind, event.kind))

    @admin.display(description=_("place"))
    def place(self, event: SecurityEvent) -> str:
        return place(location.described(event.location)) or "-"

    @admin.display(description=_("device"))
    def device(self, event: SecurityEvent) -> str:
        return device(event.client) or "-"


class AboutFilter(admin.SimpleListFilter):
    """By what an act was about: the tables that have pages here."""

    title = _("about")
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        models = sorted(model_admin.admin_site._registry, key=lambda model: str(model._meta.verbose_name_plural))
        return [(model._meta.label_lower, capfirst(model._meta.verbose_name_plural)) for model in models]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        app, _dot, name = (self.value() or "").partition(".")
        return queryset.filter(content_type__app_label=app, content_type__model=name) if name else queryset


@admin.register(LogEntry)
class LogEntryAdmin(History):
    """Read-only audit log of what admins did."""

    list_display = ("action_time", "user", "content_type", "object_repr", "said")
    list_filter = ("action_flag", AboutFilter, "action_time")
    search_fields = ("object_id",)
    search_help_text = _("Who did it, or to whom: a whole user name or e-mail address, or the number of a row.")
    list_select_related: ClassVar[Any] = ("user", "content_type")
    ordering = ("-id",)
    change_list_template = "users/admin/audit_list.html"
    fields = ("action_time", "user", "content_type", "object_id", "object_repr", "said")
    readonly_fields = ("said",)

    def found_by(self, term: str) -> Q:
        found = people_named(term)
        if not found:
            return Q(object_id=term)
        person = ContentType.objects.get_for_model(User)
        return Q(user__in=found) | Q(content_type=person, object_id__in=[str(pk) for pk in found])

    def get_urls(self) -> list[Any]:
        export = self.admin_site.admin_view(self.export_view)
        return [path("export/", export, name="admin_logentry_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Stream what the list shows, with the same search and filters, oldest first; the export is audited itself."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        request.GET = request.GET.copy()  # type: ignore[assignment]
        rows = self.get_changelist_instance(request).queryset
        structlog.get_logger("audit").info("admin.export", actor_id=request.user.pk, model="admin.logentry")
        return csv_export.stream(
            "audit.csv",
            ["time", "actor_id", "actor", "act", "model", "object_id", "object", "change"],
            (self._exported(entry) for entry in csv_export.by_key(rows)),
        )

    def _exported(self, entry: LogEntry) -> list[Any]:
        model = f"{entry.content_type.app_label}.{entry.content_type.model}" if entry.content_type else ""
        act = {ADDITION: "add", CHANGE: "change", DELETION: "delete"}.get(entry.action_flag, "")
        return [
            isoformat(entry.action_time), entry.user_id, entry.user.get_username(), act, model, entry.object_id,
            entry.object_repr, self.said(entry),
        ]  # fmt: skip

    @admin.display(description=_("what"))
    def said(self, entry: LogEntry) -> str:
        message = entry.get_change_message()
        if message == "remove_second_factor":
            return str(_("Remove the second factor"))
        return str(ACTS[message].label) if message in ACTS else message
