"""Admin pages for moderation. Conversations show only counts; texts are shown only around a reported message."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models import Conversation, Message, Report
from chat.services import reports
from common.errors import ApplicationError, NotFound, PermissionRefused


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read-only admin for rows that only the chat writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


SHOWN = ("uuid", "kind", "members_count", "messages_count", "open_reports", "created_at", "updated_at")


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    """Conversations with counts only. No titles, members or messages, for the users' privacy."""

    list_display = SHOWN
    list_filter = ["kind"]
    search_fields = ["uuid__exact"]
    search_help_text = _("the whole UUID")
    ordering = ["-updated_at"]
    fields = SHOWN
    readonly_fields = SHOWN
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(uuid=uuid.UUID(search_term.strip())), False
        except ValueError:
            return queryset.none(), False

    @admin.display(description=_("messages"))
    def messages_count(self, row: Conversation) -> int:
        return row.last_message_no

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        open_ones = Count("messages__reports", filter=Q(messages__reports__status=Report.Status.OPEN))
        reported = Conversation.objects.filter(pk=OuterRef("pk"), messages__reports__isnull=False)
        counted = reported.order_by().values("pk").annotate(count=open_ones).values("count")
        return super().get_queryset(request).annotate(reported=Coalesce(Subquery(counted), 0))

    @admin.display(description=_("open reports"))
    def open_reports(self, row: Any) -> int:
        return int(row.reported)


Step = Callable[..., None]
STEPS: dict[str, tuple[Step, Any]] = {
    "remove_message": (reports.remove_message, _("Remove the message")),
    "suspend_sender": (reports.suspend_sender, _("Suspend the sender")),
    "dismiss": (reports.dismiss, _("Dismiss the report")),
}


REPORTED = ("status", "reason", "reporter", "created_at", "sender", "context", "resolved_by", "resolved_at")


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "status", "reason", "sender", "reporter", "resolved_by", "resolved_at"]
    list_filter = ["status"]
    list_select_related = ["message__sender", "reporter", "resolved_by"]
    ordering = ["-created_at"]
    fields = REPORTED
    readonly_fields = REPORTED
    actions = list(STEPS)
    change_form_template = "chat/admin/report.html"

    @admin.display(description=_("sender"))
    def sender(self, row: Report) -> str:
        return _name(row.message)

    @admin.display(description=_("what was said"))
    def context(self, row: Report) -> SafeString:
        """Show the reported message, its earlier versions, and a few messages around it."""
        context = reports.context_of(row)
        lines = [(_("before"), message) for message in context.before]
        lines += [(_("reported"), context.reported)]
        lines += [(_("after"), message) for message in context.after]
        rows = [(place, _name(message), _time(message.created_at), _said(message)) for place, message in lines]
        rows += [(_("earlier version"), "", _time(row.replaced_at), row.content) for row in context.revisions]
        cells = '<tr><td>{}</td><td>{}</td><td>{}</td><td dir="auto">{}</td></tr>'
        return format_html("<table>{}</table>", format_html_join("", cells, rows))

    # --- What a moderator does ------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is not None and request.method == "GET" and self.has_view_permission(request, row):
            reports.viewed(row, moderator_id=_moderator(request))
            self._note(request, row, gettext("Read the reported message and its context."))
        steps = {name: label for name, (_step, label) in STEPS.items()}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "steps": steps})

    def response_change(self, request: HttpRequest, obj: Report) -> HttpResponse:
        for name in STEPS:
            if f"_{name}" in request.POST:
                self._take(request, [obj], name)
        return self.response_post_save_change(request, obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Log nothing for the form, which has no fields; each moderation step logs itself."""

    @admin.action(description=STEPS["remove_message"][1], permissions=["change"])
    def remove_message(self, request: HttpRequest, queryset: QuerySet[Report]) -> None:
        self._take(request, queryset.select_related("message"), "remove_message")

    @admin.action(description=STEPS["suspend_sender"][1], permissions=["change"])
    def suspend_sender(self, request: HttpRequest, queryset: QuerySet[Report]) -> None:
        self._take(request, queryset.select_related("message"), "suspend_sender")

    @admin.action(description=STEPS["dismiss"][1], permissions=["change"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Report]) -> None:
        self._take(request, queryset, "dismiss")

    def _take(self, request: HttpRequest, rows: Any, name: str) -> None:
        step, label = STEPS[name]
        for row in rows:
            try:
                step(row, moderator_id=_moderator(request))
            except (NotFound, PermissionRefused) as error:
                self.message_user(request, _refused(error), messages.ERROR)
            else:
                self._note(request, row, str(label))
                self.message_user(request, label, messages.SUCCESS)

    def _note(self, request: HttpRequest, row: Report, text: str) -> None:
        LogEntry.objects.create(
            user_id=_moderator(request),
            content_type=ContentType.objects.get_for_model(Report),
            object_id=str(row.pk),
            object_repr=str(row.uuid),
            action_flag=CHANGE,
            change_message=text,
        )


def _moderator(request: HttpRequest) -> int:
    assert request.user.pk is not None  # noqa: S101 - the admin lets nobody anonymous in
    return int(request.user.pk)


def _refused(error: ApplicationError) -> Any:
    if isinstance(error, NotFound):
        return _("The sender's account is closed.")
    return _("Staff are suspended by an administrator only.")


def _name(message: Message) -> str:
    sender = message.sender
    return sender.get_username() if sender is not None else gettext("deleted user")


def _time(at: datetime) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")


def _said(message: Message) -> str:
    return gettext("(deleted)") if message.deleted_at else message.content
