"""Authentication backend for Django's own sign-in (the admin, `authenticate()`), with the lockout of the API."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from common import rates
from common.client import address_key, client_of
from common.errors import AccountLocked
from users import people
from users.factors import second_factor
from users.models import User
from users.passwords import check, lockout


class LockoutBackend(ModelBackend):
    """ModelBackend with the lockout. A refusal is final (PermissionDenied): no other backend is tried."""

    def authenticate(  # type: ignore[override]
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        identifier = username or kwargs.get(User.USERNAME_FIELD)
        if not identifier or password is None:
            return None
        client = client_of(request) if request is not None else None
        if client and rates.hit(name="login", key=address_key(client.ip_address)) is not None:
            raise PermissionDenied
        user, name = people.find(str(identifier))
        counter = lockout.counter_of_user(user.pk) if user else lockout.counter_of_name(name)
        try:
            guess = check.verify(user=user, password=password, counter=counter, client=client)
        except (check.WrongPassword, AccountLocked):
            raise PermissionDenied from None
        with check.at_no_cost(guess):
            asks_for_more = user is not None and second_factor.is_on(user.pk)
        if asks_for_more:
            # The password alone signs nobody in (`admin.site.LoginForm`), and must not reset the count of wrong codes.
            lockout.give_back(guess)
            return user
        with check.at_no_cost(guess):
            lockout.succeed(guess)
        if user and (user.login_attempts or user.locked_until):
            User.objects.filter(pk=user.pk).update(login_attempts=0, locked_until=None)
        return user
