"""Endpoint of the security timeline."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import generics, serializers

from common.drf import CursorPagination
from sessions.places import location
from sessions.serializers import DeviceSerializer, LocationSerializer
from users import security_events
from users.models import SecurityEvent


class SecurityEventSerializer(serializers.ModelSerializer):
    kind = serializers.ChoiceField(choices=list(security_events.KINDS))
    location = serializers.SerializerMethodField()
    client = serializers.SerializerMethodField()

    class Meta:
        model = SecurityEvent
        fields = ("id", "kind", "at", "ip_address", "location", "client", "session_id", "detail")
        read_only_fields = fields

    @extend_schema_field(LocationSerializer(allow_null=True))
    def get_location(self, event: SecurityEvent) -> dict[str, Any] | None:
        return location.described(event.location)

    @extend_schema_field(DeviceSerializer)
    def get_client(self, event: SecurityEvent) -> dict[str, Any]:
        return {key: event.client.get(key) for key in ("browser", "os", "device")}


class SecurityEventPagination(CursorPagination):
    ordering: Any = ("-at", "-id")


@extend_schema(tags=["users"])
class SecurityEventsView(generics.ListAPIView):
    """One's own timeline, newest first."""

    serializer_class = SecurityEventSerializer
    pagination_class = SecurityEventPagination
    queryset = SecurityEvent.objects.none()

    def get_queryset(self) -> Any:
        return SecurityEvent.objects.filter(user_id=self.request.user.pk or 0)
