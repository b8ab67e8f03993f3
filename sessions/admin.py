"""Admin pages for sessions and for simplejwt's token blacklist. Read-only, except that sessions can be revoked."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from common import rights
from common.admin import Audited, History, as_address, as_uuid, confirm, people_named
from common.wording import device, place
from sessions import endings
from sessions.models import UserSession
from sessions.places import location
from sessions.services import lifecycle


class LivingFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("living", _("living")), ("ended", _("ended"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        living = {"is_active": True, "expires_at__gt": timezone.now()}
        match self.value():
            case "living":
                return queryset.filter(**living)
            case "ended":
                return queryset.filter(Q(is_active=False) | Q(expires_at__lte=timezone.now()))
        return queryset


@admin.register(UserSession)
class UserSessionAdmin(Audited, History):
    list_display = ("user", "device", "place", "ip_address", "created_at", "last_seen_at", "living", "end_reason")
    list_filter = (LivingFilter,)
    search_fields = ("session_token",)
    search_help_text = _("A whole user name, e-mail address, IP address or session token.")
    ordering = ("-id",)
    list_select_related: ClassVar[Any] = ("user",)
    change_form_template = "sessions/admin/session_change_form.html"
    # Claims, token ids and the refresh token's key id are shown to nobody.
    fields = (
        "user",
        "session_token",
        "living",
        "device_name",
        "device",
        "user_agent",
        "fingerprint",
        "ip_address",
        "place",
        "remember_me",
        "created_at",
        "last_seen_at",
        "idle_expires_at",
        "absolute_expires_at",
        "ended_at",
        "end_reason",
    )
    actions = ("revoke",)

    def found_by(self, term: str) -> Q:
        if token := as_uuid(term):
            return Q(session_token=token)
        address = as_address(term)
        if address:
            return Q(ip_address=address)
        return Q(user__in=people_named(term))

    @admin.display(description=_("device"))
    def device(self, user_session: UserSession) -> str:
        return user_session.device_name or device(user_session.client) or "-"

    @admin.display(description=_("place"))
    def place(self, user_session: UserSession) -> str:
        return place(location.described(user_session.location)) or "-"

    @admin.display(description=_("living"), boolean=True)
    def living(self, user_session: UserSession) -> bool:
        return user_session.is_living(at=timezone.now())

    @admin.display(description=_("device fingerprint"))
    def fingerprint(self, user_session: UserSession) -> str:
        return f"…{user_session.device_fingerprint[-6:]}" if user_session.device_fingerprint else "-"

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("user_sessions.change_usersession")

    def may_revoke(self, request: HttpRequest, user_session: UserSession) -> bool:
        """Return False for a session of an account that has more rights than the signed-in admin."""
        return self.has_revoke_permission(request) and rights.covers(request.user, user_session.user)

    @admin.action(description=_("Revoke the selected sessions"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        rows = list(queryset.select_related("user"))
        if request.POST.get("confirmed") != "yes":
            return self._ask_for_many(request, rows)
        revoked = sum(self.revoke_one(request, row) for row in rows)
        self.message_user(
            request,
            ngettext("%(count)d session was revoked.", "%(count)d sessions were revoked.", revoked)
            % {"count": revoked},
            messages.SUCCESS,
        )
        return None

    def _ask_for_many(self, request: HttpRequest, rows: list[UserSession]) -> HttpResponse:
        """Say what revoking the chosen sessions will end, without those that may not be revoked."""
        now = timezone.now()
        ending = [row for row in rows if row.is_living(at=now) and self.may_revoke(request, row)]
        names = list(dict.fromkeys(row.user.get_username() for row in rows))
        return confirm(
            self,
            request,
            title=_("Revoke the selected sessions"),
            subject=", ".join(names[:10]) + (", …" if len(names) > 10 else ""),
            will=endings.of([row.session_token for row in ending]),
            button=_("Revoke the selected sessions"),
            back=request.get_full_path(),
            hidden=[("action", "revoke"), ("confirmed", "yes"), *(("_selected_action", row.pk) for row in rows)],
        )

    def revoke_one(self, request: HttpRequest, user_session: UserSession) -> bool:
        if not self.may_revoke(request, user_session):
            return False
        revoked = lifecycle.revoke(user_id=user_session.user_id, sid=user_session.session_token, reason="admin")
        self.log_act(request, user_session, "revoke_session")
        return revoked

    def get_urls(self) -> list[Any]:
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [path("<int:pk>/revoke/", revoke, name="user_sessions_usersession_revoke"), *super().get_urls()]

    def revoke_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say on GET what will happen, do it on POST."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "POST"])
        user_session = UserSession.objects.select_related("user").filter(pk=pk).first()
        if user_session is None:
            raise Http404
        if not self.may_revoke(request, user_session):
            raise PermissionDenied
        if request.method != "POST":
            person = reverse("admin:users_user_change", args=[user_session.user_id])
            back = person if request.GET.get("person") else reverse("admin:user_sessions_usersession_change", args=[pk])
            return confirm(
                self,
                request,
                title=_("Revoke this session?"),
                subject=f"{user_session.user} · {self.device(user_session)}",
                will=endings.of([user_session.session_token]),
                button=_("Revoke this session"),
                back=back,
            )
        self.revoke_one(request, user_session)
        self.message_user(request, _("The session was revoked."), messages.SUCCESS)
        person_id = request.GET.get("person", "")
        if person_id.isdecimal() and int(person_id) == user_session.user_id:
            return HttpResponseRedirect(reverse("admin:users_user_change", args=[person_id]))
        return HttpResponseRedirect(reverse("admin:user_sessions_usersession_change", args=[pk]))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = kwargs.get("obj")
        if row and row.is_active and self.may_revoke(request, row):
            context["revoke_url"] = reverse("admin:user_sessions_usersession_revoke", args=[row.pk])
        return super().render_change_form(request, context, *args, **kwargs)


# simplejwt leaves these names untranslated; the catalogues of this app translate them.
_("Outstanding Token"), _("Outstanding Tokens"), _("Blacklisted Token"), _("Blacklisted Tokens")

# simplejwt's own pages show the token in clear and allow deleting rows, which would make a revoked token valid again.
for model in (OutstandingToken, BlacklistedToken):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


@admin.register(OutstandingToken)
class OutstandingTokenAdmin(History):
    list_display = ("user", "jti", "created_at", "expires_at")
    fields = ("user", "jti", "created_at", "expires_at")
    search_fields = ("jti",)
    search_help_text = _("A whole user name, e-mail address or token id.")
    ordering = ("-id",)
    list_select_related: ClassVar[Any] = ("user",)

    def found_by(self, term: str) -> Q:
        people = people_named(term)
        return Q(user__in=people) if people else Q(jti=term)


@admin.register(BlacklistedToken)
class BlacklistedTokenAdmin(History):
    list_display = ("user", "jti", "blacklisted_at", "expires_at")
    fields = ("user", "jti", "blacklisted_at", "expires_at")
    readonly_fields = ("user", "jti", "expires_at")
    search_fields = ("token__jti",)
    search_help_text = _("A whole user name, e-mail address or token id.")
    ordering = ("-id",)
    list_select_related: ClassVar[Any] = ("token__user",)

    def found_by(self, term: str) -> Q:
        people = people_named(term)
        return Q(token__user__in=people) if people else Q(token__jti=term)

    @admin.display(description=_("person"))
    def user(self, row: BlacklistedToken) -> str:
        return str(row.token.user or "-")

    @admin.display(description=_("token id"))
    def jti(self, row: BlacklistedToken) -> str:
        return row.token.jti

    @admin.display(description=_("expires at"))
    def expires_at(self, row: BlacklistedToken) -> Any:
        return row.token.expires_at
