"""What the chat takes and gives over REST. Input is checked here; output serializers only describe, for the schema."""

from typing import Any

from rest_framework import serializers

from chat.models import Conversation, Membership, Report
from chat.rest.message_serializers import MessageOutput
from common.fields import StrictBooleanField, StrictCharField, StrictIntegerField

# --- Input ------------------------------------------------------------------------------------------------------------


class UserIdInput(serializers.Serializer[Any]):
    user_id = StrictIntegerField()


class PeopleInput(serializers.Serializer[Any]):
    # More than a group can hold is refused by the service; this bounds what is read at all.
    user_ids = serializers.ListField(child=StrictIntegerField(), max_length=1_000)


class NewDirectInput(UserIdInput):
    kind = serializers.ChoiceField(choices=["direct"])


class NewGroupInput(PeopleInput):
    kind = serializers.ChoiceField(choices=["group"])
    title = StrictCharField(max_length=100)
    history_visible = StrictBooleanField(default=False)


class KindInput(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Conversation.Kind.choices)


class ConversationInput(serializers.Serializer[Any]):
    """Every key optional: what is absent stays."""

    title = StrictCharField(max_length=100, required=False)
    description = StrictCharField(max_length=500, allow_blank=True, required=False)
    history_visible = StrictBooleanField(required=False)


class ConversationSettingsInput(serializers.Serializer[Any]):
    muted_until = serializers.DateTimeField(allow_null=True, required=False)
    pinned = StrictBooleanField(required=False)
    archived = StrictBooleanField(required=False)


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
    message_uuid = serializers.UUIDField()
    reason = StrictCharField(max_length=500)


class ChatSettingsInput(serializers.Serializer[Any]):
    share_receipts = StrictBooleanField(required=False)
    share_presence = StrictBooleanField(required=False)


# --- Output -----------------------------------------------------------------------------------------------------------


def page_of(row: type[serializers.Serializer[Any]]) -> type[serializers.Serializer[Any]]:
    """Return the serializer that describes a cursor page of such rows."""
    fields = {
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": row(many=True),
    }
    return type(f"{row.__name__.removesuffix('Output')}PageOutput", (serializers.Serializer,), fields)


class PersonOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    username = serializers.CharField()
    first_name = serializers.CharField(allow_blank=True)
    last_name = serializers.CharField(allow_blank=True)


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
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class ConversationOutput(ConversationRowOutput):
    description = serializers.CharField(allow_blank=True)


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
