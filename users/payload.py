"""How people look on the wire."""

from typing import Any

from users.models import User

ME = (
    "id",
    "username",
    "email",
    "email_verified",
    "phone_number",
    "phone_verified",
    "first_name",
    "last_name",
    "language",
    "timezone",
    "email_notifications",
    "sms_notifications",
    "push_notifications",
    "date_joined",
    "last_login",
)
PERSON = ("id", "username", "first_name", "last_name")


def user(user: User) -> dict[str, Any]:
    """Return what one sees of oneself: the keys of `users/me/`."""
    return {key: getattr(user, key) for key in ME}


def person(user: User) -> dict[str, Any]:
    """Return what others see: no address, no number."""
    return {key: getattr(user, key) for key in PERSON}
