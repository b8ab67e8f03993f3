"""The second step of a login: a code or a passkey, with the `mfa_token` of the first step.

A wrong answer uses one of the token's five tries and counts towards the account's lockout; the correct password of
the first step does not reset that count.
"""

import uuid
from typing import Any

from django.db import transaction

from common.client import Client
from common.errors import InvalidCode
from users.factors import challenges, codes, passkeys, second_factor
from users.flows import login
from users.models import User
from users.passwords import lockout


def options(*, token: str) -> dict[str, Any]:
    """Return WebAuthn request options for the user's own passkeys. Raises InvalidOrExpiredToken."""
    challenge = challenges.peek(second_factor.PURPOSE, token)
    user = second_factor.user_of(challenge)
    return passkeys.request_options(purpose=passkeys.SECOND, user_id=user.pk, of=challenge.digest)


def verify(*, token: str, client: Client, code: str = "", credential: dict[str, Any] | None = None) -> login.LoggedIn:
    """Finish the login that the token belongs to.

    Raises: InvalidOrExpiredToken, InvalidCode (after it was counted), AccountLocked.
    """
    challenge = challenges.attempt(second_factor.PURPOSE, token)
    user = second_factor.user_of(challenge)
    device_id = uuid.UUID(challenge.data["device_id"]) if challenge.data["device_id"] else None
    counter = lockout.counter_of_device(device_id) if device_id else lockout.counter_of_user(user.pk)
    guess = lockout.reserve(counter)
    try:
        with lockout.given_back_on_failure(guess, but=InvalidCode):
            if credential is not None:
                passkeys.authenticate(
                    credential, purpose=passkeys.SECOND, client=client, user_id=user.pk, of=challenge.digest
                )
            with transaction.atomic():
                proof = passkeys.AMR if credential is not None else codes.use(user.pk, code, client=client)
                if proof is None:
                    raise InvalidCode
                challenges.spend(challenge)

    except InvalidCode:
        lockout.fail(guess, user_id=user.pk, client=client)
        raise
    return login.finish(
        user=user,
        guess=guess,
        amr=[*challenge.data["amr"], *proof],
        client=client,
        device_id=device_id,
        **challenge.data["login"],
    )


def require_code(*, user: User, code: str, client: Client) -> None:
    """Check the second factor after the password where there is no `mfa_token` (the admin).

    Raises: InvalidCode (after it was counted), AccountLocked.
    """
    guess = lockout.reserve(lockout.counter_of_user(user.pk))
    with lockout.given_back_on_failure(guess, but=()), transaction.atomic():
        is_right = codes.use(user.pk, code, client=client) is not None
    if not is_right:
        lockout.fail(guess, user_id=user.pk, client=client)
        raise InvalidCode
    lockout.unlock(user.pk)
