"""Admin pages for moderation. Conversations show only counts; texts are shown only around a reported message."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models import Conversation, Membership, Message, ModeratedWord, Report
from chat.services import conversations, reports, word_list
from common.admin import NOTHING, Audited, Keyset, Section, as_uuid, confirm, people_named, section
from common.errors import ApplicationError, NotFound, PermissionRefused, ValidationFailed
from sessions import endings


class ReadOnlyAdmin(Audited, Keyset):
    """Rows that the chat itself writes: never added or deleted here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


SHOWN_HERE = 10  # conversations on a person's page

SHOWN = ("uuid", "kind", "members_count", "messages_count", "open_reports", "created_at", "updated_at")


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    """Conversations with counts and the slow mode. No titles, members or messages, for the users' privacy."""

    list_display = SHOWN
    list_filter = ["kind"]
    search_fields = ["uuid__exact"]
    search_help_text = _("the whole UUID")
    ordering = ["-updated_at"]
    fields = (*SHOWN, "slow_mode_seconds")
    readonly_fields = SHOWN
    show_full_result_count = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only a group has something to change: its slow mode."""
        changeable = obj is not None and obj.kind == Conversation.Kind.GROUP
        return changeable and super().has_change_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("chat.view_conversation") or request.user.has_perm("chat.change_conversation")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        conversations.set_slow_mode(
            moderator_id=_moderator(request), conversation_id=obj.pk, seconds=obj.slow_mode_seconds
        )

    def found_by(self, term: str) -> Q:
        name = as_uuid(term)
        return Q(uuid=name) if name else NOTHING

    @admin.display(description=_("messages"))
    def messages_count(self, row: Conversation) -> int:
        return row.last_message_no

    def decorated(self, rows: list[Any]) -> list[Any]:
        """Count the open reports of a page, from the reports: of a conversation's messages there may be millions."""
        found = Report.objects.filter(
            status=Report.Status.OPEN, message__conversation__in=[row.pk for row in rows]
        ).order_by()
        counts = dict(found.values_list("message__conversation").annotate(count=Count("pk")))
        for row in rows:
            row.reported = counts.get(row.pk, 0)
        return rows

    @admin.display(description=_("open reports"))
    def open_reports(self, row: Any) -> int:
        if not hasattr(row, "reported"):
            self.decorated([row])
        return int(row.reported)


Step = Callable[..., None]
STEPS: dict[str, tuple[Step, Any]] = {
    "remove_message": (reports.remove_message, _("Remove the message")),
    "warn_sender": (reports.warn_sender, _("Warn the sender")),
    "suspend_sender": (reports.suspend_sender, _("Suspend the sender")),
    "answer_reporter": (reports.answer_reporter, _("Answer the reporter")),
    "dismiss": (reports.dismiss, _("Dismiss the report")),
}
# Acts that cannot be taken back: each has a page that says first what it will do.
ASKED = ("remove_message", "warn_sender", "suspend_sender", "answer_reporter")
WILL = {
    "remove_message": _("The message is taken back for everybody; what it said stays visible here."),
    "warn_sender": _("A mail asks the sender to keep to the rules."),
    "answer_reporter": _("A mail goes to the reporter."),
}
# For how long; 0 is until somebody enables the account.
DAYS = {1: _("for a day"), 7: _("for a week"), 30: _("for 30 days"), 0: _("until it is enabled again")}


REPORTED = ("status", "reason", "reporter", "created_at", "sender", "context", "history", "resolved_by", "resolved_at")


