"""Import of conversations from JSON lines, each atomically and with constant memory (one batch of rows).

Existing conversations are skipped, so that an interrupted import can simply be run again.
"""

import base64
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils.dateparse import parse_datetime

from chat.media import store, uploads
from chat.media.models import Attachment
from chat.models import Conversation, Event, Membership, Mention, Message, MessageRevision, Reaction
from chat.search import index
from chat.services.conversations import direct_key
from chat.transfer import lines
from common import json

Line = dict[str, Any]


class ImportRefused(Exception):
    """The file cannot be imported; the text says why."""


def import_lines(file: Iterable[bytes], *, allow_missing: bool) -> Iterator[dict[str, int]]:
    """Import the lines; yield the counts so far from time to time. `allow_missing`: unknown users become null.

    Raises ImportRefused.
    """
    counts = dict.fromkeys((*lines.COUNTED, "skipped"), 0)
    found = _lines(file)
    header = next(found, {})
    if header.get("line") != "header" or header.get("format") != lines.FORMAT:
        raise ImportRefused("This is not an export of conversations, or of another version.")
    for line in found:
        if line["line"] == "end":
            missing = {name: n for name, n in line["counts"].items() if counts[name] != n}
            if missing and not counts["skipped"]:
                raise ImportRefused(f"The file promises other counts than it holds: {missing}.")
            yield counts
            return
        if line["line"] != "conversation":
            raise ImportRefused(f"Unexpected line: {line['line']}.")
        if Conversation.objects.filter(uuid=line["uuid"]).exists():
            counts["skipped"] += 1
            for _ in _until_end(found):
                pass
        else:
            with ExitStack() as files:
                files.enter_context(transaction.atomic())
                room = _Room(line, counts, files, allow_missing=allow_missing)
                for each in _until_end(found):
                    room.take(each)
                    if sum(counts.values()) % lines.ROWS == 0:
                        yield counts
                room.finish()
        yield counts
    raise ImportRefused("The file ends too early.")


def _lines(file: Iterable[bytes]) -> Iterator[Line]:
    for number, raw in enumerate(file, 1):
        try:
            line = json.loads(raw)
        except json.JSONDecodeError as error:
            raise ImportRefused(f"Line {number} is not JSON.") from error
        if not isinstance(line, dict) or not isinstance(line.get("line"), str):
            raise ImportRefused(f"Line {number} is not a line of an export.")
        yield line


def _until_end(found: Iterator[Line]) -> Iterator[Line]:
    for line in found:
        if line["line"] == "conversation_end":
            return
        yield line
    raise ImportRefused("The file ends in the middle of a conversation.")


