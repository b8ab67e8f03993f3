"""What the admin pages of every app share: history that cannot be changed, and an audit line for all that can.

Lists are paged by key, with no count and no offset. Searches are conditions that an index answers.
"""

import ipaddress
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

audit = structlog.get_logger("audit")

AFTER, BEFORE = "after", "before"
SEPARATOR = "~"


class KeysetChangeList(ChangeList):
    """One page from where the last one ended: `?after=` or `?before=` names a row's place in the order."""

    page_after = page_before = ""
    model_admin: Any
    lookup_opts: Any

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        first = str(self.model_admin.ordering[0])
        return [first] if first.lstrip("-") in {"pk", "id"} else [first, "-pk" if first.startswith("-") else "pk"]

    def get_results(self, request: HttpRequest) -> None:
        after, before = getattr(request, "keyset", ("", ""))
        back = bool(before) and not after
        order = self.get_ordering(request, self.queryset)
        rows = self.queryset.order_by(*(_turned(name) for name in order)) if back else self.queryset
        place = self._place(after or before)
        if place is not None:
            rows = rows.filter(self._beyond(place, back=back))
        found = list(rows[: self.list_per_page + 1])
        more, found = len(found) > self.list_per_page, found[: self.list_per_page]
        if back:
            found.reverse()
        if found:
            self.page_after = self._named(found[-1]) if more or back else ""
            self.page_before = self._named(found[0]) if place is not None and (more or not back) else ""
        self.result_list = self.model_admin.decorated(found)
        self.result_count = self.full_result_count = len(found)
        self.show_full_result_count, self.show_admin_actions = False, bool(found)
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, found, self.list_per_page)

    def _field(self) -> tuple[str, bool]:
        first = str(self.model_admin.ordering[0])
        return first.lstrip("-"), first.startswith("-")

    def _named(self, row: Any) -> str:
        name, _descending = self._field()
        if name in {"pk", "id"}:
            return str(row.pk)
        value = getattr(row, name)
        return f"{value.isoformat() if hasattr(value, 'isoformat') else value}{SEPARATOR}{row.pk}"

    def _place(self, text: str) -> tuple[Any, Any] | None:
        """Return (value, key) of what `_named` wrote; None for what it did not, which shows the first page."""
        name, _descending = self._field()
        value, _separator, key = text.rpartition(SEPARATOR)
        try:
            pk = self.lookup_opts.pk.to_python(key)
            read = None if name in {"pk", "id"} else self.lookup_opts.get_field(name).to_python(value)
        except (ValidationError, ValueError):
            return None
        return None if pk in (None, "") or (read is None and name not in {"pk", "id"}) else (read, pk)

    def _beyond(self, place: tuple[Any, Any], *, back: bool) -> Q:
        value, key = place
        name, descending = self._field()
        side = "lt" if descending != back else "gt"
        if name in {"pk", "id"}:
            return Q(**{f"pk__{side}": key})
        # The first condition is for the planner: a range of the index.
        return Q(**{f"{name}__{side}e": value}) & (Q(**{f"{name}__{side}": value}) | Q(**{f"pk__{side}": key}))

    def page_link(self, name: str, place: str) -> str:
        return str(self.get_query_string({name: place}, [AFTER, BEFORE]))

    @property
    def next_link(self) -> str:
        return self.page_link(AFTER, self.page_after) if self.page_after else ""

    @property
    def previous_link(self) -> str:
        return self.page_link(BEFORE, self.page_before) if self.page_before else ""


