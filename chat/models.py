"""Conversations, memberships, messages, and the numbered events that deliver every change to every device.

Foreign keys that are the first column of a unique constraint or index have no index of their own (`db_index=False`):
it would be written with every message, and a planner that chooses it reads a whole conversation instead of a page.
"""

import uuid
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.media.models import Attachment, Upload, UploadPart
from chat.search.models import MessageText
from common.text import fold

__all__ = [
    "Attachment", "Block", "ChatSettings", "Conversation", "Epoch", "Event", "Membership", "Mention", "Message",
    "MessageRevision", "MessageText", "ModeratedWord", "Reaction", "Report", "Upload", "UploadPart",
]  # fmt: skip


SLOWEST_SECONDS = 6 * 3600


class MembershipQuerySet(models.QuerySet["Membership"]):
    def living(self) -> "MembershipQuerySet":
        """Return memberships that have not ended."""
        return self.filter(left_seq=None)


class MessageQuerySet(models.QuerySet["Message"]):
    def visible_to(self, user_id: int) -> "MessageQuerySet":
        """Return the messages that the user can see now: in their conversations, from their first visible one on."""
        return self.filter(
            conversation__memberships__user_id=user_id,
            conversation__memberships__left_seq=None,
            conversation__memberships__visible_after_seq__lt=models.F("seq"),
        )


class Conversation(models.Model):
    """A conversation. `last_seq` numbers events, `last_message_no` messages (unread counts use it, never `seq`)."""

    class Kind(models.TextChoices):
        DIRECT = "direct", _("direct")
        GROUP = "group", _("group")

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind)
    title = models.CharField(_("title"), max_length=100, blank=True, default="")
    search_title = models.CharField(max_length=600, default="", db_default="", editable=False)  # case-folded like names
    description = models.CharField(_("description"), max_length=500, blank=True, default="")
    history_visible = models.BooleanField(_("history visible to new members"), default=False)
    slow_mode_seconds = models.PositiveIntegerField(
        _("slow mode (seconds)"), default=0, db_default=0, validators=[MaxValueValidator(SLOWEST_SECONDS)]
    )  # between two messages of a plain member of a group; 0: no limit
    # "7:12", the two ids in order: two users have one direct conversation.
    direct_key = models.CharField(max_length=41, unique=True, null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"), db_index=True)  # the last activity
    last_seq = models.BigIntegerField(default=0)
    last_message_no = models.BigIntegerField(default=0)
    last_message = models.ForeignKey("Message", null=True, on_delete=models.SET_NULL, related_name="+")
    members_count = models.PositiveIntegerField(_("members"), default=0)

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")

    def __str__(self) -> str:
        return str(self.uuid)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.search_title = fold(self.title)[:600]
        fields = kwargs.get("update_fields")
        if fields is not None and "title" in fields:
            kwargs["update_fields"] = {*fields, "search_title"}
        super().save(*args, **kwargs)


class Membership(models.Model):
    """A user in a conversation, who sees `visible_after_seq < seq <= left_seq` (no end while `left_seq` is null)."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        ADMIN = "admin", _("admin")
        MEMBER = "member", _("member")

    class Notify(models.TextChoices):
        ALL = "all", _("all messages")
        MENTIONS = "mentions", _("mentions")
        NONE = "none", _("nothing")

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role, default=Role.MEMBER)
    joined_at = models.DateTimeField(db_index=True)  # for the hub's sweep, which looks for recent joins
    joined_seq = models.BigIntegerField()
    joined_message_no = models.BigIntegerField(default=0)
    visible_after_seq = models.BigIntegerField(default=0)
    left_at = models.DateTimeField(null=True)
    left_seq = models.BigIntegerField(null=True)
    seen_seq = models.BigIntegerField(default=0)
    seen_message_no = models.BigIntegerField(default=0)
    seen_at = models.DateTimeField(null=True)
    last_sent_at = models.DateTimeField(null=True)  # for slow mode
    muted_until = models.DateTimeField(null=True)
    pinned = models.BooleanField(default=False)
    archived = models.BooleanField(default=False)
    notify = models.CharField(max_length=8, choices=Notify, default=Notify.ALL, db_default="all")

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "user"], name="chat_membership_unique")]
        indexes = [
            models.Index(
                fields=["user", "conversation"], condition=models.Q(left_seq=None), name="chat_membership_living"
            ),
            models.Index(
                fields=["conversation", "id"], condition=models.Q(left_seq=None), name="chat_membership_members"
            ),
        ]


class Message(models.Model):
    """A message. `seq` is that of its `message.created`; `(sender, client_msg_id)` makes repeats idempotent for ever.

    `content_digest` is of the *original* content, so that after an edit a repeat still differs from a conflict.
    """

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False)
    seq = models.BigIntegerField()
    message_no = models.BigIntegerField()
    sender = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    content = models.TextField()
    client_msg_id = models.UUIDField(null=True)
    content_digest = models.CharField(max_length=64)
    reply_to = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    mentions = models.JSONField(default=list)
    created_at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="chat_message_seq"),
            models.UniqueConstraint(fields=["sender", "client_msg_id"], name="chat_message_idempotent"),
        ]
        indexes = [
            # Unread counts exclude deleted messages.
            models.Index(
                fields=["conversation", "message_no"],
                condition=models.Q(deleted_at__isnull=False),
                name="chat_message_taken_back",
            ),
            # For finding messages past their retention (`services/retention.py`).
            models.Index(fields=["created_at"], condition=models.Q(deleted_at__isnull=True), name="chat_message_age"),
        ]


class MessageRevision(models.Model):
    """The content of a message before an edit or deletion; for moderators, never for members."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="revisions")
    content = models.TextField()
    replaced_at = models.DateTimeField()
    replaced_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")


class Event(models.Model):
    """One entry of a conversation's log: `seq` is 1, 2, 3 … in commit order, without gaps.

    `message.*` and `reaction.*` events refer to their message, whose *present* state is sent, so that deleted content
    cannot reappear in a catch-up; `payload` has the rest.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=32)
    at = models.DateTimeField()
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    message = models.ForeignKey(Message, null=True, on_delete=models.CASCADE, related_name="+")
    payload = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "seq"], name="chat_event_seq")]


class Reaction(models.Model):
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="reactions", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    emoji = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "user", "emoji"], name="chat_reaction_unique")]


class Mention(models.Model):
    """One row per mentioned user, so that counting unread mentions reads only these."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+", db_index=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+", db_index=False)
    message_no = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "user"], name="chat_mention_unique")]
        indexes = [models.Index(fields=["conversation", "user", "message_no"], name="chat_mention_unread")]


