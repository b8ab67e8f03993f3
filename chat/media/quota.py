"""How much one person may keep: sent, unsent and under way. Checked under a lock of the person's row."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Sum

from chat.media.errors import QuotaExceeded
from chat.media.models import Attachment, Upload


def require_room(user_id: int, size: int) -> None:
    """Lock the person's row until the end of the transaction and raise QuotaExceeded if `size` more is too much."""
    get_user_model()._default_manager.select_for_update(no_key=True).only("pk").get(pk=user_id)
    quota = settings.ATTACHMENT_QUOTA_BYTES
    if quota and used(user_id) + size > quota:
        raise QuotaExceeded


def used(user_id: int) -> int:
    """Return the bytes of the person's attachments and of uploads that are to become some."""
    kept = Attachment.objects.filter(uploader_id=user_id).aggregate(total=Sum("size"))["total"] or 0
    coming = Upload.objects.filter(uploader_id=user_id, attachment_uuid=None).aggregate(total=Sum("length"))["total"]
    return int(kept) + int(coming or 0)
