"""Access to conversations, filtered by membership, so that other users' conversations are 404."""

import uuid

from chat.models import Membership
from common.errors import NotFound


def member_of(user_id: int, conversation_uuid: uuid.UUID) -> Membership:
    """Return the living membership with its `conversation`. Raises NotFound, also for non-members."""
    membership = (
        Membership.objects.living()
        .select_related("conversation")
        .filter(user_id=user_id, conversation__uuid=conversation_uuid)
        .first()
    )
    if membership is None:
        raise NotFound
    return membership
