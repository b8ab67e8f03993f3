"""The list of people: its search, its filter and its columns."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.admin import NOTHING, Keyset, as_address, people_named
from sessions.models import UserSession
from users.admin.glance import is_locked
from users.identity import names
from users.models import User
from users.phone import numbers


class LockedFilter(admin.SimpleListFilter):
    title = _("lockout")
    parameter_name = "locked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("locked"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(locked_until__gt=timezone.now()) if self.value() == "yes" else queryset


class Finding(Keyset):
    """Finds people by what an index answers, and shows them in columns."""

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

    @admin.display(description=_("locked until"))
    def lockout(self, user: User) -> Any:
        return user.locked_until if is_locked(user) else "-"

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
