"""What an admin does with a person's account: each act says first what it will do, and is audited."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from common.admin import Audited, confirm
from common.client import client_of
from sessions import endings
from users.admin import actions
from users.models import User


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


def bulk(name: str) -> Callable[..., HttpResponse | None]:
    @admin.action(description=ACTS[name].label, permissions=["change"])
    def act(person_admin: "Acts", request: HttpRequest, queryset: Any) -> HttpResponse | None:
        if ACTS[name].asks and request.POST.get("confirmed") != "yes":
            return person_admin.ask_for_many(request, list(queryset), name)
        done = sum(person_admin.act(request, user, name) for user in queryset)
        if done:
            said = ngettext("Done for %(count)d person.", "Done for %(count)d people.", done) % {"count": done}
            person_admin.message_user(request, said, messages.SUCCESS)
        return None

    act.__name__ = name
    return act


class Acts(Audited):
    """The buttons of a person's page, the same as actions of the list, and the pages that ask first."""

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
