"""Take a file: reserve its room, scan it, find out what it is, store it, decode it now or by a task.

The row comes first and the bytes second, so that whatever a crash leaves in the store has a row that the clean-up
finds; the row is visible to nobody before its bytes are stored.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, Any

from django.db import transaction
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_lazy as _
from django_tasks import task

from chat.log import events
from chat.media import decoding, names, quota, removal, scan, store, types
from chat.media.models import Attachment
from chat.media.types import MediaType
from common.errors import TemporarilyUnavailable, ValidationFailed
from common.tasks import daily

# Decoded before the answer: about a tenth of a second of work.
INLINE_PIXELS, INLINE_BYTES = 2_000_000, 4 * 1024 * 1024
LEFT_BEHIND = timedelta(hours=1)
EMPTY = _("The submitted file is empty.")
_AUDIO_TYPES = {"video/mp4": "audio/mp4", "video/quicktime": "audio/mp4", "video/webm": "audio/webm"}


def accept(*, user_id: int, name: str, source: IO[bytes], size: int, is_reserved: bool = False) -> Attachment:
    """Store the file and return its attachment, `ready` or `processing`. Blocks on the store and the scanner.

    `is_reserved`: its room was reserved before. Raises QuotaExceeded, Infected, TemporarilyUnavailable, and
    ValidationFailed for an empty one.
    """
    if not size:
        raise ValidationFailed.of("file", "empty", EMPTY)
    row = _reserve(user_id, names.clean(name), size, is_reserved=is_reserved)
    try:
        scan.require_clean(source)
        with _on_disk(source) as path:
            fields = _take(row, path)
        return _become(row, fields)
    except BaseException:
        with transaction.atomic():
            removal.remove([row])
        raise


def _reserve(user_id: int, name: str, size: int, *, is_reserved: bool) -> Attachment:
    with transaction.atomic():
        if not is_reserved:
            quota.require_room(user_id, size)
        return Attachment.objects.create(
            uploader_id=user_id,
            name=name,
            size=size,
            content_type=types.FILE_CONTENT_TYPE,
            created_at=timezone.now(),
        )


@contextmanager
def _on_disk(source: IO[bytes]) -> Iterator[str]:
    """Yield a path of the bytes: that of the temporary file that holds them, or of a copy."""
    path = getattr(source, "temporary_file_path", None)
    if path is not None:
        source.flush()
        yield path()
        return
    with tempfile.NamedTemporaryFile() as file:
        source.seek(0)
        while block := source.read(store.BLOCK_BYTES):
            file.write(block)
        file.flush()
        yield file.name


def _take(row: Attachment, path: str) -> dict[str, Any]:
    """Store the bytes at `path`; return what is known of them by now."""
    with open(path, "rb") as file:
        claimed = types.claimed(file.read(types.HEAD_BYTES))
    known = None if claimed is None else _probed(path, claimed)
    if claimed is None or known is None:
        return _store_file(row, path)
    if row.size <= INLINE_BYTES and 0 < _pixels(known) <= INLINE_PIXELS:
        try:
            return _decoded(row, path, claimed, within_s=decoding.INLINE_SECONDS, wait_s=1.0)
        except decoding.Busy:
            pass  # later, then
        except decoding.Undecodable:
            return _store_file(row, path)
    with open(path, "rb") as file:
        store.save(store.key_of(row.uuid, store.ORIGINAL), file, content_type=types.FILE_CONTENT_TYPE)
    known.pop("frames", None)
    kind = known.setdefault("kind", "image")
    content_type = _AUDIO_TYPES.get(claimed.content_type, claimed.content_type) if kind == "audio" else None
    return {**known, "content_type": content_type or claimed.content_type, "state": Attachment.State.PROCESSING}


def _pixels(known: dict[str, Any]) -> int:
    """Return how much there is to decode of an image, 0 for a recording."""
    return int(known["frames"] * known["width"] * known["height"]) if "frames" in known else 0


def _probed(path: str, claimed: MediaType) -> dict[str, Any] | None:
    try:
        known = decoding.probe(path, claimed)
    except decoding.Undecodable:
        return None
    except decoding.Busy:
        raise TemporarilyUnavailable(retry_after=2) from None
    is_consistent = known.get("kind") != "video" or claimed.content_type.startswith("video/")
    return known if is_consistent else None


def _store_file(row: Attachment, path: str) -> dict[str, Any]:
    """Store what is shown by nobody's decoder: downloaded, never opened."""
    with open(path, "rb") as file:
        store.save(
            store.key_of(row.uuid, store.CONTENT),
            file,
            content_type=types.FILE_CONTENT_TYPE,
            disposition=disposition(row.name, inline=False),
        )
    return {
        "kind": Attachment.Kind.FILE,
        "content_type": types.FILE_CONTENT_TYPE,
        "size": os.path.getsize(path),
        "state": Attachment.State.READY,
        "width": None,
        "height": None,
        "duration_ms": None,
        "thumbhash": None,
        "waveform": None,
        "has_thumbnail": False,
    }


