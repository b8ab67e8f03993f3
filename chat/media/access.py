"""Who may read an attachment: its uploader, and those who see its message now. For others it does not exist."""

import uuid

from django.db.models import Exists, OuterRef, Q

from chat.media.models import Attachment
from chat.models import Membership
from common.errors import NotFound


def readable(user_id: int, attachment_uuid: uuid.UUID) -> Attachment:
    """Return the attachment. Raises NotFound, for what is hidden, taken back or somebody else's as for nothing."""
    sees = Membership.objects.filter(
        user_id=user_id,
        left_seq=None,
        conversation_id=OuterRef("message__conversation_id"),
        visible_after_seq__lt=OuterRef("message__seq"),
    )
    row = (
        Attachment.objects.exclude(state=Attachment.State.STORING)
        .filter(Q(uploader_id=user_id) | (Q(message__deleted_at=None) & Exists(sees)), uuid=attachment_uuid)
        .first()
    )
    if row is None:
        raise NotFound
    return row


def may_still_read(user_id: int, attachment_uuid: uuid.UUID) -> bool:
    """Return whether a download that runs may go on."""
    try:
        readable(user_id, attachment_uuid)
    except NotFound:
        return False
    return True
