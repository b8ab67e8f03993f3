"""Linking of attachments to messages. Called by the sending service, inside its transaction."""

import uuid
from collections.abc import Iterable, Sequence

from django.utils.translation import gettext_lazy as _

from chat.media.models import Attachment
from common.errors import ValidationFailed

ATTACHMENTS = 10  # per message


def unsent(uuids: set[uuid.UUID]) -> dict[uuid.UUID, Attachment]:
    """Lock and return the attachments that are in no message yet, so that no parallel request sends them."""
    if not uuids:
        return {}
    rows = Attachment.objects.select_for_update().filter(uuid__in=uuids, message=None)
    return {row.uuid: row for row in rows.exclude(state=Attachment.State.STORING).order_by("pk")}


def taken(found: dict[uuid.UUID, Attachment], uuids: Sequence[uuid.UUID], *, user_id: int) -> list[Attachment]:
    """Remove a message's attachments from `found` and return them. Raises ValidationFailed unless own and unsent."""
    if len(uuids) > ATTACHMENTS:
        raise ValidationFailed.of("attachments", "max_length", _("A message takes at most 10 attachments."))
    if len(set(uuids)) < len(uuids) or any(name not in found or found[name].uploader_id != user_id for name in uuids):
        raise ValidationFailed.of("attachments", "does_not_exist", _("There is no such attachment."))
    return [found.pop(name) for name in uuids]


def attach(rows: Iterable[tuple[int, list[Attachment]]]) -> None:
    """Write each attachment's message and position."""
    moved = []
    for message_id, attachments in rows:
        for place, row in enumerate(attachments):
            row.message_id, row.place = message_id, place
            moved.append(row)
    if moved:
        Attachment.objects.bulk_update(moved, ["message", "place"])
