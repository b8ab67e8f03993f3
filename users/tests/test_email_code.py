"""Sign in by six mailed digits: one answer for every address, five tries, once."""

import re
from datetime import UTC, datetime

import pytest
import time_machine

from users.factors.models import Challenge
from users.models import User
from users.tests.factors import code_at

pytestmark = pytest.mark.django_db
URL, CONFIRM = "/api/auth/email-code/", "/api/auth/email-code/confirm/"
PASSWORD = "alviar-demo"


def refused(answer, code, status=400):
    assert (answer.status_code, answer.data["code"]) == (status, code), answer.data
    return answer.data


@pytest.fixture
def asked(alice, api, run_tasks, mailoutbox):
    """A challenge and the code that was mailed for it."""

    def ask(email="alice@example.com"):
        challenge = api.post(URL, {"email": email}).data["challenge"]
        run_tasks()
        return challenge, re.search(r"\b\d{6}\b", mailoutbox[-1].body)[0] if mailoutbox else ""

    return ask


def wrong(code):
    return "000000" if code != "000000" else "111111"


def test_the_mailed_code_signs_in(asked, api, mailoutbox):
    challenge, code = asked("ALICE@example.com")
    assert mailoutbox[0].to == ["alice@example.com"]
    answer = api.post(CONFIRM, {"challenge": challenge, "code": code, "device_name": "Tablet"})
    assert answer.status_code == 200
    assert answer.data["user"]["username"] == "alice"
    assert (answer.data["session"]["device_name"], answer.data["session"]["amr"]) == ("Tablet", ["otp"])


def test_the_answer_is_the_same_for_any_address(alice, api, run_tasks, mailoutbox):
    known, unknown = (api.post(URL, {"email": email}) for email in ("alice@example.com", "nobody@example.com"))
    for answer in (known, unknown):
        assert (answer.status_code, set(answer.data), answer.data["expires_in"]) == (
            200, {"challenge", "expires_in"}, 600,
        )  # fmt: skip
    run_tasks()
    assert len(mailoutbox) == 1
    for answer in (known, unknown):
        refused(api.post(CONFIRM, {"challenge": answer.data["challenge"], "code": "000000"}), "invalid_code")


def test_neither_challenge_nor_code_rests_in_clear(asked):
    challenge, code = asked()
    row = Challenge.objects.get()
    assert challenge not in (row.digest, str(row.data))
    assert code not in row.code + str(row.data)


def test_it_opens_once(asked, api):
    challenge, code = asked()
    assert api.post(CONFIRM, {"challenge": challenge, "code": code}).status_code == 200
    refused(api.post(CONFIRM, {"challenge": challenge, "code": code}), "invalid_or_expired_token")


def test_five_tries(asked, api, settings):
    settings.LOCKOUT_ATTEMPTS = 0
    challenge, code = asked()
    for _ in range(5):
        refused(api.post(CONFIRM, {"challenge": challenge, "code": wrong(code)}), "invalid_code")
    refused(api.post(CONFIRM, {"challenge": challenge, "code": code}), "invalid_or_expired_token")


def test_answers_for_one_address_are_bounded_known_or_not(asked, api, settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "email_code_tries": "6/day"}
    for email in ("alice@example.com", "nobody@example.com"):
        challenge, code = asked(email)
        for _ in range(5):
            refused(api.post(CONFIRM, {"challenge": challenge, "code": wrong(code)}), "invalid_code")
        other = api.post(URL, {"email": email}).data["challenge"]
        refused(api.post(CONFIRM, {"challenge": other, "code": "000000"}), "invalid_code")
        refused(api.post(CONFIRM, {"challenge": other, "code": "000000"}), "throttled", 429)


def test_a_locked_account_stays_locked_for_a_mailed_code(asked, api):
    challenge, code = asked()
    for _ in range(5):
        api.post("/api/auth/login/", {"username": "alice", "password": "wrong"})
    refused(api.post(CONFIRM, {"challenge": challenge, "code": code}), "account_locked", 429)


def test_ten_minutes(asked, api):
    with time_machine.travel(datetime(2026, 11, 21, 10, tzinfo=UTC), tick=False) as clock:
        challenge, code = asked()
        clock.shift(601)
        refused(api.post(CONFIRM, {"challenge": challenge, "code": code}), "invalid_or_expired_token")


def test_the_code_of_one_challenge_does_not_fit_another(asked, api, settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "mail_account": "0"}
    _first, code = asked()
    second, other = asked()
    if code != other:
        refused(api.post(CONFIRM, {"challenge": second, "code": code}), "invalid_code")


def test_it_proves_the_address(asked, api):
    User.objects.update(email_verified=False)
    challenge, code = asked()
    assert api.post(CONFIRM, {"challenge": challenge, "code": code}).data["user"]["email_verified"] is True


def test_an_address_that_moved_meanwhile_is_not_proved(asked, api):
    challenge, code = asked()
    User.objects.update(email="new@example.com", email_verified=False)
    refused(api.post(CONFIRM, {"challenge": challenge, "code": code}), "invalid_code")


def test_a_second_factor_is_asked_for(asked, api, alice_api):
    secret = alice_api.post("/api/auth/factors/totp/").data["secret"]
    alice_api.post("/api/auth/factors/totp/confirm/", {"code": code_at(secret)})
    challenge, code = asked()
    refused(api.post(CONFIRM, {"challenge": challenge, "code": code}), "mfa_required", 401)


def test_past_the_limit_the_answer_is_the_same_and_nothing_is_mailed(asked, api, run_tasks, mailoutbox):
    asked()
    assert api.post(URL, {"email": "alice@example.com"}).status_code == 200
    run_tasks()
    assert len(mailoutbox) == 1


def test_switched_off_it_does_not_exist(alice, api, settings):
    settings.EMAIL_CODE_LOGIN = False
    refused(api.post(URL, {"email": "alice@example.com"}), "not_found", 404)
    refused(api.post(CONFIRM, {"challenge": "x", "code": "123456"}), "not_found", 404)


@pytest.mark.parametrize("email", [None, "", "x", 5, [], "a@b", "é" * 300 + "@example.com"])
def test_what_is_no_address(api, db, email):
    refused(api.post(URL, {"email": email}), "validation_error")


@pytest.mark.parametrize(
    "body", [{}, {"challenge": "x"}, {"code": "1"}, {"challenge": 5, "code": "1"}, {"challenge": [], "code": {}}]
)
def test_malformed_answers(api, db, body):
    refused(api.post(CONFIRM, body), "validation_error")


def test_an_unknown_challenge(api, db):
    refused(api.post(CONFIRM, {"challenge": "x", "code": "123456"}), "invalid_or_expired_token")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("iPhone\u00a0de Zo\u00eb", "iPhone de Zo\u00eb"),
        ("a\u0000b\u202e", "ab"),
        ("x" * 300, "x" * 100),
        (7, ""),
        (None, ""),
    ],
)
def test_a_device_label_never_refuses_a_code(api, asked, given, kept):
    challenge, code = asked()

    answer = api.post(CONFIRM, {"challenge": challenge, "code": code, "device_name": given})

    assert (answer.status_code, answer.data["session"]["device_name"]) == (200, kept), answer.data
