"""What a person shows to others: how far they have read, whether they are there."""

from typing import Any

from chat.models import ChatSettings


def of(user_id: int) -> ChatSettings:
    """Return the person's settings; who never changed any has the defaults and no row."""
    return ChatSettings.objects.filter(user_id=user_id).first() or ChatSettings(user_id=user_id)


def change(*, user_id: int, **changes: Any) -> ChatSettings:
    """Set `share_receipts` or `share_presence` and return what holds now."""
    if not changes:
        return of(user_id)
    row, _created = ChatSettings.objects.update_or_create(user_id=user_id, defaults=changes)
    return row
