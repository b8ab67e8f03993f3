"""Upload of a file: reserve its space, scan it, detect its type, store it, and decode it now or by a task.

The row is written before the bytes, so that the clean-up finds whatever a crash leaves in the store; the row is
invisible until its bytes are stored.
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

# Decoded before the response is sent: about a tenth of a second of work.
INLINE_PIXELS, INLINE_BYTES = 2_000_000, 4 * 1024 * 1024
LEFT_BEHIND = timedelta(hours=1)
EMPTY = _("The submitted file is empty.")
_AUDIO_TYPES = {"video/mp4": "audio/mp4", "video/quicktime": "audio/mp4", "video/webm": "audio/webm"}


def accept(*, user_id: int, name: str, source: IO[bytes], size: int, is_reserved: bool = False) -> Attachment:
    """Store the file and return its attachment, `ready` or `processing`. Blocks on the store and the scanner.

    `is_reserved`: its space was reserved before. Raises QuotaExceeded, Infected, TemporarilyUnavailable, and
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
    """Yield a path of the bytes: the upload's temporary file, or a copy."""
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
    """Store the bytes at `path`; return the fields that are known so far."""
    with open(path, "rb") as file:
        claimed = types.claimed(file.read(types.HEAD_BYTES))
    known = None if claimed is None else _probed(path, claimed)
    if claimed is None or known is None:
        return _store_file(row, path)
    if row.size <= INLINE_BYTES and 0 < _pixels(known) <= INLINE_PIXELS:
        try:
            return _decoded(row, path, claimed, within_s=decoding.INLINE_SECONDS, wait_s=1.0)
        except decoding.Busy:
            pass  # the task decodes it later
        except decoding.Undecodable:
            return _store_file(row, path)
    with open(path, "rb") as file:
        store.save(store.key_of(row.uuid, store.ORIGINAL), file, content_type=types.FILE_CONTENT_TYPE)
    known.pop("frames", None)
    kind = known.setdefault("kind", "image")
    content_type = _AUDIO_TYPES.get(claimed.content_type, claimed.content_type) if kind == "audio" else None
    return {**known, "content_type": content_type or claimed.content_type, "state": Attachment.State.PROCESSING}


def _pixels(known: dict[str, Any]) -> int:
    """Return the pixels of an image with all its frames, 0 for a recording."""
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
    """Store a plain file, which is only offered for download."""
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
    """Decode the whole file and store the results. Raises Undecodable, Busy, StoreAway."""
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
    """Decode an attachment that was stored unprocessed, and publish `attachment.ready`. Idempotent."""
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
    else:  # deleted meanwhile
        store.delete(store.keys_of(row.uuid))


def _settle(attachment_uuid: uuid.UUID, fields: dict[str, Any]) -> bool:
    """Mark the attachment as ready, with an event if it is in a message; return whether it still exists.

    The conversation is locked before the attachment, in the same order as sending does. Its message is therefore looked
    up first, and again if it was sent in between.
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
    """Retry attachments that eight attempts could not decode because the store was down for long."""
    before = timezone.now() - LEFT_BEHIND
    left = Attachment.objects.filter(state=Attachment.State.PROCESSING, created_at__lt=before)
    for found in left.values_list("uuid", flat=True)[:1_000]:
        process.enqueue(str(found))
