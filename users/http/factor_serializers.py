"""Input of the factor endpoints, and the shapes of their responses for the OpenAPI schema."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from common.client import FINGERPRINT_CHARS
from common.fields import StrictBooleanField, StrictCharField
from sessions.serializers import DeviceNameField
from users.identity import fields

TOKEN_CHARS = 4096


@extend_schema_field({"type": "object", "additionalProperties": True})
class CredentialField(serializers.Field):
    """A WebAuthn credential as browsers and native modules write it in JSON. What it proves is looked at elsewhere."""

    default_error_messages = {"invalid": _("A JSON object is expected.")}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict) or not isinstance(data.get("response"), dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class CodeField(StrictCharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 64, "help_text": "six digits, or a recovery code", **kwargs})


def token_field(**kwargs: Any) -> StrictCharField:
    return StrictCharField(**{"max_length": TOKEN_CHARS, **kwargs})


class DeviceSerializer(serializers.Serializer):
    device_fingerprint = StrictCharField(required=False, allow_blank=True, max_length=FINGERPRINT_CHARS, default="")
    device_name = DeviceNameField(required=False, default="")
    remember_me = StrictBooleanField(required=False, default=False)
    device_token = StrictCharField(required=False, allow_blank=True, max_length=1024, default="")


class MfaSerializer(serializers.Serializer):
    mfa_token = token_field()
    code = CodeField(required=False)
    credential = CredentialField(required=False)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if not data.get("code") and data.get("credential") is None:
            raise serializers.ValidationError({"code": [_("Give a code or a passkey.")]}, code="required")
        return data


class MfaOptionsSerializer(serializers.Serializer):
    mfa_token = token_field()


class CodeSerializer(serializers.Serializer):
    code = CodeField()


class PasskeySignInSerializer(DeviceSerializer):
    credential = CredentialField()


class PasskeyAddSerializer(serializers.Serializer):
    credential = CredentialField()
    name = fields.LabelField(required=False, limit=100, default="")


class PasskeyNameSerializer(serializers.Serializer):
    name = fields.LabelField(limit=100)

    def validate_name(self, value: str) -> str:
        if not value:  # a rename must give one
            raise serializers.ValidationError(serializers.CharField.default_error_messages["blank"], code="blank")
        return value


class ReauthenticateSerializer(serializers.Serializer):
    """One of `password`, `code`, `credential`, or `provider` with `id_token`."""

    password = fields.SecretField(required=False)
    code = CodeField(required=False)
    credential = CredentialField(required=False)
    provider = StrictCharField(required=False, max_length=40)
    id_token = token_field(required=False, max_length=16_384)
    nonce = token_field(required=False, allow_blank=True)


class EmailCodeSerializer(serializers.Serializer):
    email = fields.TypedAddressField()


class ChallengeCodeSerializer(serializers.Serializer):
    challenge = token_field()
    code = CodeField()


class EmailCodeConfirmSerializer(DeviceSerializer, ChallengeCodeSerializer):
    pass


class IdTokenSerializer(serializers.Serializer):
    id_token = token_field(max_length=16_384)
    nonce = token_field(required=False, allow_blank=True, default="")
    authorization_code = token_field(required=False, allow_blank=True, default="")


class SocialSignInSerializer(DeviceSerializer, IdTokenSerializer):
    first_name = fields.LabelField(required=False, limit=150, default="")
    last_name = fields.LabelField(required=False, limit=150, default="")


class PhoneSerializer(serializers.Serializer):
    phone_number = StrictCharField(max_length=40)


# --- Answers ----------------------------------------------------------------------------------------------------------


class TotpSerializer(serializers.Serializer):
    created_at = serializers.DateTimeField()


class PasskeySerializer(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)
    backed_up = serializers.BooleanField()
    transports = serializers.ListField(child=serializers.CharField())


class SocialLinkSerializer(serializers.Serializer):
    provider = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    linked_at = serializers.DateTimeField()


class FactorsSerializer(serializers.Serializer):
    password = serializers.BooleanField()
    totp = TotpSerializer(allow_null=True)
    recovery_codes_left = serializers.IntegerField()
    passkeys = PasskeySerializer(many=True)
    social = SocialLinkSerializer(many=True)


class EnrolmentSerializer(serializers.Serializer):
    secret = serializers.CharField()
    otpauth_url = serializers.CharField()
    qr_svg = serializers.CharField()


class RecoveryCodesSerializer(serializers.Serializer):
    recovery_codes = serializers.ListField(child=serializers.CharField())


class ProvenSerializer(serializers.Serializer):
    access = serializers.CharField()
    access_expires_in = serializers.IntegerField()
    auth_time = serializers.DateTimeField()
    amr = serializers.ListField(child=serializers.CharField())


class ChallengeSerializer(serializers.Serializer):
    challenge = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="seconds")


class PhoneChallengeSerializer(ChallengeSerializer):
    resend_after = serializers.IntegerField(help_text="seconds")
