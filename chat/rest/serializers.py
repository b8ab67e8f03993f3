"""Serializers of the chat's REST API. Input is validated here; output serializers only describe, for OpenAPI."""

import re
from datetime import time
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from chat.models import SLOWEST_SECONDS, Conversation, Membership, Report
from chat.rest.message_serializers import MessageOutput, MessageSenderOutput
from common.fields import StrictBooleanField, StrictIntegerField, StrictUUIDField, VisibleCharField

# --- Input ------------------------------------------------------------------------------------------------------------


class UserIdInput(serializers.Serializer[Any]):
    user_id = StrictIntegerField()


class PeopleInput(serializers.Serializer[Any]):
    # The service refuses more than a group can hold; this limits what is parsed at all.
    user_ids = serializers.ListField(child=StrictIntegerField(), max_length=1_000)


class NewDirectInput(UserIdInput):
    kind = serializers.ChoiceField(choices=["direct"])


class NewGroupInput(PeopleInput):
    kind = serializers.ChoiceField(choices=["group"])
    title = VisibleCharField(max_length=100)
    history_visible = StrictBooleanField(default=False)


class KindInput(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Conversation.Kind.choices)


class ConversationInput(serializers.Serializer[Any]):
    """Every key optional: what is absent stays."""

    title = VisibleCharField(max_length=100, required=False)
    description = VisibleCharField(max_length=500, allow_blank=True, required=False)
    history_visible = StrictBooleanField(required=False)
    slow_mode_seconds = StrictIntegerField(
        required=False, max_value=SLOWEST_SECONDS, help_text="between two messages of a plain member; 0 = no limit"
    )


class ConversationSettingsInput(serializers.Serializer[Any]):
    muted_until = serializers.DateTimeField(allow_null=True, required=False)
    pinned = StrictBooleanField(required=False)
    archived = StrictBooleanField(required=False)
    notify = serializers.ChoiceField(choices=Membership.Notify.choices, required=False)


class ConversationFilterInput(serializers.Serializer[Any]):
    archived = serializers.BooleanField(default=False)
    q = serializers.CharField(max_length=100, allow_blank=True, required=False)


class RoleInput(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Membership.Role.choices)


ROLE_SCHEMA = {
    "type": "object",
    "properties": {"role": {"$ref": "#/components/schemas/RoleEnum"}},
    "required": ["role"],
}


class SeenInput(serializers.Serializer[Any]):
    up_to_seq = StrictIntegerField()


class ReportInput(serializers.Serializer[Any]):
    message_uuid = StrictUUIDField()
    reason = VisibleCharField(max_length=500)


QUIET_HOURS_SCHEMA = {
    "type": "object",
    "properties": {
        "from": {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "example": "22:00"},
        "to": {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "example": "07:00"},
    },
    "required": ["from", "to"],
}


@extend_schema_field(QUIET_HOURS_SCHEMA)
class QuietHoursField(serializers.Field[Any, Any, Any, Any]):
    """`{"from": "22:00", "to": "07:00"}` as a pair of times; null for none."""

    default_error_messages = {"invalid": _("Give two different times of day, from 22:00 to 07:00 for example.")}

    def to_internal_value(self, data: Any) -> tuple[time, time]:
        start, end = self._time(data, "from"), self._time(data, "to")
        if start == end:  # ambiguous: the whole day or none of it
            self.fail("invalid")
        return start, end

    def _time(self, data: Any, name: str) -> time:
        text = data.get(name) if isinstance(data, dict) else None
        if not isinstance(text, str) or not TIME_OF_DAY.fullmatch(text):
            self.fail("invalid")
        return time.fromisoformat(text)


TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class ChatSettingsInput(serializers.Serializer[Any]):
    """Every key optional; only `quiet_hours` may be null, which ends them."""

    share_receipts = StrictBooleanField(required=False)
    share_presence = StrictBooleanField(required=False)
    quiet_hours = QuietHoursField(required=False, allow_null=True)


# --- Output -----------------------------------------------------------------------------------------------------------


def page_of(row: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """Return a serializer class that describes a cursor page of such rows."""
    fields = {
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": row(many=True),
    }
    return type(f"{row.__name__.removesuffix('Output')}PageOutput", (serializers.Serializer,), fields)


class PersonOutput(MessageSenderOutput):
    pass


class MemberOutput(serializers.Serializer[Any]):
    user = PersonOutput()
    role = serializers.ChoiceField(choices=Membership.Role.choices)
    seen_seq = serializers.IntegerField(allow_null=True, help_text="null where the person shares no receipts")
    joined_at = serializers.DateTimeField()
    online = serializers.BooleanField()
    last_seen_at = serializers.DateTimeField(allow_null=True)


class ConversationRowOutput(serializers.Serializer[Any]):
    uuid = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Conversation.Kind.choices)
    title = serializers.CharField(allow_blank=True)
    members_count = serializers.IntegerField()
    members = MemberOutput(many=True, help_text="at most 20")
    last_message = MessageOutput(allow_null=True)
    last_seq = serializers.IntegerField()
    seen_seq = serializers.IntegerField()
    unread_count = serializers.IntegerField()
    mention_count = serializers.IntegerField()
    muted_until = serializers.DateTimeField(allow_null=True)
    pinned = serializers.BooleanField()
    archived = serializers.BooleanField()
    my_role = serializers.ChoiceField(choices=Membership.Role.choices)
    history_visible = serializers.BooleanField()
    slow_mode_seconds = serializers.IntegerField(
        required=False, help_text="between two messages of a plain member; absent where slow mode is off"
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ConversationOutput(ConversationRowOutput):
    description = serializers.CharField(allow_blank=True)


class ConversationSettingsOutput(serializers.Serializer[Any]):
    muted_until = serializers.DateTimeField(allow_null=True)
    pinned = serializers.BooleanField()
    archived = serializers.BooleanField()
    notify = serializers.ChoiceField(choices=Membership.Notify.choices)


class ConversationWithSettingsOutput(ConversationOutput):
    notify = serializers.ChoiceField(choices=Membership.Notify.choices)


class SeenOutput(serializers.Serializer[Any]):
    conversation_uuid = serializers.UUIDField()
    seen_seq = serializers.IntegerField()
    unread_count = serializers.IntegerField()
    mention_count = serializers.IntegerField()


class SuccessOutput(serializers.Serializer[Any]):
    success = serializers.BooleanField()


class BlockOutput(serializers.Serializer[Any]):
    user = PersonOutput()
    created_at = serializers.DateTimeField()


class ReportOutput(serializers.Serializer[Any]):
    uuid = serializers.UUIDField()
    message_uuid = serializers.UUIDField()
    reason = serializers.CharField()
    status = serializers.ChoiceField(choices=Report.Status.choices)
    created_at = serializers.DateTimeField()


class ChatSettingsOutput(serializers.Serializer[Any]):
    share_receipts = serializers.BooleanField()
    share_presence = serializers.BooleanField()
    quiet_hours = QuietHoursField(allow_null=True, help_text="in the profile's time zone; null for none")