def _decoded(row: Attachment, path: str, claimed: MediaType, *, within_s: float, wait_s: float) -> dict[str, Any]:
    """Decode all of it and store what may be shown. Raises Undecodable, Busy, StoreAway."""
    with tempfile.TemporaryDirectory(prefix="alviar-media-") as out:
        done = decoding.decode(path, claimed, out, within_s=within_s, wait_s=wait_s)
        kind = done.get("kind", "image")
        content_type = claimed.content_type
        if kind == "audio":
            content_type = _AUDIO_TYPES.get(content_type, content_type)
        content, thumbnail = path if done.get("same") else f"{out}/content", f"{out}/thumbnail"
        with open(content, "rb") as file:
            store.save(
                store.key_of(row.uuid, store.CONTENT),
                file,
                content_type=content_type,
                disposition=disposition(row.name, inline=True),
            )
        has_thumbnail = os.path.exists(thumbnail)
        if has_thumbnail:
            with open(thumbnail, "rb") as file:
                key = store.key_of(row.uuid, store.THUMBNAIL)
                store.save(key, file, content_type="image/webp", disposition="inline")
        size = os.path.getsize(content)
    return {
        "kind": kind,
        "content_type": content_type,
        "size": size,
        "state": Attachment.State.READY,
        "width": done.get("width"),
        "height": done.get("height"),
        "duration_ms": done.get("duration_ms"),
        "thumbhash": done.get("thumbhash"),
        "waveform": done.get("waveform"),
        "has_thumbnail": has_thumbnail,
    }


def disposition(name: str, *, inline: bool) -> str:
    return content_disposition_header(as_attachment=not inline, filename=name) or "inline"


@transaction.atomic
def _become(row: Attachment, fields: dict[str, Any]) -> Attachment:
    for field, value in fields.items():
        setattr(row, field, value)
    row.save(update_fields=list(fields))
    if row.state == Attachment.State.PROCESSING:
        process.enqueue(str(row.uuid))
    return row


# --- The work that takes longer than a blink --------------------------------------------------------------------------


@task(priority=-10)
def process(attachment_uuid: str) -> None:
    """Decode what was stored as it came, and tell those who see it. Twice is as good as once."""
    row = Attachment.objects.filter(uuid=attachment_uuid, state=Attachment.State.PROCESSING).first()
    if row is None:
        return
    with tempfile.NamedTemporaryFile() as file:
        store.copy_to(store.key_of(row.uuid, store.ORIGINAL), file)
        file.flush()
        file.seek(0)
        claimed = types.claimed(file.read(types.HEAD_BYTES))
        try:
            if claimed is None:
                raise decoding.Undecodable("type")
            fields = _decoded(row, file.name, claimed, within_s=decoding.TASK_SECONDS, wait_s=decoding.TASK_SECONDS)
        except decoding.Undecodable:
            fields = _store_file(row, file.name)
    if _settle(row.uuid, fields):
        store.delete([store.key_of(row.uuid, store.ORIGINAL)])
    else:  # taken back meanwhile
        store.delete(store.keys_of(row.uuid))


def _settle(attachment_uuid: uuid.UUID, fields: dict[str, Any]) -> bool:
    """Make the attachment ready, with an event where it is in a message; return whether it was still wanted.

    The conversation is locked before the attachment, as by those who send; so that its message is looked up first and
    once more if it was sent in between.
    """
    for _attempt in range(3):
        with transaction.atomic():
            seen = Attachment.objects.select_related("message").filter(uuid=attachment_uuid).first()
            if seen is None:
                return False
            message = seen.message
            conversation = events.locked(message.conversation_id) if message is not None else None
            row = Attachment.objects.select_for_update().filter(uuid=attachment_uuid).first()
            if row is None:
                return False
            if row.message_id != seen.message_id:
                continue
            if row.state != Attachment.State.PROCESSING:
                return True
            for field, value in fields.items():
                setattr(row, field, value)
            row.save(update_fields=list(fields))
            if conversation is not None:
                events.append(
                    conversation,
                    kind="attachment.ready",
                    actor_id=row.uploader_id,
                    at=timezone.now(),
                    message=message,
                    payload={"attachment_uuid": str(row.uuid)},
                )
            return True
    return False


@daily
@task(priority=-10)
def process_left_behind() -> None:
    """Try again what eight attempts did not decode, because the store was away for long."""
    before = timezone.now() - LEFT_BEHIND
    left = Attachment.objects.filter(state=Attachment.State.PROCESSING, created_at__lt=before)
    for found in left.values_list("uuid", flat=True)[:1_000]:
        process.enqueue(str(found))
