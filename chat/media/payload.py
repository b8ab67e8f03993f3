"""JSON representation of attachments."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from chat.media.models import Attachment
from common import pipelined


def attachment(row: Attachment) -> dict[str, Any]:
    path = f"/api/chat/attachments/{row.uuid}/"
    return {
        "uuid": row.uuid,
        "kind": row.kind,
        "state": row.state,
        "name": row.name,
        "content_type": row.content_type,
        "size": row.size,
        "width": row.width,
        "height": row.height,
        "duration_ms": row.duration_ms,
        "thumbhash": row.thumbhash,
        "waveform": row.waveform,
        "thumbnail_url": f"{path}thumbnail/" if row.has_thumbnail else None,
        "url": path,
    }


def of_messages(message_ids: Iterable[int]) -> dict[int | None, list[dict[str, Any]]]:
    """Return the attachments by message, in order. Most messages have none: one plain query asks for their ids."""
    return of_ids(pk for (pk,) in pipelined.fetch_all(*ids_statement(message_ids)))


def ids_statement(message_ids: Iterable[int]) -> pipelined.Statement:
    """Return the statement that reads the ids of the messages' attachments."""
    condition, params = pipelined.any_of(sorted(message_ids))
    return f"SELECT id FROM {Attachment._meta.db_table} WHERE message_id {condition}", params  # noqa: S608


def of_ids(ids: Iterable[int]) -> dict[int | None, list[dict[str, Any]]]:
    """Return the attachments by message, in order."""
    found: dict[int | None, list[dict[str, Any]]] = defaultdict(list)
    wanted = list(ids)
    for row in Attachment.objects.filter(pk__in=wanted).order_by("message_id", "place") if wanted else ():
        found[row.message_id].append(attachment(row))
    return found
