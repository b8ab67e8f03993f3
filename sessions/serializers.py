"""Input of the session endpoints, and the shapes of their responses for the OpenAPI schema."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from common import labels
from sessions.services.lifecycle import DEVICE_NAME_CHARS


class TokenField(serializers.CharField):
    """A token is taken as it is: whatever is wrong with it is 401 from the one place that reads tokens."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        self.validators = []


class RefreshSerializer(serializers.Serializer[Any]):
    refresh = TokenField()


class VerifySerializer(serializers.Serializer[Any]):
    token = TokenField()


class LogoutSerializer(serializers.Serializer[Any]):
    refresh = TokenField(required=False, allow_null=True, allow_blank=True)


class LogoutAllSerializer(serializers.Serializer[Any]):
    keep_current = serializers.BooleanField(default=False)


@extend_schema_field({"type": "string", "example": "Alice's phone"})
class DeviceNameField(serializers.Field[Any, Any, Any, Any]):
    """A label, the same at login and at rename: cleaned and cut, never a reason to refuse; '' where nothing is left."""

    def to_internal_value(self, data: Any) -> str:
        return labels.label(data, limit=DEVICE_NAME_CHARS) if isinstance(data, str) else ""


class RenameSerializer(serializers.Serializer[Any]):
    device_name = DeviceNameField()

    def validate_device_name(self, value: str) -> str:
        if not value:  # a device without a name is shown by its browser; a rename must give one
            raise serializers.ValidationError(serializers.CharField.default_error_messages["blank"], code="blank")
        return value


class LocationSerializer(serializers.Serializer[Any]):
    country = serializers.CharField()
    country_name = serializers.CharField()
    region = serializers.CharField(allow_null=True)
    city = serializers.CharField(allow_null=True)


class DeviceSerializer(serializers.Serializer[Any]):
    browser = serializers.CharField(allow_null=True)
    os = serializers.CharField(allow_null=True)
    device = serializers.CharField(allow_null=True)


class SessionSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    is_current = serializers.BooleanField()
    device_name = serializers.CharField(allow_blank=True)
    device_fingerprint = serializers.CharField(allow_blank=True, help_text="the last 6 characters")
    ip_address = serializers.IPAddressField(allow_null=True)
    location = LocationSerializer(allow_null=True)
    user_agent = serializers.CharField(allow_blank=True)
    client = DeviceSerializer()
    created_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    idle_expires_at = serializers.DateTimeField()
    absolute_expires_at = serializers.DateTimeField()
    remember_me = serializers.BooleanField()
    auth_time = serializers.DateTimeField(help_text="of the last proof of who one is, as in tokens")
    amr = serializers.ListField(child=serializers.CharField(), help_text="RFC 8176")
    sockets = serializers.IntegerField()


class SessionPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = SessionSerializer(many=True)


class TokensSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    access_expires_in = serializers.IntegerField(help_text="seconds")
    refresh_expires_in = serializers.IntegerField(help_text="seconds")
    server_time = serializers.DateTimeField()
    session = SessionSerializer()


class EmptySerializer(serializers.Serializer[Any]):
    pass


class SuccessSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()


class LoggedOutEverywhereSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    revoked = serializers.IntegerField()
