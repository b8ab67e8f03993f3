"""Another address: proved before it counts, and the old one told."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail

from common.signals import security_event
from users.models import PasswordResetToken, User
from users.tests.letters_read import link_token, recipients

pytestmark = pytest.mark.django_db
URL = "/api/auth/email-change/"
VERIFY = "/api/auth/verify-email/"
PASSWORD = "alviar-demo"


def ask(api, email="new@example.com", password=PASSWORD):
    return api.post(URL, {"new_email": email, "password": password})


def token_for(address):
    (index,) = [
        number for number, message in enumerate(mail.outbox) if message.to == [address] and "#token=" in message.body
    ]
    return link_token(index)


def test_the_address_changes_only_once_its_link_is_followed(alice_api, api, alice, run_tasks):
    kinds = []

    def hear(kind, **kwargs):
        kinds.append(kind)

    security_event.connect(hear)
    assert ask(alice_api).status_code == 200
    run_tasks()
    alice.refresh_from_db()
    assert alice.email == "alice@example.com"
    assert sorted(recipients()) == ["alice@example.com", "new@example.com"]
    PasswordResetToken.objects.create(user=alice)
    assert api.post(VERIFY, {"token": token_for("new@example.com")}).status_code == 200
    security_event.disconnect(hear)
    alice.refresh_from_db()
    assert (alice.email, alice.email_verified) == ("new@example.com", True)
    assert kinds == ["email_changed"]
    assert not PasswordResetToken.objects.filter(is_used=False).exists(), "links mailed to the old address are void"
    assert api.post(VERIFY, {"token": token_for("new@example.com")}).status_code == 200, "a second click is fine"


def test_a_taken_address_gets_the_same_answer_and_its_owner_is_told(alice_api, bob, run_tasks):
    free, taken = ask(alice_api), ask(alice_api, "BOB@example.com")
    assert (free.status_code, free.data) == (taken.status_code, taken.data)
    run_tasks()
    assert "bob@example.com" in recipients()
    assert not any("#token=" in message.body for message in mail.outbox if message.to == ["bob@example.com"])


def test_an_address_taken_meanwhile_is_400(alice_api, api, person, run_tasks):
    ask(alice_api)
    run_tasks()
    person("dora", email="NEW@example.com")
    answer = api.post(VERIFY, {"token": token_for("new@example.com")})
    assert (answer.status_code, answer.data["code"]) == (400, "invalid_or_expired_token")
    assert User.objects.get(username="alice").email == "alice@example.com"


def test_a_wrong_password_counts_towards_the_lockout(alice_api):
    for _ in range(5):
        answer = ask(alice_api, password="wrong")
        assert (answer.status_code, answer.data["errors"]["password"][0]["code"]) == (400, "invalid_password")
    assert ask(alice_api).data["code"] == "account_locked"
    assert mail.outbox == []


def test_five_an_hour_are_mailed(alice_api, run_tasks):
    with time_machine.travel(datetime(2026, 11, 21, 10, tzinfo=UTC), tick=False) as clock:
        alice_api.credentials()
        alice_api.force_authenticate(User.objects.get(username="alice"))
        for number in range(7):
            assert ask(alice_api, f"new{number}@example.com").status_code == 200
            clock.shift(timedelta(seconds=5))
        run_tasks()
    assert len({address for address in recipients() if address.startswith("new")}) == 5


@pytest.mark.parametrize("email", [None, 5, [], "", "x", "a\nb@example.com", "ſ@example.com", "x" * 100_000])
def test_an_impossible_address_is_400(alice_api, email):
    assert set(ask(alice_api, email).data["errors"]) == {"new_email"}


def test_nobody_is_401(api):
    assert ask(api).status_code == 401
