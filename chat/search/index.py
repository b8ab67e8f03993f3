"""Maintenance of the search index. Call each function inside the transaction that changes the message."""

import re
from collections.abc import Iterable

from chat.models import Message
from chat.search.models import MessageText
from chat.search.words import folded
from common import bulk_insert

_LINK = re.compile(r"(?:https?://|\bwww\.)\S", re.IGNORECASE)


def columns(content: str) -> tuple[str, bool]:
    """Return the index columns of a text: its folded words, and whether it contains a link."""
    return " ".join(folded(content)), bool(_LINK.search(content))


def add(contents: Iterable[tuple[int, str]]) -> None:
    """Index new messages, given as `(id, content)`."""
    bulk_insert.insert(
        MessageText, ("message", "words", "has_link"), [(pk, *columns(content)) for pk, content in contents]
    )


def change(message: Message) -> None:
    """Update the index of an edited message."""
    found, has_link = columns(message.content)
    MessageText.objects.update_or_create(message_id=message.pk, defaults={"words": found, "has_link": has_link})


def remove(message: Message) -> None:
    """Remove a deleted message from the index."""
    MessageText.objects.filter(message_id=message.pk).delete()
