"""The admin site: its sign-in is under the same lockout as the API's login, and asks for the second factor."""

import math
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from common import dashboard
from common.client import Client, client_of
from common.errors import AccountLocked, ApplicationError, ValidationFailed


class LoginForm(AdminAuthenticationForm):
    """Login form that reports a lockout, also for unknown names. `locked_until` is None without a lockout.

    The code is asked of those who have turned a second factor on: this cookie also opens the API.
    """

    code = forms.CharField(
        label=_("Code"),
        help_text=_("Of your authenticator app, or a recovery code, if your second factor is on."),
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code"}),
    )
    locked_until: datetime | None = None

    def clean(self) -> dict[str, Any]:
        self.locked_until = self._locked_until()
        if self.locked_until is not None:  # the password is not checked at all
            raise ValidationError(_("Too many failed attempts. Please try again later."), code="account_locked")
        cleaned = super().clean() or {}
        if self.user_cache is not None and self.request is not None:
            self._require_second_factor(self.user_cache, client_of(self.request))
        return cleaned

    def _require_second_factor(self, user: Any, client: Client) -> None:
        from users.factors import mfa, second_factor

        if not second_factor.is_on(user.pk):
            return
        code = self.cleaned_data.get("code", "")
        if not code:
            raise ValidationError(_("Enter the code of your authenticator app as well."), code="mfa_required")
        try:
            mfa.require_code(user=user, code=code, client=client)
        except AccountLocked as error:
            self.locked_until = self._locked_until()
            raise ValidationError(str(error.detail), code="account_locked") from None
        except ApplicationError as error:
            raise ValidationError(str(error.detail), code=error.code) from None

    def _locked_until(self) -> datetime | None:
        from users import people
        from users.models import LoginCounter
        from users.passwords import lockout

        user, name = people.find(str(self.cleaned_data.get("username", "")))
        counter = lockout.counter_of_user(user.pk) if user else lockout.counter_of_name(name)
        row = LoginCounter.objects.filter(key=counter.key, locked_until__gt=timezone.now()).first()
        return row.locked_until if row else None


class PasswordForm(AdminPasswordChangeForm):
    """Password change of the signed-in admin by the API's service: counted, mailed, every session revoked."""

    def __init__(self, *args: Any, client: Any, **kwargs: Any) -> None:
        self.client = client
        super().__init__(*args, **kwargs)

    def clean_old_password(self) -> str:
        return self.cleaned_data["old_password"]  # checked in clean(), under the lockout

    def clean(self) -> dict[str, Any]:
        from users.flows import password_change

        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            password_change.change(
                user_id=self.user.pk,
                old_password=cleaned["old_password"],
                password=cleaned["new_password1"],
                sid=None,
                client=self.client,
            )
        except ValidationFailed as error:
            for field, errors in error.extra["errors"].items():
                self.add_error(
                    "old_password" if field == "old_password" else "new_password2", [e["message"] for e in errors]
                )
        except ApplicationError as error:
            self.add_error(None, str(error.detail))
        return cleaned

    def save(self, commit: bool = True) -> Any:
        self.user.refresh_from_db()
        return self.user


class PasswordView(PasswordChangeView):
    form_class = PasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "client": client_of(self.request)}


class AdminSite(admin.AdminSite):
    site_header = _("Alviar administration")
    site_title = _("Alviar administration")
    index_title = _("Overview")
    site_url = None
    login_form = LoginForm
    login_template = "users/admin/login.html"
    index_template = "users/admin/index.html"
    password_change_done_template = "users/admin/password_change_done.html"  # noqa: S105 - a path

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().index(request, {**(extra_context or {}), "figures": dashboard.figures(request.user)})

    @method_decorator([sensitive_post_parameters(), never_cache])
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().login(request, extra_context)
        form = getattr(response, "context_data", {}).get("form")
        locked_until = getattr(form, "locked_until", None)
        if locked_until:
            response.status_code = 429
            wait = (locked_until - timezone.now()).total_seconds()
            response["Retry-After"] = str(max(1, math.ceil(wait)))
        elif request.method == "POST" and form is None and request.user.is_authenticated:
            self._record_login(request, request.user.pk)
        return response

    def _record_login(self, request: HttpRequest, user_id: Any) -> None:
        from users import security_events

        security_events.record(
            user_id=user_id,
            kind="login",
            at=timezone.now(),
            client=client_of(request),
            detail={"by": "admin"},
        )

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        request.current_app = self.name  # type: ignore[attr-defined]
        return PasswordView.as_view(
            template_name="users/admin/password_change_form.html",
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )(request)
