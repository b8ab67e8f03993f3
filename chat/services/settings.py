"""Chat settings of a user: sharing of receipts and presence, and quiet hours."""

from typing import Any

from chat.models import ChatSettings


def of(user_id: int) -> ChatSettings:
    """Return the user's settings; the defaults, unsaved, if they never changed any."""
    return ChatSettings.objects.filter(user_id=user_id).first() or ChatSettings(user_id=user_id)


def change(*, user_id: int, **changes: Any) -> ChatSettings:
    """Set `share_receipts`, `share_presence` or `quiet_from` and `quiet_to`; return the new settings."""
    if not changes:
        return of(user_id)
    row, _created = ChatSettings.objects.update_or_create(user_id=user_id, defaults=changes)
    return row


def quiet_hours(row: ChatSettings) -> dict[str, str] | None:
    """Return `{"from": "22:00", "to": "07:00"}`, None if there are none."""
    if row.quiet_from is None or row.quiet_to is None:
        return None
    return {"from": f"{row.quiet_from:%H:%M}", "to": f"{row.quiet_to:%H:%M}"}
