"""Password checks under the lockout, for every place that asks for a password."""

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
    """The password is wrong, the user unknown, or the account disabled: callers do not reveal which."""


def verify(*, user: User | None, password: str, counter: lockout.Counter, client: Client | None) -> lockout.Guess:
    """Check a password under the lockout, at the same cost for an unknown user (None) as for a known one.

    An outdated hash is upgraded. The caller calls `lockout.succeed` in its own transaction, inside `at_no_cost(guess)`
    if that may fail.

    Raises: WrongPassword, after the failure has been committed; AccountLocked before anything is hashed.
    """
    return _verify(user, [password], counter, client)[0]


def _verify(
    user: User | None, accepted: list[str], counter: lockout.Counter, client: Client | None
) -> tuple[lockout.Guess, int]:
    """Check several passwords as one attempt; return the index of the correct one."""
    guess = lockout.reserve(counter)
    with at_no_cost(guess):
        right = next((place for place, one in enumerate(accepted) if matches(user, one)), None)
    if right is None or user is None or not user.is_active:
        lockout.fail(guess, user_id=user.pk if user else None, client=client)
        raise WrongPassword
    return guess, right


def matches(user: User | None, password: str) -> bool:
    """Return whether it is the user's password, for any hash; nothing is counted."""
    right, outdated = passwords.verify(password, user.password if user else _nobody(*settings.PASSWORD_HASHERS))
    if right and outdated and user is not None:
        user.upgrade_hash(password)
    return right and user is not None


@contextmanager
def at_no_cost(guess: lockout.Guess) -> Iterator[None]:
    """Give the reserved attempt back if the block fails although the password was correct or was not checked."""
    try:
        yield
    except BaseException:
        lockout.give_back(guess)
        raise


def require(
    *, user: User, password: str, field: str, client: Client, sid: uuid.UUID | None = None, or_else: str | None = None
) -> bool:
    """Check the password of a signed-in user, for actions that require it again.

    The session's own counter is used, so that a stranger's guesses never block the owner; a failure also counts towards
    the lockout of sign-in. Without a session the account's counter is used.

    `or_else`: an alternative password, checked in the same attempt. Returns whether `password` was the correct one.

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


def require_unchanged(user: User, *, field: str) -> None:
    """Require that the password is still the one that was checked; call after the user's row was locked.

    Hashing takes longer than most requests: a reset may have committed meanwhile. An upgraded hash is no new password.

    Raises: ValidationFailed (`errors.<field>[].code = invalid_password`).
    """
    if not User.objects.filter(pk=user.pk, password_changed_at=user.password_changed_at, is_active=True).exists():
        raise wrong(field)


def wrong(field: str) -> ApplicationError:
    return ValidationFailed.of(field, "invalid_password", _("The password is not correct."))


@lru_cache(maxsize=4)
def _nobody(*hashers: str) -> str:
    """Return a hash of the preferred hasher that no password matches."""
    return make_password(None) if not hashers else make_password("nobody has this password")