class _Room:
    """One conversation being imported. Lines of one kind are collected and written together."""

    def __init__(self, line: Line, counts: dict[str, int], files: ExitStack, *, allow_missing: bool) -> None:
        self.counts, self.files, self.allow_missing = counts, files, allow_missing
        self.kind, self.waiting = "", list[Line]()
        self.open: tuple[tuple[str, str], IO[bytes]] | None = None
        self.content_types: dict[str, Line] = {}
        creator = self._people([line["created_by"]]).get(line["created_by"])
        self.row = Conversation.objects.create(**_values(line, lines.CONVERSATION), created_by_id=creator)
        counts["conversation"] += 1

    def take(self, line: Line) -> None:
        kind = line["line"]
        if kind != self.kind or len(self.waiting) >= lines.ROWS:
            self._write()
        if kind == "bytes":
            self._bytes(line)
            return
        if kind not in self.WRITERS:
            raise ImportRefused(f"Unexpected line: {kind}.")
        self.kind = kind
        self.waiting.append(line)

    def finish(self) -> None:
        self._write()
        self._end_bytes()
        last = Message.objects.filter(conversation=self.row).order_by("-seq").first()
        living = Membership.objects.filter(conversation=self.row, left_seq=None)
        self.row.last_message, self.row.members_count = last, living.count()
        if self.row.kind == Conversation.Kind.DIRECT:
            pair = list(Membership.objects.filter(conversation=self.row).values_list("user_id", flat=True))
            if len(pair) == 2:
                self.row.direct_key = direct_key(*pair)
                if Conversation.objects.filter(direct_key=self.row.direct_key).exists():
                    raise ImportRefused(f"The two people of {self.row.uuid} have a direct conversation here already.")
        self.row.save()

    def _write(self) -> None:
        if self.waiting:
            self._end_bytes()
            self.WRITERS[self.kind](self, self.waiting)
            self.counts[self.kind] += len(self.waiting)
            self.waiting = []

    def _people(self, names: Iterable[str | None]) -> dict[str | None, int]:
        wanted = {name for name in names if name is not None}
        people = get_user_model()._default_manager.filter(username__in=wanted)
        found: dict[str | None, int] = dict(people.values_list("username", "pk"))
        if (missing := wanted - set(found)) and not self.allow_missing:
            raise ImportRefused(f"Nobody here is called {', '.join(sorted(missing)[:10])}.")
        return found

    def _said(self, uuids: Iterable[str | None]) -> dict[str | None, Message]:
        wanted = {text for text in uuids if text is not None}
        rows = Message.objects.filter(conversation=self.row, uuid__in=wanted) if wanted else ()
        return {str(row.uuid): row for row in rows}

    def _members(self, rows: list[Line]) -> None:
        people = self._people(line["user"] for line in rows)
        Membership.objects.bulk_create(
            Membership(conversation=self.row, user_id=people[line["user"]], **_values(line, lines.MEMBER))
            for line in rows
            if line["user"] in people
        )

    def _messages(self, rows: list[Line]) -> None:
        people = self._people(name for line in rows for name in (line["sender"], *line["mentions"]))
        for line in rows:
            line["mentions"] = [people[name] for name in line["mentions"] if name in people]
        Message.objects.bulk_create(
            Message(
                conversation=self.row, sender_id=people.get(line["sender"]), mentions=line["mentions"],
                **_values(line, lines.MESSAGE),
            )
            for line in rows
        )  # fmt: skip
        said = self._said(text for line in rows for text in (line["uuid"], line["reply_to"]))
        stored = [said[line["uuid"]] for line in rows]
        index.add((message.pk, message.content) for message in stored if message.deleted_at is None)
        answers = []
        for line in rows:
            if line["reply_to"] in said:
                answer = said[line["uuid"]]
                answer.reply_to = said[line["reply_to"]]
                answers.append(answer)
        Message.objects.bulk_update(answers, ["reply_to"])
        Mention.objects.bulk_create(
            Mention(user_id=number, conversation=self.row, message=said[line["uuid"]], message_no=line["message_no"])
            for line in rows
            for number in line["mentions"]
        )

    def _revisions(self, rows: list[Line]) -> None:
        people, said = self._people(line["replaced_by"] for line in rows), self._said(line["message"] for line in rows)
        MessageRevision.objects.bulk_create(
            MessageRevision(
                message=said[line["message"]],
                replaced_by_id=people.get(line["replaced_by"]),
                **_values(line, lines.REVISION),
            )
            for line in rows
        )

    def _reactions(self, rows: list[Line]) -> None:
        people, said = self._people(line["user"] for line in rows), self._said(line["message"] for line in rows)
        Reaction.objects.bulk_create(
            Reaction(message=said[line["message"]], user_id=people[line["user"]], **_values(line, lines.REACTION))
            for line in rows
            if line["user"] in people
        )

    def _events(self, rows: list[Line]) -> None:
        people = self._people(name for line in rows for name in (line["actor"], line["user"]))
        said = self._said(line["message"] for line in rows)
        Event.objects.bulk_create(
            Event(
                conversation=self.row,
                actor_id=people.get(line["actor"]),
                message=said.get(line["message"]),
                payload=line["payload"] | ({"user_id": people.get(line["user"])} if line["user"] is not None else {}),
                **_values(line, lines.EVENT),
            )
            for line in rows
        )

    def _attachments(self, rows: list[Line]) -> None:
        people, said = self._people(line["uploader"] for line in rows), self._said(line["message"] for line in rows)
        Attachment.objects.bulk_create(
            Attachment(
                message=said[line["message"]],
                uploader_id=people.get(line["uploader"]),
                **_values(line, lines.ATTACHMENT),
            )
            for line in rows
        )
        self.content_types = {line["uuid"]: line for line in rows}
        for line in rows:
            if line["state"] == Attachment.State.PROCESSING:
                uploads.process.enqueue(line["uuid"])

    # --- Bytes: collected in a temporary file, stored when the next object begins ---

    def _bytes(self, line: Line) -> None:
        name = (line["attachment"], line["object"])
        if self.open is None or self.open[0] != name:
            self._end_bytes()
            if name[0] not in self.content_types or name[1] not in {store.ORIGINAL, store.CONTENT, store.THUMBNAIL}:
                raise ImportRefused("Bytes without their attachment.")
            self.open = name, self.files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self.open[1].write(base64.b64decode(line["data"]))

    def _end_bytes(self) -> None:
        if self.open is None:
            return
        (text, which), file = self.open
        self.open = None
        row = Attachment.objects.get(uuid=text)
        is_shown = which == store.CONTENT and row.kind != Attachment.Kind.FILE
        content_type = row.content_type if which == store.CONTENT else "image/webp"
        store.save(
            store.key_of(row.uuid, which),
            file,
            content_type=content_type if which != store.ORIGINAL else "application/octet-stream",
            disposition=uploads.disposition(row.name, inline=is_shown or which == store.THUMBNAIL),
        )
        file.close()

    WRITERS: dict[str, Callable[["_Room", list[Line]], None]] = {
        "member": _members,
        "message": _messages,
        "revision": _revisions,
        "reaction": _reactions,
        "event": _events,
        "attachment": _attachments,
    }


def _values(line: Line, names: tuple[str, ...]) -> Line:
    """Return the column values of a line, with times parsed."""
    line = {**lines.ADDED, **line}
    return {
        name: parse_datetime(line[name]) if name in _TIMES and line[name] is not None else line[name] for name in names
    }


_TIMES = {
    "created_at", "updated_at", "joined_at", "left_at", "seen_at", "last_sent_at", "muted_until", "edited_at",
    "deleted_at", "replaced_at", "at",
}  # fmt: skip
