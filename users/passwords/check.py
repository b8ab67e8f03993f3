"""One function checks a password, wherever one is asked for: login, admin, password and e-mail change, closing."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.utils.translation import gettext_lazy as _

from common import passwords
from common.client import Client
from common.errors import ApplicationError, ValidationFailed
from users.models import User
from users.passwords import lockout


class WrongPassword(Exception):
    """Wrong, or of nobody, or of somebody who may not sign in: callers do not tell which."""


def verify(*, user: User | None, password: str, counter: lockout.Counter, client: Client | None) -> lockout.Guess:
    """Check a password under the lockout, at the same cost for nobody (`user` None) as for somebody.

    An older hash is replaced by one of the preferred kind. The caller calls `lockout.succeed` in its own transaction,
    inside `at_no_cost(guess)` where that may fail.

    Raises: WrongPassword, after the failure has been committed; AccountLocked before anything is hashed.
    """
    return _verify(user, [password], counter, client)[0]


def _verify(
    user: User | None, accepted: list[str], counter: lockout.Counter, client: Client | None
) -> tuple[lockout.Guess, int]:
    """Check several passwords as one attempt; return the place of the one that is right."""
    guess = lockout.reserve(counter)
    with at_no_cost(guess):
        right = next((place for place, one in enumerate(accepted) if matches(user, one)), None)
    if right is None or user is None or not user.is_active:
        lockout.fail(guess, user_id=user.pk if user else None, client=client)
        raise WrongPassword
    return guess, right


def matches(user: User | None, password: str) -> bool:
    """Tell whether it is the person's password, whatever the hash is like; nothing is counted."""
    right, outdated = passwords.verify(password, user.password if user else _nobody(*settings.PASSWORD_HASHERS))
    if right and outdated and user is not None:
        user.upgrade_hash(password)
    return right and user is not None


@contextmanager
def at_no_cost(guess: lockout.Guess) -> Iterator[None]:
    """Give the reserved attempt back where the block fails: the password was right, or was never checked."""
    try:
        yield
    except BaseException:
        lockout.give_back(guess)
        raise


def require(
    *, user: User, password: str, field: str, client: Client, sid: uuid.UUID | None = None, or_else: str | None = None
) -> bool:
    """Check the password of somebody who is signed in, where one is asked for again.

    The session's own counter decides, so that a stranger's guesses never keep the owner from acting; a failure counts
    towards the lockout of sign-in as well. Without a session the account's counter decides.

    `or_else`: another password that will do, checked under the same attempt. Returns whether `password` was right.

    Raises: ValidationFailed (`errors.<field>[].code = invalid_password`), AccountLocked.
    """
    account = lockout.counter_of_user(user.pk)
    counter = lockout.counter_of_session(sid) if sid else account
    try:
        accepted = [password] if or_else is None else [password, or_else]
        guess, place = _verify(user, accepted, counter, client)
    except WrongPassword:
        if sid:
            lockout.count_as_well(account)
        raise wrong(field) from None
    with at_no_cost(guess):
        lockout.succeed(guess)
        if sid:
            lockout.forgive(user.pk)
        elif user.login_attempts or user.locked_until:
            User.objects.filter(pk=user.pk).update(login_attempts=0, locked_until=None)
    return place == 0


def wrong(field: str) -> ApplicationError:
    return ValidationFailed.of(field, "invalid_password", _("The password is not correct."))


@lru_cache(maxsize=4)
def _nobody(*hashers: str) -> str:
    """Return a hash that no password fits, made by the preferred hasher."""
    return make_password(None) if not hashers else make_password("nobody has this password")
