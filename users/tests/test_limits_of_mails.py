"""Mails to one address, whoever asks; one's own address spelt otherwise; a clock that was ahead."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail

from users.models import LoginCounter, User
from users.tests.letters_read import link_token, recipients

pytestmark = pytest.mark.django_db
PASSWORD = "alviar-demo"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def ask(api, address):
    return api.post("/api/auth/email-change/", {"new_email": address, "password": PASSWORD})


@pytest.mark.parametrize("taken", [False, True])
def test_many_accounts_mail_one_stranger_five_times_an_hour(person, sign_in, run_tasks, taken):
    if taken:
        person("owner", email="stranger@example.net")
    with time_machine.travel(NOW, tick=False) as clock:
        for number in range(4):
            here = sign_in(person(f"sender{number}"))
            for spelling in ("stranger@example.net", "Stranger@EXAMPLE.net", "stranger@example.net"):
                assert ask(here, spelling).status_code == 200
        run_tasks()
        assert len([one for one in recipients() if one.lower() == "stranger@example.net"]) <= 5
        mail.outbox.clear()
        clock.shift(timedelta(hours=1, seconds=1))
        here = sign_in(person("late"))
        assert ask(here, "stranger@example.net").status_code == 200
        run_tasks()
        assert [one for one in recipients() if one.lower() == "stranger@example.net"] == ["stranger@example.net"]


def test_registrations_count_too(api, person, sign_in, run_tasks):
    for number in range(5):
        ask(sign_in(person(f"sender{number}")), "stranger@example.net")
    body = {"username": "dora", "email": "stranger@example.net", "password": "a good password 1"}
    assert api.post("/api/auth/register/", body | {"password_confirm": body["password"]}).status_code == 201
    run_tasks()
    assert len([one for one in recipients() if one == "stranger@example.net"]) <= 5


def test_ones_own_address_in_another_case_is_what_was_asked_for(alice_api, api, alice, run_tasks):
    assert ask(alice_api, "Alice@Example.com").status_code == 200
    run_tasks()
    assert recipients() == ["Alice@example.com"], "no word to an old address: it is the same"
    assert api.post("/api/auth/verify-email/", {"token": link_token()}).status_code == 200
    alice.refresh_from_db()
    assert (alice.email, alice.email_verified) == ("Alice@example.com", True)


def test_a_reset_verifies_the_address_that_it_went_to(api, person, run_tasks):
    dora = person("dora", email_verified=False)
    api.post("/api/auth/password-reset/", {"email": "DORA@example.com"})
    run_tasks()
    body = {"token": link_token(), "new_password": "a better password 7", "new_password_confirm": "a better password 7"}
    assert api.post("/api/auth/password-reset/confirm/", body).status_code == 200
    dora.refresh_from_db()
    assert dora.email_verified


def test_a_lockout_is_never_further_away_than_it_lasts(api, alice):
    """It was set by a server whose clock was ninety minutes ahead."""
    login = {"username": "alice", "password": "wrong"}
    with time_machine.travel(NOW + timedelta(minutes=90), tick=False):
        for _ in range(5):
            api.post("/api/auth/login/", login)
    with time_machine.travel(NOW, tick=False) as clock:
        answer = api.post("/api/auth/login/", {**login, "password": PASSWORD})
        assert (answer.status_code, answer.data["retry_after"]) == (429, 1_800)
        clock.shift(timedelta(minutes=10))
        assert api.post("/api/auth/login/", login).data["retry_after"] == 1_200
        assert User.objects.get().locked_until == NOW + timedelta(minutes=30)
        clock.shift(timedelta(minutes=20, seconds=1))
        assert api.post("/api/auth/login/", {**login, "password": PASSWORD}).status_code == 200
        assert not LoginCounter.objects.exists()
