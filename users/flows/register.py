"""Registration of an account."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from common import rates
from common.client import Client, address_key
from common.errors import RegistrationClosed, ValidationFailed
from common.metrics import REGISTRATIONS
from users import people
from users.identity import names
from users.mail import enqueue, limits
from users.models import User
from users.passwords import replace

_TAKEN = {
    "username": _("A user with that username already exists."),
    "email": _("A user with that e-mail address already exists."),
}


def require_open() -> None:
    """Raise RegistrationClosed if registration is switched off."""
    if not settings.REGISTRATION_OPEN:
        raise RegistrationClosed


def register(*, username: str, email: str, password: str, client: Client, preferences: Mapping[str, Any]) -> User:
    """Create the account and enqueue its verification mail in one transaction.

    `username` and `email` are normalised and valid; `preferences`: `language` and `timezone` if given. Without a
    language the request's `Accept-Language` is used, then the model's default.

    Raises: RegistrationClosed, Throttled, ValidationFailed (`unique`, or the codes of the password validators).
    """
    require_open()
    rates.allow(name="register", key=address_key(client.ip_address))
    wishes = {"language": client.preferred_language, **{name: value for name, value in preferences.items() if value}}
    user = User(username=username, email=email, **{name: value for name, value in wishes.items() if value})
    require_free(username=username, email=email)
    replace.validate(password, user=user, field="password")
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
            if limits.within_target(email):
                enqueue.send(user.pk, "verify_email")
    except IntegrityError:
        # The name or the address was taken between the check and the insert.
        require_free(username=username, email=email)
        raise
    REGISTRATIONS.inc()
    return user


def require_free(*, username: str = "", email: str = "", except_id: int | None = None) -> None:
    """Raise ValidationFailed (`unique`) for a name that looks like a taken one, and for a taken address."""
    others = User.objects.exclude(pk=except_id) if except_id else User.objects.all()
    taken = []
    same = Q(username_key=names.skeleton(username)) | Q(username_looks=names.looks(username))
    if username and others.filter(same).exists():
        taken.append("username")
    if email and people.of(email).exclude(pk=except_id or 0).exists():
        taken.append("email")
    if taken:
        raise ValidationFailed({field: [{"message": _TAKEN[field], "code": "unique"}] for field in taken})
