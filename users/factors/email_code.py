"""Sign in by six digits that are mailed: the same answer for any address, five tries, once.

The code is made when the mail is written, in the task; the challenge exists for every address and fits nobody until
then. A right code proves the address. The answers for one address are counted (`RATE_EMAIL_CODE_TRIES`), known or not:
a million codes cannot be tried, and no stranger locks anybody out.
"""

from typing import Any

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from common import rates
from common.client import Client, address_key
from common.errors import InvalidCode, NotFound
from sessions.services import assurance
from users.factors import challenges, tasks
from users.factors.models import Challenge
from users.flows import login
from users.identity import addresses
from users.mail import limits
from users.models import User
from users.passwords import device_tokens, lockout

PURPOSE = "email_code"
SECONDS = 600


def require_on() -> None:
    """Raise NotFound where `EMAIL_CODE_LOGIN` is off."""
    if not settings.EMAIL_CODE_LOGIN:
        raise NotFound


def request(*, email: str, client: Client) -> str:
    """Return a challenge and ask for its mail; who owns the address is looked up in the task.

    Raises: NotFound (switched off), Throttled by the client's address; past the account's limit nothing is mailed.
    """
    require_on()
    rates.allow(name="email_code", key=address_key(client.ip_address))
    address = addresses.key(email)
    mark = salted_hmac("users.factors.email_code", address, algorithm="sha256").hexdigest()[:32]
    challenge = challenges.issue(PURPOSE, seconds=SECONDS, address=mark)
    if limits.within("email_code", address):
        tasks.send_email_code.enqueue(email=address, language=client.language, challenge=challenges.digest(challenge))
    return challenge


def confirm(*, challenge: str, code: str, client: Client, device_token: str = "", **device: Any) -> login.LoggedIn:
    """Sign in by the code.

    Raises: NotFound, Throttled, InvalidOrExpiredToken, InvalidCode, AccountLocked, MfaRequired.
    """
    require_on()
    rates.allow(name="login", key=address_key(client.ip_address))
    row = challenges.attempt(PURPOSE, challenge)
    user: User | None = row.user if row.user and row.user.is_active else None
    rates.allow(name="email_code_tries", key=row.data["address"])
    if user is None or not challenges.is_code(row, code) or not _still_theirs(row, user):
        raise InvalidCode
    device_id = device_tokens.read(device_token, user=user)
    guess = lockout.reserve(lockout.counter_of_device(device_id) if device_id else lockout.counter_of_user(user.pk))
    with lockout.given_back_on_failure(guess, but=()):
        challenges.spend(row)
        if not user.email_verified:
            User.objects.filter(pk=user.pk).rewrite(email_verified=True)
            user.email_verified = True
    return login.finish(user=user, guess=guess, amr=[assurance.OTP], client=client, device_id=device_id, **device)


def _still_theirs(row: Challenge, user: User) -> bool:
    """Tell whether neither the address nor the password has changed since the mail was written."""
    return (
        bool(user.email)
        and constant_time_compare(row.data.get("email", ""), user.email)
        and row.data.get("password_of") == tasks.password_of(user)
    )
