"""Resumable uploads (tus 1.0: creation, expiration, termination).

The bytes of each request, also of an interrupted one, become a part in the store; the last request joins the parts to
an attachment. No file is shared between processes, so that the requests of one upload may reach different ones.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO
from uuid import UUID, uuid4

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from chat.media import names, quota, removal, store, types, uploads
from chat.media.errors import Infected, OffsetConflict, QuotaExceeded, UploadBusy
from chat.media.models import Upload, UploadPart
from common.errors import NotFound, TooLarge, ValidationFailed

KEPT = timedelta(hours=24)
FINISHING_SECONDS = 120  # after which a request that joins the parts is considered dead
UNFINISHED = 100  # per user, at a time


@dataclass(frozen=True, kw_only=True)
class Progress:
    uuid: UUID
    offset: int
    length: int
    expires_at: datetime
    attachment_uuid: UUID | None


def create(*, user_id: int, name: str, length: int) -> Progress:
    """Start an upload and reserve its space. Raises TooLarge, QuotaExceeded, ValidationFailed for an empty one."""
    if not length:
        raise ValidationFailed.of("file", "empty", uploads.EMPTY)
    if length > settings.UPLOAD_BYTES:
        raise TooLarge
    now = timezone.now()
    with transaction.atomic():
        quota.require_room(user_id, length)
        if Upload.objects.filter(uploader_id=user_id, attachment_uuid=None).count() >= UNFINISHED:
            raise QuotaExceeded
        upload = Upload.objects.create(
            uploader_id=user_id, name=names.clean(name), length=length, created_at=now, expires_at=now + KEPT
        )
    return _progress(upload)


def progress(*, user_id: int, upload_uuid: UUID) -> Progress:
    """Return the progress of the upload; a complete one that has no attachment yet gets it now.

    Raises NotFound, UploadBusy, and what `append` raises for the complete file.
    """
    upload = _own(user_id, upload_uuid)
    if upload.offset == upload.length and upload.attachment_uuid is None:
        _finish(upload)
    return _progress(upload)


def append(*, user_id: int, upload_uuid: UUID, offset: int, body: IO[bytes], size: int) -> Progress:
    """Store the bytes sent at `offset`; the last byte creates the attachment.

    Raises NotFound, OffsetConflict, TooLarge for more bytes than announced, UploadBusy, StoreAway, Infected.
    """
    upload = _own(user_id, upload_uuid)
    if upload.offset != offset:
        raise OffsetConflict
    if offset + size > upload.length:
        raise TooLarge
    if size:
        _keep(upload, offset, body, size)
    if upload.offset == upload.length and upload.attachment_uuid is None:
        _finish(upload)
    return _progress(upload)


def terminate(*, user_id: int, upload_uuid: UUID) -> None:
    """Delete the upload and its parts; the attachment of a complete one stays. Raises NotFound."""
    with transaction.atomic():
        upload = Upload.objects.select_for_update().filter(uuid=upload_uuid, uploader_id=user_id).first()
        if upload is None:
            raise NotFound
        removal.remove_upload(upload)


def _own(user_id: int, upload_uuid: UUID) -> Upload:
    found = Upload.objects.filter(uuid=upload_uuid, uploader_id=user_id, expires_at__gt=timezone.now()).first()
    if found is None:
        raise NotFound
    return found


def _progress(upload: Upload) -> Progress:
    return Progress(
        uuid=upload.uuid,
        offset=upload.offset,
        length=upload.length,
        expires_at=upload.expires_at,
        attachment_uuid=upload.attachment_uuid,
    )


def _keep(upload: Upload, offset: int, body: IO[bytes], size: int) -> None:
    """Store a part and move the offset. The part is stored first: a row guarantees that its bytes exist."""
    key = f"uploads/{upload.uuid}/{offset:015d}-{uuid4().hex[:8]}"
    store.save(key, body, content_type=types.FILE_CONTENT_TYPE)
    try:
        with transaction.atomic():
            current = Upload.objects.select_for_update().filter(pk=upload.pk).first()
            if current is None:
                raise NotFound
            if current.offset != offset:
                raise OffsetConflict
            UploadPart.objects.create(upload=current, offset=offset, size=size, key=key)
            current.offset += size
            current.save(update_fields=["offset"])
    except BaseException:
        with transaction.atomic():
            removal.remove_objects([key])
        raise
    upload.offset = offset + size


def _finish(upload: Upload) -> None:
    """Join the parts to an attachment: one request at a time; temporary failures can be retried."""
    now = timezone.now()
    free = Q(finishing_at=None) | Q(finishing_at__lt=now - timedelta(seconds=FINISHING_SECONDS))
    if not Upload.objects.filter(free, pk=upload.pk, attachment_uuid=None).update(finishing_at=now):
        upload.refresh_from_db()
        if upload.attachment_uuid is None:
            raise UploadBusy(retry_after=1)
        return
    try:
        with _joined(upload) as whole:
            row = uploads.accept(
                user_id=upload.uploader_id, name=upload.name, source=whole, size=upload.length, is_reserved=True
            )
    except Infected:
        with transaction.atomic():
            removal.remove_upload(upload)
        raise
    except BaseException:
        Upload.objects.filter(pk=upload.pk).update(finishing_at=None)
        raise
    upload.attachment_uuid = row.uuid
    with transaction.atomic():
        still_there = Upload.objects.filter(pk=upload.pk).update(attachment_uuid=row.uuid)
        parts = UploadPart.objects.filter(upload_id=upload.pk)
        removal.remove_objects(list(parts.values_list("key", flat=True)))
        parts.delete()
        if not still_there:  # terminated meanwhile
            removal.remove([row])
    if not still_there:
        raise NotFound


@contextlib.contextmanager
def _joined(upload: Upload) -> Iterator[IO[bytes]]:
    with TemporaryUploadedFile(upload.name, types.FILE_CONTENT_TYPE, upload.length, None) as whole:
        for key in UploadPart.objects.filter(upload=upload).order_by("offset").values_list("key", flat=True):
            store.copy_to(key, whole)  # type: ignore[arg-type]
        yield whole  # type: ignore[misc]
