"""What holds when many ask at once, on either database."""

import threading
from collections import Counter
from unittest import mock

import pytest
from rest_framework.test import APIClient

from sessions.models import UserSession
from tests.together import together
from users.mail import enqueue, single_use
from users.models import EmailVerificationToken, LoginCounter, PasswordResetToken, User
from users.passwords import check, lockout
from users.tests.letters_read import link_token

PASSWORD = "alviar-demo"


def codes(answers):
    return Counter((answer.status_code, (answer.data or {}).get("code", "")) for answer in answers)


def post(path, body):
    return lambda: APIClient().post(path, body)


@pytest.fixture
def hashes():
    """Counts password checks and lets the others catch up during each."""
    gate, count = threading.Semaphore(0), []
    real = check.passwords.verify

    def slow(*args, **kwargs):
        count.append(1)
        gate.acquire(timeout=0.05)
        return real(*args, **kwargs)

    with mock.patch.object(check.passwords, "verify", slow):
        yield count


class Races:
    @pytest.fixture(autouse=True)
    def no_rates(self, settings):
        settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, "0")

    @pytest.mark.parametrize("username", ["alice", "nobody"])
    def test_forty_parallel_guesses_cost_exactly_five_hashes(self, alice, hashes, username):
        guess = [post("/api/auth/login/", {"username": username, "password": f"x{n}"}) for n in range(40)]
        assert codes(together(*guess)) == {(401, "no_active_account"): 5, (429, "account_locked"): 35}
        assert len(hashes) == 5
        row = LoginCounter.objects.get()
        assert (row.failures, row.settled) == (5, 5)
        alice.refresh_from_db()
        assert alice.login_attempts == (5 if username == "alice" else 0)

    def test_guesses_through_every_door_share_the_five(self, alice, hashes):
        def signed_in():
            api = APIClient()
            api.force_authenticate(alice)
            return api

        body = {"old_password": "x", "new_password": "another good 1", "new_password_confirm": "another good 1"}
        calls = [post("/api/auth/login/", {"username": "alice@example.com", "password": "x"})] * 8
        calls += [lambda: signed_in().post("/api/auth/password-change/", body)] * 8
        calls += [lambda: signed_in().delete("/api/users/me/", {"password": "x"})] * 8
        counted = codes(together(*calls))
        assert counted[429, "account_locked"] == 19
        assert len(hashes) == 5

    def test_ten_right_passwords_at_once_all_sign_in(self, alice, hashes):
        """A password that is being checked is no failure yet: nobody is refused for it."""
        login = post("/api/auth/login/", {"username": "alice", "password": PASSWORD})
        assert codes(together(*[login] * 10)) == {(200, ""): 10}
        assert not LoginCounter.objects.exists()

    def test_one_device_signing_in_many_times_at_once_has_one_session(self, alice):
        login = post("/api/auth/login/", {"username": "alice", "password": PASSWORD, "device_fingerprint": "phone"})
        assert codes(together(*[login] * 6)) == {(200, ""): 6}
        assert UserSession.objects.filter(user=alice, is_active=True).count() == 1

    def test_of_parallel_registrations_of_one_name_one_wins(self, db):
        body = {"username": "dora", "password": "a good password 1", "password_confirm": "a good password 1"}
        calls = [post("/api/auth/register/", body | {"email": f"d{n}@example.com"}) for n in range(6)]
        assert codes(together(*calls)) == {(201, ""): 1, (400, "validation_error"): 5}
        calls = [
            post("/api/auth/register/", body | {"username": f"{c}ina", "email": "x@example.com"}) for c in "ABCDEF"
        ]
        assert codes(together(*calls)) == {(201, ""): 1, (400, "validation_error"): 5}

    def test_of_parallel_confirms_of_one_link_one_wins(self, alice):
        raw = str(single_use.issue(PasswordResetToken, alice))
        calls = [
            post(
                "/api/auth/password-reset/confirm/",
                {"token": raw, "new_password": f"a good one {n}", "new_password_confirm": f"a good one {n}"},
            )
            for n in range(6)
        ]
        assert codes(together(*calls)) == {(200, ""): 1, (400, "invalid_or_expired_token"): 5}

    def test_parallel_clicks_on_a_verification_link_are_all_fine(self, person):
        dora = person("dora", email_verified=False)
        raw = str(single_use.issue(EmailVerificationToken, dora, email=dora.email))
        assert codes(together(*[post("/api/auth/verify-email/", {"token": raw})] * 6))[200, ""] >= 1
        dora.refresh_from_db()
        assert dora.email_verified
        assert EmailVerificationToken.objects.get().is_used

    def test_after_reset_and_login_at_once_no_session_of_the_old_password_lives(self, alice):
        for number in range(5):
            user = User.objects.get(pk=alice.pk)
            old, new = (PASSWORD if number == 0 else f"a good one {number}"), f"a good one {number + 1}"
            raw = str(single_use.issue(PasswordResetToken, user))
            body = {"token": raw, "new_password": new, "new_password_confirm": new}
            login = post("/api/auth/login/", {"username": "alice", "password": old})
            answers = together(*[post("/api/auth/password-reset/confirm/", body), login, login, login])
            assert answers[0].status_code == 200
            assert {answer.status_code for answer in answers[1:]} <= {200, 401}
            assert not UserSession.objects.filter(user=alice, is_active=True).exists()
            lockout.unlock(alice.pk)

    def test_two_accounts_that_want_one_address_at_once(self, alice, bob, run_tasks):
        tokens = []
        for user in (alice, bob):
            enqueue.send(user.pk, "verify_email", email="new@example.com")
            run_tasks()
            tokens.append(link_token())
        calls = [post("/api/auth/verify-email/", {"token": token}) for token in tokens]
        assert codes(together(*calls)) == {(200, ""): 1, (400, "invalid_or_expired_token"): 1}
        assert User.objects.filter(email="new@example.com").count() == 1


@pytest.mark.django_db(transaction=True)
class TestHere(Races):
    pass


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestOnPostgreSQL(Races):
    pass
