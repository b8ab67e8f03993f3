"""Serializers of the attachment endpoints. Output serializers only describe responses for OpenAPI."""

from typing import Any

from rest_framework import serializers

from chat.media.models import Attachment


class FileInput(serializers.Serializer[Any]):
    file = serializers.FileField()


class AttachmentOutput(serializers.Serializer[Any]):
    uuid = serializers.UUIDField()
    kind = serializers.ChoiceField(Attachment.Kind.choices)
    state = serializers.ChoiceField([("processing", "processing"), ("ready", "ready")])
    name = serializers.CharField()
    content_type = serializers.CharField()
    size = serializers.IntegerField()
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    thumbhash = serializers.CharField(allow_null=True, help_text="Base64.")
    waveform = serializers.ListField(child=serializers.IntegerField(), allow_null=True, help_text="64 of 0 to 255.")
    thumbnail_url = serializers.CharField(allow_null=True)
    url = serializers.CharField()
