"""JSON representations of users: for oneself and for others."""

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
    """Return what users see of themselves: the keys of `users/me/`."""
    return {key: getattr(user, key) for key in ME}


def person(user: User) -> dict[str, Any]:
    """Return what others see: no e-mail address, no telephone number."""
    return {key: getattr(user, key) for key in PERSON}
