"""Who may see a conversation: filtered by membership, so that a stranger's conversation does not exist."""

import uuid

from chat.models import Membership
from common.errors import NotFound


def member_of(user_id: int, conversation_uuid: uuid.UUID) -> Membership:
    """Return the living membership, with its `conversation`. Raises NotFound, for a stranger as for nothing."""
    membership = (
        Membership.objects.living()
        .select_related("conversation")
        .filter(user_id=user_id, conversation__uuid=conversation_uuid)
        .first()
    )
    if membership is None:
        raise NotFound
    return membership
