"""Attachments, and resumable uploads in progress."""

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Attachment(models.Model):
    """A file of one user, in one message at most. Its bytes are in the store under the keys of `store.keys_of`.

    `size` counts towards the uploader's quota before the first byte is stored.
    """

    class Kind(models.TextChoices):
        IMAGE = "image", _("image")
        VIDEO = "video", _("video")
        AUDIO = "audio", _("audio")
        FILE = "file", _("file")

    class State(models.TextChoices):
        STORING = "storing", _("storing")  # visible to nobody: the upload's response was not sent yet
        PROCESSING = "processing", _("processing")
        READY = "ready", _("ready")

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    uploader = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    message = models.ForeignKey("chat.Message", null=True, on_delete=models.SET_NULL, related_name="attachments")
    place = models.PositiveSmallIntegerField(default=0)  # position in its message
    state = models.CharField(max_length=10, choices=State, default=State.STORING)
    kind = models.CharField(max_length=5, choices=Kind, default=Kind.FILE)
    name = models.CharField(max_length=255)
    content_type = models.CharField(max_length=64)
    size = models.BigIntegerField()
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    duration_ms = models.BigIntegerField(null=True)
    thumbhash = models.CharField(max_length=64, null=True)
    waveform = models.JSONField(null=True)
    has_thumbnail = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        indexes = [
            models.Index(fields=["created_at"], condition=models.Q(message=None), name="chat_attachment_unsent"),
            models.Index(
                fields=["created_at"], condition=models.Q(state="processing"), name="chat_attachment_unprocessed"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uuid)


class Upload(models.Model):
    """A resumable upload (tus). Its `length` counts towards the quota until it has become an attachment or is gone."""

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    uploader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=255)
    length = models.BigIntegerField()
    offset = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    finishing_at = models.DateTimeField(null=True)  # since when a request is turning it into an attachment
    attachment_uuid = models.UUIDField(null=True)


class UploadPart(models.Model):
    """The bytes of one request, complete or interrupted, as an object of its own in the store."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="parts", db_index=False)
    offset = models.BigIntegerField()
    size = models.BigIntegerField()
    key = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "offset"], name="chat_uploadpart_offset")]