def _turned(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


class Keyset(admin.ModelAdmin):
    """A list that costs the same with ten million rows. `ordering` names one indexed column without nulls."""

    change_list_template = "common/admin/change_list.html"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count everything
    sortable_by: ClassVar[Any] = ()
    list_per_page = 50

    class Media:
        css: ClassVar[Any] = {"all": ("users/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        given = request.GET.copy()
        after, before = given.pop(AFTER, [""])[-1], given.pop(BEFORE, [""])[-1]
        request.keyset = (after, before)  # type: ignore[attr-defined]
        request.GET = given  # type: ignore[assignment]
        if request.POST.get("select_across") == "1":  # an action on all of a million rows is nobody's wish
            posted = request.POST.copy()
            posted["select_across"] = "0"
            request.POST = posted  # type: ignore[assignment]
        return super().changelist_view(request, extra_context)

    def decorated(self, rows: list[Any]) -> list[Any]:
        """Add to the rows of one page what takes a statement for all of them."""
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(self.found_by(term)) if term else queryset), False

    def found_by(self, term: str) -> Q:
        """Return what a search means: a condition that an index answers."""
        return NOTHING


NOTHING = Q(pk__in=[])


def people_named(term: str) -> list[int]:
    """Return the ids of whom a name or an address names to the letter, in any case."""
    people = get_user_model()._default_manager
    found = list(people.filter(username=term).values_list("pk", flat=True)[:1])
    if "@" in term:
        mailed = people.alias(lower=Lower("email")).exclude(email="").filter(lower=term.lower())
        found += mailed.values_list("pk", flat=True)[:1]
    return found


def as_address(term: str) -> str | None:
    try:
        return str(ipaddress.ip_address(term))
    except ValueError:
        return None


def as_uuid(term: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(term)
    except ValueError:
        return None


def confirm(
    model_admin: admin.ModelAdmin,
    request: HttpRequest,
    *,
    title: Any,
    subject: str,
    will: Sequence[Any],
    button: Any,
    back: str,
    reason: Any = "",
    hidden: Sequence[tuple[str, Any]] = (),
    fields: Any = None,
) -> HttpResponse:
    """Show what will happen and a button that posts to this very address. `reason`: the label of a text to give."""
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": title,
        "subject": subject,
        "will": will,
        "button": button,
        "back": back,
        "reason": reason,
        "hidden": hidden,
        "fields": fields,
    }
    request.current_app = model_admin.admin_site.name  # type: ignore[attr-defined]
    return TemplateResponse(request, "common/admin/confirm.html", context)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table about one person that another app adds to that person's page. A cell is a text, or (text, address)."""

    id: str
    title: Any
    columns: Sequence[Any]
    rows: Iterable[Sequence[Any]]
    empty: Any
    more: str = ""
    more_label: Any = ""


_sections: list[Callable[[HttpRequest, int], Section | None]] = []


def section(make: Callable[[HttpRequest, int], Section | None]) -> Callable[[HttpRequest, int], Section | None]:
    """Show `make(request, user_id)` on each person's page; None where the reader may not see it."""
    _sections.append(make)
    return make


def sections(request: HttpRequest, user_id: int) -> list[Section]:
    return [found for make in _sections if (found := make(request, user_id)) is not None]


class Audited(admin.ModelAdmin):
    """ModelAdmin that logs who changed which row, in addition to Django's LogEntry. Logs field names, never values."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit("admin.add", request, obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit("admin.change", request, obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._audit("admin.delete", request, obj, "")
        return super().log_deletions(request, queryset)

    def log_act(self, request: HttpRequest, obj: Model, name: str) -> None:
        """Log one of our own actions; `name` is a stable identifier."""
        audit.info(f"admin.{name}", actor_id=request.user.pk, model=obj._meta.label_lower, object_id=str(obj.pk))
        super().log_change(request, obj, name)

    def _audit(self, event: str, request: HttpRequest, obj: Model, message: Any) -> None:
        audit.info(event, actor_id=request.user.pk, model=obj._meta.label_lower, object_id=str(obj.pk), message=message)


class History(Keyset):
    """Read-only ModelAdmin: nobody can add, change or delete rows, not even a superuser."""

    list_select_related: ClassVar[Any] = True
    actions: Any = None

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
