"""The shape of each kind of event, for AsyncAPI and OpenAPI only: `chat.log.encoding` encodes events itself.

`chat/tests/test_asyncapi.py` checks sent events against these shapes.
"""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Shape(msgspec.Struct, kw_only=True):
    """Base of objects whose keys are always present, but for those that may be unset."""


class Person(Shape, kw_only=True):
    id: int
    username: str
    first_name: str
    last_name: str


class ReplyTo(Shape, kw_only=True):
    """The message that is answered. `sender` is null and `excerpt` empty where the reader may not see it."""

    uuid: UUID
    sender: Person | None
    excerpt: str


class ReactionCount(Shape, kw_only=True):
    emoji: str
    count: int


class MessageData(Shape, kw_only=True):
    """A message as REST shows it, `mine` left out. A deleted one keeps its `seq` and loses its content."""

    uuid: UUID
    conversation_uuid: UUID
    seq: int
    sender: Person | None
    content: str
    client_msg_id: UUID | None
    reply_to: ReplyTo | None
    attachments: list[dict[str, Any]]
    reactions: list[ReactionCount]
    mentions: list[int]
    created_at: Time
    edited_at: Time | None
    deleted_at: Time | None


class HiddenData(Shape, kw_only=True):
    """In place of `data` where the message lies before the reader's first visible one."""

    message_uuid: UUID
    hidden: Annotated[bool, Meta(extra_json_schema={"const": True})]


class AttachmentReadyData(Shape, kw_only=True):
    message_uuid: UUID
    attachment: dict[str, Any] | None  # null in a catch-up where it was taken back since


class ReactionData(Shape, kw_only=True):
    message_uuid: UUID
    emoji: str
    user_id: int


class MemberData(Shape, kw_only=True):
    user: Person | None
    role: str | None


class ConversationData(Shape, kw_only=True):
    uuid: UUID
    kind: str
    title: str
    description: str
    slow_mode_seconds: int | UnsetType = UNSET  # only where this event changed it


class EventShape(Shape, kw_only=True, tag_field="kind"):
    """One event of a conversation's log."""

    conversation_uuid: UUID
    seq: int
    at: Time
    actor_id: int | None


class MessageCreated(EventShape, kw_only=True, tag="message.created"):
    data: MessageData | HiddenData


class MessageEdited(EventShape, kw_only=True, tag="message.edited"):
    data: MessageData | HiddenData


class MessageDeleted(EventShape, kw_only=True, tag="message.deleted"):
    data: MessageData | HiddenData


class ReactionAdded(EventShape, kw_only=True, tag="reaction.added"):
    data: ReactionData | HiddenData


class ReactionRemoved(EventShape, kw_only=True, tag="reaction.removed"):
    data: ReactionData | HiddenData


class AttachmentReady(EventShape, kw_only=True, tag="attachment.ready"):
    data: AttachmentReadyData | HiddenData


class MemberJoined(EventShape, kw_only=True, tag="member.joined"):
    data: MemberData


class MemberLeft(EventShape, kw_only=True, tag="member.left"):
    data: MemberData


class MemberRoleChanged(EventShape, kw_only=True, tag="member.role_changed"):
    data: MemberData


class ConversationCreated(EventShape, kw_only=True, tag="conversation.created"):
    data: ConversationData


class ConversationUpdated(EventShape, kw_only=True, tag="conversation.updated"):
    data: ConversationData


EVENTS: tuple[type[EventShape], ...] = (
    MessageCreated, MessageEdited, MessageDeleted, ReactionAdded, ReactionRemoved, AttachmentReady, MemberJoined,
    MemberLeft, MemberRoleChanged, ConversationCreated, ConversationUpdated,
)  # fmt: skip
KINDS = tuple(str(event.__struct_config__.tag) for event in EVENTS)
