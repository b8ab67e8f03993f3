"""Access to attachments: for the uploader and for everybody who can see the message now. For others 404."""

import uuid

from django.db.models import Exists, OuterRef, Q

from chat.media.models import Attachment
from chat.models import Membership
from common.errors import NotFound


def readable(user_id: int, attachment_uuid: uuid.UUID) -> Attachment:
    """Return the attachment. Raises NotFound, also if it is hidden, deleted or somebody else's."""
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
    """Return whether a running download may continue."""
    try:
        readable(user_id, attachment_uuid)
    except NotFound:
        return False
    return True
