"""Groups, the security timeline, and the admin's own audit log."""

from typing import Any, ClassVar

import structlog
from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from common import csv_export
from common.admin import Audited, History, as_address, people_named
from common.json import isoformat
from common.wording import device, place
from sessions.places import location
from users import security_events
from users.admin.acts import ACTS
from users.models import SecurityEvent, User

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(Audited, DjangoGroupAdmin):
    """Groups are for superusers only: whoever can change one could give themself any permission."""

    class Media:
        js = ("users/filters.js",)

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


EXPORT = "export_audit"


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
        if request.method == "GET":
            assert request.user.pk is not None  # noqa: S101 - nobody anonymous has the permission
            LogEntry.objects.create(
                user_id=request.user.pk,
                content_type=ContentType.objects.get_for_model(LogEntry),
                object_repr="audit.csv",
                action_flag=CHANGE,
                change_message=f"{EXPORT} {request.GET.urlencode()}".strip(),
            )
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
        if message.partition(" ")[0] == EXPORT:
            return f"{_('Exported the audit log')} {message.partition(' ')[2]}".strip()
        if message == "remove_second_factor":
            return str(_("Remove the second factor"))
        return str(ACTS[message].label) if message in ACTS else message
