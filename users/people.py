"""Which user an e-mail address or a login name belongs to."""

from django.db.models import Q, QuerySet
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
        return _named(identifier, key), key
    address = addresses.key(identifier)
    owner = of(address).first() if address else None
    return owner or _named(identifier, key), address or key


def _named(name: str, key: str) -> User | None:
    """Return whose name it is to the letter, else whose it is by its key: old names may clash by a newer rule."""
    exact = names.normalise(name)
    found = list(User.objects.filter(Q(username=exact) | Q(username_key=key))[:2])
    return next((user for user in found if user.username == exact), found[0] if found else None)
