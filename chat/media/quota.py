"""Storage quota of a user: sent and unsent attachments and uploads in progress, checked under a lock of the user."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Sum

from chat.media.errors import QuotaExceeded
from chat.media.models import Attachment, Upload


def require_room(user_id: int, size: int) -> None:
    """Lock the user's row until the end of the transaction; raise QuotaExceeded if `size` more exceeds the quota."""
    get_user_model()._default_manager.select_for_update(no_key=True).only("pk").get(pk=user_id)
    quota = settings.ATTACHMENT_QUOTA_BYTES
    if quota and used(user_id) + size > quota:
        raise QuotaExceeded


def used(user_id: int) -> int:
    """Return the bytes of the user's attachments and of unfinished uploads."""
    kept = Attachment.objects.filter(uploader_id=user_id).aggregate(total=Sum("size"))["total"] or 0
    coming = Upload.objects.filter(uploader_id=user_id, attachment_uuid=None).aggregate(total=Sum("length"))["total"]
    return int(kept) + int(coming or 0)
