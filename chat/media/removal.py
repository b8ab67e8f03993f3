"""Removal of attachments: rows in the current transaction, bytes right after it, by a task if the store is down."""

from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_tasks import task

from chat.media import store
from chat.media.models import Attachment, Upload, UploadPart
from common import purging

UNSENT_KEPT = timedelta(hours=24)


@task(priority=-10)
def delete_objects(keys: list[str]) -> None:
    """Delete objects from the store. Idempotent."""
    store.delete(keys)


def remove(rows: Iterable[Attachment]) -> None:
    """Delete attachments and their objects in the store. Call inside a transaction."""
    found = list(rows)
    if not found:
        return
    Attachment.objects.filter(pk__in=[row.pk for row in found]).delete()
    remove_objects([key for row in found for key in store.keys_of(row.uuid)])


def remove_objects(keys: list[str]) -> None:
    """Enqueue the deletion of objects after commit, so that it survives a failure of the store or of this process."""
    delete_objects.enqueue(keys)
    if store.is_folder():  # quick, and immediate also if the worker is another process
        transaction.on_commit(lambda: store.delete(keys), robust=True)


def forget_person(user_id: int) -> None:
    """Remove a user's unsent attachments; sent ones stay, without an uploader. Call inside a transaction."""
    remove(Attachment.objects.select_for_update().filter(uploader_id=user_id, message=None))
    Attachment.objects.filter(uploader_id=user_id).update(uploader=None)
    for upload in Upload.objects.filter(uploader_id=user_id):
        remove_upload(upload)


def remove_upload(upload: Upload) -> None:
    """Delete a resumable upload and its parts. Call inside a transaction."""
    keys = list(UploadPart.objects.filter(upload=upload).values_list("key", flat=True))
    upload.delete()
    if keys:
        remove_objects(keys)


def unsent() -> QuerySet[Attachment]:
    """Return attachments that were uploaded a day ago and are in no message."""
    return Attachment.objects.filter(message=None, created_at__lt=timezone.now() - UNSENT_KEPT)


def expired_uploads() -> QuerySet[Upload]:
    return Upload.objects.filter(expires_at__lt=timezone.now())


def _remove_uploads(rows: QuerySet[Upload]) -> None:
    for upload in rows:
        remove_upload(upload)


purging.register("unsent attachments", purging.Batch(unsent, remove))
purging.register("unfinished uploads", purging.Batch(expired_uploads, _remove_uploads))
