"""One function checks a password, wherever one is asked for: login, admin, password and e-mail change, closing."""

from functools import lru_cache

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.utils.translation import gettext_lazy as _

from common.client import Client
from common.errors import ValidationFailed
from users.models import User
from users.passwords import lockout


class WrongPassword(Exception):
    """Wrong, or of nobody, or of somebody who may not sign in: callers do not tell which."""


def verify(*, user: User | None, password: str, counter: lockout.Counter, client: Client | None) -> lockout.Guess:
    """Check a password under the lockout, at the same cost for nobody (`user` None) as for somebody.

    An older hash is replaced by one of the preferred kind. The caller calls `lockout.succeed` in its own transaction.

    Raises: WrongPassword, after the failure has been committed; AccountLocked before anything is hashed.
    """
    guess = lockout.reserve(counter)
    encoded = user.password if user else _nobody(*settings.PASSWORD_HASHERS)

    def upgrade(raw: str) -> None:
        if user is not None:
            user.password, old = make_password(raw), user.password
            User.objects.filter(pk=user.pk, password=old).update(password=user.password)

    right = check_password(password, encoded, setter=upgrade)
    if not right or user is None or not user.is_active:
        lockout.fail(guess, user_id=user.pk if user else None, client=client)
        raise WrongPassword
    return guess


def require(*, user: User, password: str, field: str, client: Client) -> None:
    """Check the password of somebody who is signed in, where one is asked for again.

    Raises: ValidationFailed (`errors.<field>[].code = invalid_password`), AccountLocked.
    """
    try:
        guess = verify(user=user, password=password, counter=lockout.counter_of_user(user.pk), client=client)
    except WrongPassword:
        raise ValidationFailed.of(field, "invalid_password", _("The password is not correct.")) from None
    lockout.succeed(guess)
    if user.login_attempts or user.locked_until:
        User.objects.filter(pk=user.pk).update(login_attempts=0, locked_until=None)


@lru_cache(maxsize=4)
def _nobody(*hashers: str) -> str:
    """Return a hash that no password fits, made by the preferred hasher."""
    return make_password(None) if not hashers else make_password("nobody has this password")
