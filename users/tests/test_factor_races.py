"""Many at once: codes, recovery codes, budgets and removals give exactly what one after another would."""

import os

import pyotp
import pytest
from rest_framework.test import APIClient

from common.client import Client
from common.errors import SmsRefused
from sessions.tokens import sealing
from tests.together import together
from users.factors import recovery_codes
from users.factors.models import Challenge, Passkey, SocialLink, TotpFactor
from users.models import LoginCounter, User
from users.phone import budgets
from users.tests.factors import code_at
from users.tests.test_races import codes, post

PASSWORD = "alviar-demo"
LOGIN, MFA = "/api/auth/login/", "/api/auth/mfa/"


class Races:
    @pytest.fixture(autouse=True)
    def no_rates(self, settings):
        settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, "0")

    @pytest.fixture
    def enrolled(self, alice):
        secret = pyotp.random_base32()
        sealed = sealing.seal(secret, context=f"totp:{alice.pk}")
        TotpFactor.objects.create(user=alice, secret=sealed, confirmed_at=alice.date_joined)
        return secret, recovery_codes.replace(alice.pk)

    def token(self):
        return APIClient().post(LOGIN, {"username": "alice", "password": PASSWORD}).data["mfa_token"]

    def tokens(self, count):
        return [self.token() for _ in range(count)]

    def test_twenty_parallel_codes_cost_five_tries(self, enrolled):
        token = self.token()
        answers = codes(together(*[post(MFA, {"mfa_token": token, "code": "000000"})] * 20))
        assert answers[(400, "invalid_code")] == 5, answers
        assert set(answers) <= {(400, "invalid_code"), (400, "invalid_or_expired_token"), (429, "account_locked")}
        assert Challenge.objects.get().tries == 5
        assert LoginCounter.objects.get().failures == 5

    def test_one_recovery_code_used_many_times_at_once_opens_once(self, enrolled):
        code = enrolled[1][0]
        answers = together(
            *[post(MFA, {"mfa_token": token, "code": code}) for token in [self.token() for _ in range(4)]]
        )
        assert codes(answers)[(200, "")] == 1
        assert recovery_codes.left(User.objects.get().pk) == 9

    def test_one_code_of_the_app_used_many_times_at_once_opens_once(self, enrolled):
        code = code_at(enrolled[0])
        answers = together(
            *[post(MFA, {"mfa_token": token, "code": code}) for token in [self.token() for _ in range(4)]]
        )
        assert codes(answers)[(200, "")] == 1

    def test_one_token_opens_once_with_several_right_codes(self, enrolled):
        token = self.token()
        answers = together(*[post(MFA, {"mfa_token": token, "code": code}) for code in enrolled[1][:4]])
        assert codes(answers)[(200, "")] == 1

    def test_many_sms_at_once_at_a_budget_of_ten_are_ten(self, alice, settings):
        off = dict.fromkeys(settings.SMS_BUDGETS, "0")
        settings.SMS_BUDGETS = off | {"all": "10/day", "country": "20/day"}

        def ask(number):
            try:
                budgets.take_for_code(
                    number=f"+336{number:08}", country="FR", user_id=alice.pk, ip_address=Client().ip_address
                )
            except SmsRefused:
                return False
            return True

        answers, count = [], int(os.environ.get("SMS_REQUESTS", "100"))  # 1,000 were run
        for first in range(0, count, 10):
            answers += together(*[lambda number=number: ask(number) for number in range(first, first + 10)])
        assert sum(answers) == 10

    def test_two_removals_at_once_leave_a_way_in(self, alice, settings, sign_in):
        settings.EMAIL_CODE_LOGIN = False
        settings.SOCIAL_PROVIDERS = ["acme"]
        User.objects.filter(pk=alice.pk).rewrite(password="!")
        passkey = Passkey.objects.create(user=alice, credential_id="x", public_key=b"", user_handle="x")
        SocialLink.objects.create(user=alice, provider="acme", subject="1")
        client = sign_in(User.objects.get())
        paths = [f"/api/auth/factors/passkeys/{passkey.pk}/", "/api/auth/factors/social/acme/"]

        def remove(path):
            own = APIClient()
            own.credentials(**client._credentials)
            return own.delete(path)

        answers = codes(together(*[lambda path=path: remove(path) for path in paths]))
        assert answers == {(204, ""): 1, (409, "last_factor"): 1}


@pytest.mark.django_db(transaction=True)
class TestHere(Races):
    """On the database of this run."""


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestOnPostgreSQL(Races):
    """With its row locks."""
