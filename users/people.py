"""Look-ups of a user by e-mail address or login name."""

from django.db.models import QuerySet
from django.db.models.functions import Lower

from common import pipelined, rows
from users.identity import addresses, names
from users.models import User


def of(address: str) -> QuerySet[User]:
    """Return the account of an address (stored form, any case); none for ''.

    The condition repeats that of the unique index, so that PostgreSQL uses it.
    """
    return User.objects.alias(lower=Lower("email")).exclude(email="").filter(lower=address.lower())


def find(identifier: str) -> tuple[User | None, str]:
    """Return the user of an identifier (None if unknown) and its canonical spelling.

    An identifier with `@` is an address first; an imported username with `@` is found if it is nobody's address.
    """
    key = names.skeleton(identifier)
    if "@" not in identifier:
        return _named(identifier, key), key
    address = addresses.key(identifier)
    owner = of(address).first() if address else None
    return owner or _named(identifier, key), address or key


def _named(name: str, key: str) -> User | None:
    """Return the user with exactly this name, else by its key: older names may have clashing keys."""
    exact = names.normalise(name)
    person = rows.shape(User)
    sql = f"{person.select} WHERE username = %s OR username_key = %s LIMIT 2"
    found = [person.made(row) for row in pipelined.fetch_all(sql, [exact, key])]
    return next((user for user in found if user.username == exact), found[0] if found else None)
