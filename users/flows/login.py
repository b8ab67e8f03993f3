"""Login with a username or an e-mail address and a password, and the steps that all kinds of login share."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from common import rates, rows
from common.client import Client, address_key
from common.errors import EmailNotVerified, NoActiveAccount
from common.signals import security_event
from sessions.services import assurance
from sessions.services import lifecycle as sessions
from users import people
from users.factors import second_factor
from users.models import User
from users.passwords import check, device_tokens, lockout


@dataclass(frozen=True, kw_only=True)
class LoggedIn:
    user: User
    started: sessions.Started
    device_token: str


def login(
    *,
    username: str,
    password: str,
    client: Client,
    device_fingerprint: str = "",
    device_name: str = "",
    remember_me: bool = False,
    device_token: str = "",
) -> LoggedIn:
    """Check the password and start a session on the device, or ask for the second factor.

    Time, body and status of a refusal do not reveal whether the account exists. The failure is committed before it.

    Raises: Throttled, AccountLocked, NoActiveAccount, EmailNotVerified (if mandatory, after a correct password),
    MfaRequired (401 with an `mfa_token`).
    """
    rates.allow(name="login", key=address_key(client.ip_address))
    user, name = people.find(username)
    device_id = device_tokens.read(device_token, user=user)
    if device_id:
        counter = lockout.counter_of_device(device_id)
    else:
        counter = lockout.counter_of_user(user.pk) if user else lockout.counter_of_name(name)
    try:
        guess = check.verify(user=user, password=password, counter=counter, client=client)
    except check.WrongPassword:
        raise NoActiveAccount from None
    if user is None:  # cannot happen: no password matches an unknown user
        raise NoActiveAccount
    return finish(
        user=user,
        guess=guess,
        amr=[assurance.PASSWORD],
        client=client,
        device_id=device_id,
        device_fingerprint=device_fingerprint,
        device_name=device_name,
        remember_me=remember_me,
    )


def finish(
    *,
    user: User,
    guess: lockout.Guess,
    amr: list[str],
    client: Client,
    device_id: uuid.UUID | None = None,
    device_fingerprint: str = "",
    device_name: str = "",
    remember_me: bool = False,
) -> LoggedIn:
    """Finish a login after the first factor was correct: ask for the second factor, else start the session.

    `guess`: the attempt reserved in the counter of account or device, so that a locked account is locked for every
    factor. It is settled or given back here in any case.

    Raises: MfaRequired, EmailNotVerified, NoActiveAccount (the account ended or its password changed meanwhile).
    """
    with check.at_no_cost(guess):
        asks_for_more = assurance.MULTIPLE not in amr and second_factor.is_on(user.pk)
    if asks_for_more:
        lockout.give_back(guess)
        raise second_factor.ask(
            user,
            amr=amr,
            device_id=device_id,
            device_fingerprint=device_fingerprint,
            device_name=device_name,
            remember_me=remember_me,
        )
    if settings.EMAIL_VERIFICATION == "mandatory" and not user.email_verified:
        with check.at_no_cost(guess):
            lockout.succeed(guess)
        if guess.counter.user_id and user.login_attempts:
            User.objects.filter(pk=user.pk).update(login_attempts=0, locked_until=None)
        raise EmailNotVerified

    def write() -> sessions.Starting:
        starting = sessions.start_here(
            user=user,
            client=client,
            device_fingerprint=device_fingerprint,
            device_name=device_name,
            remember_me=remember_me,
            amr=amr,
        )
        _mark(user, guess, starting, client=client, device_fingerprint=device_fingerprint)
        return starting

    with check.at_no_cost(guess):
        started = sessions.start_with(write)
    return LoggedIn(user=user, started=started, device_token=device_tokens.make(user, device_id=device_id))


def _mark(
    user: User, guess: lockout.Guess, starting: sessions.Starting, *, client: Client, device_fingerprint: str
) -> None:
    """Write the login on User, reset the counter and send the event. `start_here` has locked the user's row."""
    fields: dict[str, Any] = {
        "last_login": starting.at,
        "last_login_ip": client.ip_address,
        "device_fingerprint": device_fingerprint,
    }
    if guess.counter.user_id:
        fields |= {"login_attempts": 0, "locked_until": None}
    rows.update(user, fields)
    lockout.succeed(guess)
    security_event.send(
        sender=User,
        user_id=user.pk,
        kind="login",
        at=starting.at,
        client=client,
        session_id=starting.user_session.session_token,
        detail={},
    )