class QueueFilter(admin.SimpleListFilter):
    """The queue is what is open, unless something else is asked for."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Report.Status.choices, ("all", _("all"))]

    def choices(self, changelist: Any) -> Any:
        chosen = self.value() or Report.Status.OPEN
        for value, title in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": str(value) == chosen, "query_string": query, "display": title}

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        chosen = self.value() or Report.Status.OPEN
        return queryset if chosen == "all" else queryset.filter(status=chosen)


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "status", "reason", "sender", "reporter", "resolved_by", "resolved_at"]
    list_filter = [QueueFilter]
    list_select_related = ["message__sender", "reporter", "resolved_by"]
    ordering = ["-id"]
    search_fields = ["uuid"]
    search_help_text = _("Whom it is about: a whole user name or e-mail address; or the UUID of a report.")
    fields = REPORTED
    readonly_fields = REPORTED
    actions = ["remove_message", "suspend_sender", "dismiss"]
    change_form_template = "chat/admin/report.html"

    def found_by(self, term: str) -> Q:
        name = as_uuid(term)
        return Q(uuid=name) if name else Q(accused__in=people_named(term))

    @admin.display(description=_("earlier reports of the sender"))
    def history(self, row: Report) -> SafeString | str:
        if row.message.sender_id is None:
            return "-"
        found = reports.history_of(row.message.sender_id, except_id=row.pk)
        if not found.rows:
            return gettext("None.")
        cells = '<tr><td><a href="{}">{}</a></td><td>{}</td><td dir="auto">{}</td></tr>'
        lines = [
            (reverse("admin:chat_report_change", args=[one.pk]), _time(one.created_at), one.get_status_display(),
             one.reason)
            for one in found.rows
        ]  # fmt: skip
        more = format_html("<p>{}</p>", gettext("And more.")) if found.more else ""
        return format_html("<table>{}</table>{}", format_html_join("", cells, lines), more)

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
        name = next((name for name in ASKED if f"_{name}" in request.POST), "")
        if row is not None and name and self._asks(request) and self.has_change_permission(request, row):
            given = self._given(request, name)
            if name == "answer_reporter" and not reports.clean(given["text"]):
                self.message_user(request, _refused(ValidationFailed({})), messages.ERROR)
                return HttpResponseRedirect(request.path)
            return self._ask(request, [row], name, given)
        if row is not None and request.method == "GET" and self.has_view_permission(request, row):
            reports.viewed(row, moderator_id=_moderator(request))
            self._note(request, row, gettext("Read the reported message and its context."))
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), **(self._panel(row) if row else {})}
        )

    def _panel(self, row: Report) -> dict[str, Any]:
        """Return what the buttons are called and what pressing one will do."""
        sender_id = row.message.sender_id
        return {
            "steps": {name: label for name, (_step, label) in STEPS.items()},
            "days": DAYS.items(),
            "suspending": endings.of(endings.living([sender_id])) if sender_id else [],
            "sender_url": reverse("admin:users_user_change", args=[sender_id]) if sender_id else "",
            "reporter": row.reporter,
        }

    def response_change(self, request: HttpRequest, obj: Report) -> HttpResponse:
        for name in STEPS:
            if f"_{name}" in request.POST:
                self._take(request, [obj], name, **self._given(request, name))
        return self.response_post_save_change(request, obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Log nothing for the form, which has no fields; each moderation step logs itself."""

    @admin.action(description=STEPS["remove_message"][1], permissions=["change"])
    def remove_message(self, request: HttpRequest, queryset: QuerySet[Report]) -> HttpResponse | None:
        return self._ask_or_take(request, queryset, "remove_message")

    @admin.action(description=STEPS["suspend_sender"][1], permissions=["change"])
    def suspend_sender(self, request: HttpRequest, queryset: QuerySet[Report]) -> HttpResponse | None:
        return self._ask_or_take(request, queryset, "suspend_sender")

    @admin.action(description=STEPS["dismiss"][1], permissions=["change"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Report]) -> None:
        self._take(request, queryset, "dismiss")

    def _asks(self, request: HttpRequest) -> bool:
        return request.POST.get("confirmed") != "yes"

    def _ask_or_take(self, request: HttpRequest, queryset: QuerySet[Report], name: str) -> HttpResponse | None:
        rows = list(queryset.select_related("message__sender"))
        if self._asks(request):
            return self._ask(request, rows, name)
        self._take(request, rows, name)
        return None

    def _ask(
        self, request: HttpRequest, rows: list[Report], name: str, given: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say what a step will do, for one report or for all that were chosen in the list."""
        label = STEPS[name][1]
        hidden: list[tuple[str, Any]] = [("confirmed", "yes")]
        if given is None:
            hidden += [("action", name), *(("_selected_action", row.pk) for row in rows)]
        else:
            hidden += [(f"_{name}", "1"), (f"{name}_text", given.get("text", ""))]
            hidden += [("days", request.POST.get("days", "0"))] if name == "suspend_sender" else []
        return confirm(
            self,
            request,
            title=label,
            subject=self._subject(rows, name),
            will=self._will(rows, name, given or {}),
            button=label,
            back=request.get_full_path(),
            hidden=hidden,
        )

    def _subject(self, rows: list[Report], name: str) -> str:
        """Return whom the step is about."""
        if name == "answer_reporter":
            return str(rows[0].reporter)
        names = list(dict.fromkeys(_name(row.message) for row in rows))
        return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")

    def _will(self, rows: list[Report], name: str, given: dict[str, Any]) -> list[Any]:
        will: list[Any] = []
        if name == "suspend_sender":
            senders = {row.message.sender_id for row in rows if row.message.sender_id}
            until = given.get("until")
            will += endings.of(endings.living(sorted(senders)))
            will.append(gettext("Nobody signs in to the account meanwhile, and the person is mailed."))
            will.append(
                gettext("It ends by itself: %(time)s.") % {"time": _time(until)}
                if until
                else gettext("It lasts until somebody enables the account again.")
            )
        will += [WILL[name]] if name in WILL else []
        if words := reports.clean(given.get("text", "")):
            will.append(gettext("Your words: %(words)s") % {"words": words})
        if name != "answer_reporter":
            will.append(gettext("All reports of the message are closed."))
        return will

    def _given(self, request: HttpRequest, name: str) -> dict[str, Any]:
        """Return what the moderator wrote beside the button that was pressed."""
        if name in {"warn_sender", "answer_reporter"}:
            return {"text": request.POST.get(f"{name}_text", "")}
        if name != "suspend_sender":
            return {}
        days = request.POST.get("days", "0")
        length = int(days) if days.isdecimal() and int(days) in DAYS else 0
        until = timezone.now() + timedelta(days=length) if length else None
        return {"text": request.POST.get(f"{name}_text", ""), "until": until}

    def _take(self, request: HttpRequest, rows: Any, name: str, **given: Any) -> None:
        step, label = STEPS[name]
        for row in rows:
            try:
                step(row, moderator_id=_moderator(request), **given)
            except (NotFound, PermissionRefused, ValidationFailed) as error:
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


@admin.register(ModeratedWord)
class ModeratedWordAdmin(Audited, Keyset):
    """A message that holds one of these is delivered, and a report is opened for it."""

    list_display = ["word", "created_at"]
    fields = ["word"]
    search_fields = ["word"]
    search_help_text = _("a whole word")
    ordering = ["-id"]

    def found_by(self, term: str) -> Q:
        return Q(folded=word_list.key(term))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, form=WordForm, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.folded = word_list.key(obj.word)
        super().save_model(request, obj, form, change)


class WordForm(forms.ModelForm):
    def clean_word(self) -> str:
        word = str(self.cleaned_data["word"]).strip()
        if not word_list.key(word):
            raise forms.ValidationError(_("One word, without spaces."))
        if ModeratedWord.objects.filter(folded=word_list.key(word)).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(_("This word is in the list."))
        return word


@section
def reports_of(request: HttpRequest, user_id: int) -> Section | None:
    if not request.user.has_perm("chat.view_report"):
        return None
    found = reports.history_of(user_id)
    return Section(
        id="reports",
        title=_("Reports of their messages"),
        columns=[_("When"), _("status"), _("reason")],
        rows=[
            [
                (_time(one.created_at), reverse("admin:chat_report_change", args=[one.pk])),
                (one.get_status_display(), ""),
                (one.reason, ""),
            ]
            for one in found.rows
        ],
        empty=_("None."),
        more=f"{reverse('admin:chat_report_changelist')}?status=all&accused__id__exact={user_id}" if found.more else "",
        more_label=_("All reports of this person"),
    )


@section
def conversations_of(request: HttpRequest, user_id: int) -> Section | None:
    """Show where somebody is a member by number and kind: no title and no other member."""
    if not request.user.has_perm("chat.view_conversation"):
        return None
    found = (
        Membership.objects.living()
        .filter(user=user_id)
        .select_related("conversation")
        .order_by("-conversation")[:SHOWN_HERE]
    )
    return Section(
        id="memberships",
        title=_("Conversations"),
        columns=[_("conversation"), _("kind"), _("role"), _("members"), _("joined")],
        rows=[
            [
                (str(one.conversation.uuid), reverse("admin:chat_conversation_change", args=[one.conversation_id])),
                (one.conversation.get_kind_display(), ""),
                (one.get_role_display(), ""),
                (str(one.conversation.members_count), ""),
                (_time(one.joined_at), ""),
            ]
            for one in found
        ],
        empty=_("None."),
    )


def _moderator(request: HttpRequest) -> int:
    assert request.user.pk is not None  # noqa: S101 - the admin lets nobody anonymous in
    return int(request.user.pk)


def _refused(error: ApplicationError) -> Any:
    if isinstance(error, ValidationFailed):
        return _("Write what the reporter is to read.")
    if isinstance(error, NotFound):
        return _("That account is closed.")
    return _("Staff are suspended by an administrator only.")


def _name(message: Message) -> str:
    sender = message.sender
    return sender.get_username() if sender is not None else gettext("deleted user")


def _time(at: datetime) -> str:
    return date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT")


def _said(message: Message) -> str:
    return gettext("(deleted)") if message.deleted_at else message.content
