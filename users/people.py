"""Which user an e-mail address or a login name belongs to."""

from django.db.models import QuerySet
from django.db.models.functions import Lower

from users.identity import addresses, names
from users.models import User


def of(address: str) -> QuerySet[User]:
    """Return the account of an address in its stored spelling, in any case; nobody for ''.

    The condition repeats that of the unique index, without which PostgreSQL would read every row.
    """
    return User.objects.alias(lower=Lower("email")).exclude(email="").filter(lower=address.lower())


def find(identifier: str) -> tuple[User | None, str]:
    """Return whom the identifier names, and its canonical spelling. What holds an `@` is an address, never a name."""
    if "@" in identifier:
        address = addresses.key(identifier)
        return of(address).first() if address else None, address or names.skeleton(identifier)
    key = names.skeleton(identifier)
    return User.objects.filter(username_key=key).first(), key
