"""Whose an e-mail address is."""

from django.db.models import QuerySet
from django.db.models.functions import Lower

from users.models import User


def of(address: str) -> QuerySet[User]:
    """Return the account of an address in its stored spelling, in any case; nobody for ''.

    The condition repeats that of the unique index, without which PostgreSQL would read every row.
    """
    return User.objects.alias(lower=Lower("email")).exclude(email="").filter(lower=address.lower())
