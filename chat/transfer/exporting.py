"""Export of conversations as JSON lines, with constant memory (one batch of rows)."""

import base64
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils import timezone

from chat.media import store
from chat.media.models import Attachment
from chat.models import Conversation, Event, Membership, Message, MessageRevision, Reaction
from chat.transfer import lines
from common import json


def chosen(uuids: Sequence[uuid.UUID]) -> QuerySet[Conversation]:
    """Return the named conversations, all if none is named."""
    rows = Conversation.objects.order_by("pk")
    return rows.filter(uuid__in=uuids) if uuids else rows


def total(conversations: QuerySet[Conversation]) -> int:
    """Return the number of messages and events, for the progress bar."""
    return sum(
        model.objects.filter(conversation__in=conversations).count()  # type: ignore[attr-defined]
        for model in (Message, Event)
    )


def export(out: IO[bytes], conversations: QuerySet[Conversation], *, with_files: bool) -> Iterator[dict[str, int]]:
    """Write the lines; yield the counts so far from time to time. The last line has the counts.

    Messages sent meanwhile are not included: a conversation is exported up to its head at the start.
    """
    counts = dict.fromkeys(lines.COUNTED, 0)

    def write(line: str, **fields: Any) -> None:
        out.write(json.dumps({"line": line, **fields}) + b"\n")
        if line in counts:
            counts[line] += 1

    write("header", format=lines.FORMAT, exported_at=timezone.now())
    for pk in conversations.values_list("pk", flat=True).iterator(lines.ROWS):
        for _ in _conversation(write, Conversation.objects.get(pk=pk), with_files=with_files):
            yield counts
    write("end", counts=counts)
    yield counts


def _conversation(write: Any, room: Conversation, *, with_files: bool) -> Iterator[None]:
    head = room.last_seq
    creator = _names([room.created_by_id])
    write("conversation", **lines.columns(room, lines.CONVERSATION), created_by=creator.get(room.created_by_id))
    for members in _in_batches(Membership.objects.filter(conversation=room).order_by("pk")):
        names = _names(row.user_id for row in members)
        for row in members:
            write("member", user=names.get(row.user_id), **lines.columns(row, lines.MEMBER))
    for messages in _in_batches(Message.objects.filter(conversation=room, seq__lte=head).order_by("seq")):
        _messages(write, messages, with_files=with_files)
        yield
    for events in _in_batches(Event.objects.filter(conversation=room, seq__lte=head).order_by("seq")):
        names = _names(number for row in events for number in (row.actor_id, row.payload.get("user_id")))
        said = _uuids(row.message_id for row in events)
        for event in events:
            payload = dict(event.payload)
            about = payload.pop("user_id", None)
            write(
                "event", **lines.columns(event, lines.EVENT), actor=names.get(event.actor_id),
                message=said.get(event.message_id), user=names.get(about), payload=payload,
            )  # fmt: skip
        yield
    write("conversation_end", uuid=room.uuid)


def _messages(write: Any, messages: Sequence[Message], *, with_files: bool) -> None:
    ids = [row.pk for row in messages]
    reactions = list(Reaction.objects.filter(message_id__in=ids).order_by("pk"))
    revisions = list(MessageRevision.objects.filter(message_id__in=ids).order_by("pk"))
    attachments = list(Attachment.objects.filter(message_id__in=ids).order_by("pk"))
    people = [row.sender_id for row in messages] + [number for row in messages for number in row.mentions]
    people += [row.user_id for row in reactions] + [row.replaced_by_id for row in revisions]
    names = _names(people + [row.uploader_id for row in attachments])
    said = {row.pk: row.uuid for row in messages} | _uuids(row.reply_to_id for row in messages)
    for row in messages:
        write(
            "message", **lines.columns(row, lines.MESSAGE), sender=names.get(row.sender_id),
            reply_to=said.get(row.reply_to_id or 0),
            mentions=[names[number] for number in row.mentions if number in names],
        )  # fmt: skip
    for revision in revisions:
        write(
            "revision", message=said[revision.message_id], **lines.columns(revision, lines.REVISION),
            replaced_by=names.get(revision.replaced_by_id),
        )  # fmt: skip
    for reaction in reactions:
        fields = lines.columns(reaction, lines.REACTION)
        write("reaction", message=said[reaction.message_id], user=names.get(reaction.user_id), **fields)
    for attachment in attachments:
        message = said[attachment.message_id or 0]
        fields = lines.columns(attachment, lines.ATTACHMENT)
        write("attachment", message=message, uploader=names.get(attachment.uploader_id), **fields)
        if with_files:
            _bytes(write, attachment)


def _bytes(write: Any, attachment: Attachment) -> None:
    is_ready = attachment.state == Attachment.State.READY
    objects = [store.CONTENT if is_ready else store.ORIGINAL]
    for which in [*objects, *([store.THUMBNAIL] if attachment.has_thumbnail else [])]:
        with store.open_object(store.key_of(attachment.uuid, which)) as file:
            while block := file.read(lines.BYTES):
                data = base64.b64encode(block).decode()
                write("bytes", attachment=attachment.uuid, object=which, data=data)


def _in_batches(rows: QuerySet[Any]) -> Iterator[tuple[Any, ...]]:
    found = rows.iterator(lines.ROWS)
    while batch := tuple(islice(found, lines.ROWS)):
        yield batch


def _names(ids: Any) -> dict[Any, str]:
    wanted = {number for number in ids if number is not None}
    return dict(get_user_model()._default_manager.filter(pk__in=wanted).values_list("pk", "username"))


def _uuids(ids: Any) -> dict[Any, uuid.UUID]:
    wanted = {number for number in ids if number is not None}
    return dict(Message.objects.filter(pk__in=wanted).values_list("pk", "uuid")) if wanted else {}
