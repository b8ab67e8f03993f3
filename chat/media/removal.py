"""Remove attachments: rows in the transaction at hand, bytes right after it, by a task where the store is away."""

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
    """Remove the bytes. Twice is as good as once."""
    store.delete(keys)


def remove(rows: Iterable[Attachment]) -> None:
    """Delete the attachments and what the store holds of them. Inside a transaction."""
    found = list(rows)
    if not found:
        return
    Attachment.objects.filter(pk__in=[row.pk for row in found]).delete()
    remove_objects([key for row in found for key in store.keys_of(row.uuid)])


def remove_objects(keys: list[str]) -> None:
    """Have the objects removed after commit, whatever the store or this process does then."""
    delete_objects.enqueue(keys)
    if store.is_folder():  # quick, and at once also where the worker is another process
        transaction.on_commit(lambda: store.delete(keys), robust=True)


def forget_person(user_id: int) -> None:
    """Remove what the person did not send; what they sent is the others' too and stays, nobody's. In a transaction."""
    remove(Attachment.objects.select_for_update().filter(uploader_id=user_id, message=None))
    Attachment.objects.filter(uploader_id=user_id).update(uploader=None)
    for upload in Upload.objects.filter(uploader_id=user_id):
        remove_upload(upload)


def remove_upload(upload: Upload) -> None:
    """Forget a resumable upload and the parts that came. Inside a transaction."""
    keys = list(UploadPart.objects.filter(upload=upload).values_list("key", flat=True))
    upload.delete()
    if keys:
        remove_objects(keys)


def unsent() -> QuerySet[Attachment]:
    """Return what was uploaded a day ago and is in no message."""
    return Attachment.objects.filter(message=None, created_at__lt=timezone.now() - UNSENT_KEPT)


def expired_uploads() -> QuerySet[Upload]:
    return Upload.objects.filter(expires_at__lt=timezone.now())


def _remove_uploads(rows: QuerySet[Upload]) -> None:
    for upload in rows:
        remove_upload(upload)


purging.register("unsent attachments", purging.Batch(unsent, remove))
purging.register("unfinished uploads", purging.Batch(expired_uploads, _remove_uploads))
