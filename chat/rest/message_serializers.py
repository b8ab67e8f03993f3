"""Serializers of the message endpoints. Output serializers only describe responses for OpenAPI."""

from typing import Any

from rest_framework import serializers

from common.drf import CursorPagination
from common.fields import StrictCharField, StrictIntegerField, StrictUUIDField

# --- Input ------------------------------------------------------------------------------------------------------------


class ContentField(StrictCharField):
    """Message text as typed: the service validates it, for REST and the socket alike."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_blank=True, trim_whitespace=False, **kwargs)
        self.validators = []


class NewMessageInput(serializers.Serializer[Any]):
    content = ContentField(required=False, default="")
    client_msg_id = StrictUUIDField(required=False, allow_null=True, default=None)
    reply_to = StrictUUIDField(required=False, allow_null=True, default=None)
    attachments = serializers.ListField(child=StrictUUIDField(), required=False, max_length=10, default=list)


class EditInput(serializers.Serializer[Any]):
    content = ContentField()


class PageInput(serializers.Serializer[Any]):
    before_seq = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1, default=None)
    after_seq = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1, default=None)
    limit = serializers.IntegerField(required=False, min_value=1, default=50)

    def validate_limit(self, limit: int) -> int:
        return min(limit, CursorPagination.max_page_size)  # as on every other list: capped at the maximum page size


# --- Output -----------------------------------------------------------------------------------------------------------


class MessageSenderOutput(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    username = serializers.CharField()
    first_name = serializers.CharField(allow_blank=True)
    last_name = serializers.CharField(allow_blank=True)


class ReplyToOutput(serializers.Serializer[Any]):
    uuid = serializers.UUIDField()
    sender = MessageSenderOutput(allow_null=True)
    excerpt = serializers.CharField(allow_blank=True)


class ReactionOutput(serializers.Serializer[Any]):
    emoji = serializers.CharField()
    count = StrictIntegerField()
    mine = serializers.BooleanField()


class MessageOutput(serializers.Serializer[Any]):
    uuid = serializers.UUIDField()
    conversation_uuid = serializers.UUIDField()
    seq = serializers.IntegerField()
    sender = MessageSenderOutput(allow_null=True)
    content = serializers.CharField(allow_blank=True)
    client_msg_id = serializers.UUIDField(allow_null=True)
    reply_to = ReplyToOutput(allow_null=True)
    attachments = serializers.ListField(child=serializers.DictField())
    reactions = ReactionOutput(many=True)
    mentions = serializers.ListField(child=serializers.IntegerField())
    created_at = serializers.DateTimeField()
    edited_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)


class MessagePageOutput(serializers.Serializer[Any]):
    results = MessageOutput(many=True)
    has_more = serializers.BooleanField()