class Block(models.Model):
    blocker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    blocked = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["blocker", "blocked"], name="chat_block_unique")]


class Report(models.Model):
    class Status(models.TextChoices):
        OPEN = "open", _("open")
        RESOLVED = "resolved", _("resolved")
        DISMISSED = "dismissed", _("dismissed")

    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="reports", verbose_name=_("message"))
    reporter = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", verbose_name=_("reporter")
    )
    reason = models.CharField(_("reason"), max_length=500)
    # Author of the message when it was reported, so that a person's history is read without their messages.
    accused = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.OPEN)
    created_at = models.DateTimeField(_("created at"))
    resolved_at = models.DateTimeField(_("resolved at"), null=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", verbose_name=_("resolved by")
    )

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        constraints = [models.UniqueConstraint(fields=["message", "reporter"], name="chat_report_unique")]
        indexes = [
            models.Index(fields=["accused", "-id"], name="chat_report_accused"),
            models.Index(fields=["status", "-id"], name="chat_report_queue"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)


class ModeratedWord(models.Model):
    """A word whose messages come before the moderators. `folded`: as search compares (`services.word_list.key`)."""

    word = models.CharField(_("word"), max_length=64)
    folded = models.CharField(max_length=128, unique=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("word to watch")
        verbose_name_plural = _("words to watch")

    def __str__(self) -> str:
        return self.word


class ChatSettings(models.Model):
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="chat_settings"
    )
    share_receipts = models.BooleanField(default=True)
    share_presence = models.BooleanField(default=True)
    # Hours in the profile's time zone without pushes; both or neither. They may span midnight.
    quiet_from = models.TimeField(null=True)
    quiet_to = models.TimeField(null=True)


class Epoch(models.Model):
    """A single row that identifies this event log. A restored backup gets a new one, so old cursors get a `gap`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    value = models.CharField(max_length=36)
