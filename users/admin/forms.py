"""Forms of the admin for people: the rules of registration hold here as well."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import ValidationError
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from common.errors import ValidationFailed
from users.admin import actions
from users.flows import register
from users.identity import addresses
from users.models import User


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
