"""A person at a glance: state, factors, sessions and timeline above the form."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.translation import gettext_lazy as _

from common import rights
from common.admin import sections
from common.wording import device, place
from sessions.models import UserSession
from sessions.places import location
from users import security_events
from users.admin.acts import ACTS
from users.factors import listing
from users.models import SecurityEvent, User

ROWS = 10  # of each table; "more" leads to all


def is_locked(user: User) -> bool:
    return bool(user.locked_until and user.locked_until > timezone.now())


class Glance(admin.ModelAdmin):
    """Adds to the form's page what one wants to know first, each part for those who may see it."""

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
        if is_locked(user):
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
        if not is_locked(user) and not user.login_attempts:
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
