"""Serializers of accounts: input of the endpoints and shapes of their responses."""

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common import passwords
from common.client import FINGERPRINT_CHARS
from common.fields import StrictBooleanField, StrictCharField
from sessions.serializers import DeviceNameField, SessionSerializer, TokensSerializer
from users import payload
from users.flows import was_it_you
from users.identity import fields
from users.models import User


def same_twice(data: dict[str, Any], field: str) -> dict[str, Any]:
    """Raise ValidationError, under the repetition's field, if the two passwords differ."""
    if passwords.normalise(data[field]) != passwords.normalise(data.pop(f"{field}_confirm")):
        raise serializers.ValidationError({f"{field}_confirm": [_mismatch()]})
    return data


def _mismatch() -> serializers.ErrorDetail:
    return serializers.ErrorDetail(str(_("The two passwords are not the same.")), code="password_mismatch")


class UserSerializer(serializers.ModelSerializer):
    """Oneself, as `users/me/` shows it."""

    username = fields.UsernameField(max_length=150)
    phone_number = fields.PhoneNumberField(max_length=40, allow_blank=True)
    first_name = fields.PlainTextField(max_length=150, allow_blank=True)
    last_name = fields.PlainTextField(max_length=150, allow_blank=True)
    language = fields.LanguageField(max_length=10)
    timezone = fields.TimezoneField(max_length=50)
    email_notifications = StrictBooleanField()
    sms_notifications = StrictBooleanField()
    push_notifications = StrictBooleanField()

    class Meta:
        model = User
        fields = payload.ME
        read_only_fields = ("id", "email", "email_verified", "phone_verified", "date_joined", "last_login")
        # No validator from the model's constraint: a number written here is unverified and need not be unique.
        validators: ClassVar[list[Any]] = []


class PersonSerializer(serializers.Serializer):
    """What others see."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    first_name = serializers.CharField(allow_blank=True)
    last_name = serializers.CharField(allow_blank=True)


class PeoplePageSerializer(serializers.Serializer):
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = PersonSerializer(many=True)


class DetailSerializer(serializers.Serializer):
    detail = serializers.CharField()


class RegisteredSerializer(serializers.Serializer):
    user = UserSerializer()


class LoggedInSerializer(TokensSerializer):
    user = UserSerializer()
    device_token = serializers.CharField(help_text="send it with the next login on this device")


class PasswordChangedSerializer(serializers.Serializer):
    """Without a session (no token) only `detail` and `device_token`."""

    detail = serializers.CharField()
    device_token = serializers.CharField(help_text="the password has voided the one of before")
    access = serializers.CharField(required=False)
    refresh = serializers.CharField(required=False)
    token_type = serializers.ChoiceField(choices=["Bearer"], required=False)
    access_expires_in = serializers.IntegerField(required=False)
    refresh_expires_in = serializers.IntegerField(required=False)
    server_time = serializers.DateTimeField(required=False)
    session = SessionSerializer(required=False)


class RegisterSerializer(serializers.Serializer):
    username = fields.UsernameField(max_length=150)
    email = fields.AddressField()
    password = fields.SecretField()
    password_confirm = fields.SecretField()
    language = fields.PreferredLanguageField(required=False)
    timezone = fields.PreferredTimezoneField(required=False)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return same_twice(data, "password")


class LoginSerializer(serializers.Serializer):
    username = StrictCharField(max_length=254, help_text="username or e-mail")
    password = fields.SecretField()
    device_fingerprint = StrictCharField(required=False, allow_blank=True, max_length=FINGERPRINT_CHARS, default="")
    device_name = DeviceNameField(required=False, default="")
    remember_me = StrictBooleanField(required=False, default=False)
    device_token = StrictCharField(required=False, allow_blank=True, max_length=1024, default="")


class PasswordResetSerializer(serializers.Serializer):
    email = fields.TypedAddressField()


class PasswordResetConfirmSerializer(serializers.Serializer):
    token = fields.LinkTokenField()
    new_password = fields.SecretField()
    new_password_confirm = fields.SecretField()

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return same_twice(data, "new_password")


class PasswordChangeSerializer(serializers.Serializer):
    old_password = fields.SecretField()
    new_password = fields.SecretField()
    new_password_confirm = fields.SecretField()

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        return same_twice(data, "new_password")


class VerifyEmailSerializer(serializers.Serializer):
    token = fields.LinkTokenField()


class WasItYouSerializer(serializers.Serializer):
    token = fields.LinkTokenField()
    answer = serializers.ChoiceField(choices=was_it_you.ANSWERS)


class ResendVerificationSerializer(serializers.Serializer):
    email = fields.TypedAddressField()


class EmailChangeSerializer(serializers.Serializer):
    new_email = fields.AddressField()
    password = fields.SecretField(required=False, help_text="required of who has one")


class PasswordSerializer(serializers.Serializer):
    password = fields.SecretField(required=False, help_text="required of who has one")
