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
    """Return whom the identifier names, and its canonical spelling.

    What holds an `@` is an address; a name that was imported with one counts where it is nobody's address.
    """
    key = names.skeleton(identifier)
    if "@" not in identifier:
        return User.objects.filter(username_key=key).first(), key
    address = addresses.key(identifier)
    owner = of(address).first() if address else None
    return owner or User.objects.filter(username_key=key).first(), address or key
