"""Links that prove an address."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core import mail
from django.core.management import call_command

from users.mail import enqueue
from users.models import EmailVerificationToken, User
from users.tests.letters_read import link_token, recipients

pytestmark = pytest.mark.django_db
VERIFY = "/api/auth/verify-email/"
RESEND = "/api/auth/resend-verification/"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture
def dora(person):
    return person("dora", email_verified=False)


@pytest.fixture
def mailed(run_tasks):
    def mailed(user, **context):
        enqueue.send(user.pk, "verify_email", **context)
        run_tasks()
        return link_token()

    return mailed


def verify(api, token):
    return api.post(VERIFY, {"token": token})


def refused(answer):
    return (answer.status_code, answer.data["code"]) == (400, "invalid_or_expired_token")


def test_a_link_verifies_and_may_be_followed_twice(api, dora, mailed):
    token = mailed(dora)
    assert verify(api, token).status_code == 200
    dora.refresh_from_db()
    assert dora.email_verified
    assert verify(api, token).status_code == 200
    assert verify(api, token.upper()).status_code == 200


def test_a_spent_link_of_an_address_that_is_not_verified_is_400(api, dora, mailed):
    token = mailed(dora)
    verify(api, token)
    User.objects.update(email_verified=False)
    assert refused(verify(api, token))


def test_a_spent_link_of_a_former_address_is_400(api, dora, mailed):
    token = mailed(dora)
    verify(api, token)
    User.objects.update(email="other@example.com")
    assert refused(verify(api, token))


def test_a_replaced_link_is_400_even_when_verified(api, dora, mailed):
    older = mailed(dora)
    newer = mailed(dora)
    assert refused(verify(api, older))
    assert verify(api, newer).status_code == 200
    assert refused(verify(api, older))


def test_a_link_lives_a_day(api, dora, mailed):
    with time_machine.travel(NOW, tick=False) as clock:
        token = mailed(dora)
        clock.shift(timedelta(days=1))
        assert refused(verify(api, token))
        clock.shift(timedelta(seconds=-1))
        assert verify(api, token).status_code == 200


def test_get_never_spends(api, dora, mailed):
    token = mailed(dora)
    assert api.get(VERIFY, {"token": token}).status_code == 405
    assert verify(api, token).status_code == 200


@pytest.mark.parametrize("token", ["x", "0b3f9a52-6c1d-4e8f-9a70-5d2c8e417b16", "\u202e"])
def test_an_unknown_link_is_400(api, token):
    assert refused(verify(api, token))


@pytest.mark.parametrize("token", [None, 5, [], {}, "", "\0", "x" * 100_000])
def test_what_is_no_token_is_a_validation_error(api, token):
    assert set(verify(api, token).data["errors"]) == {"token"}


def test_a_disabled_account_verifies_nothing(api, dora, mailed):
    token = mailed(dora)
    User.objects.update(is_active=False)
    assert refused(verify(api, token))


def test_resend_is_one_answer_for_any_address(api, dora, alice, run_tasks):
    answers = [api.post(RESEND, {"email": f"{name}@example.com"}) for name in ("dora", "alice", "nobody")]
    run_tasks()
    assert {answer.status_code for answer in answers} == {200}
    assert len({str(answer.data) for answer in answers}) == 1
    assert recipients() == ["dora@example.com"]
    assert verify(api, link_token()).status_code == 200


def test_resend_with_a_bearer_needs_no_address(sign_in, dora, run_tasks):
    assert sign_in(dora).post(RESEND).status_code == 200
    run_tasks()
    assert recipients() == ["dora@example.com"]


def test_resend_to_a_verified_bearer_mails_nothing(sign_in, alice, run_tasks):
    assert sign_in(alice).post(RESEND, {"email": "dora@example.com"}).status_code == 200
    run_tasks()
    assert recipients() == []


def test_a_stale_bearer_is_ignored_where_the_body_names_an_address(api, dora, run_tasks):
    api.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    assert api.post(RESEND, {"email": "dora@example.com"}).status_code == 200
    run_tasks()
    assert recipients() == ["dora@example.com"]


def test_resend_with_a_bad_bearer_alone_is_401(api, dora):
    api.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    answer = api.post(RESEND, {})
    assert (answer.status_code, answer.data["code"]) == (401, "token_not_valid")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_resend_for_somebody_whom_a_test_signs_in_needs_no_address(api, dora, run_tasks):
    api.force_authenticate(user=dora)
    assert api.post("/api/users/auth/resend-verification/").status_code == 200  # as the sessions guide prints it
    run_tasks()
    assert recipients() == ["dora@example.com"]


def test_resend_without_bearer_and_address_is_400(api):
    answer = api.post(RESEND)
    assert (answer.status_code, set(answer.data["errors"])) == (400, {"email"})


def test_resend_reads_no_cookie(alice):
    from rest_framework.test import APIClient

    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.post(RESEND, {"email": "x@example.com"}).status_code == 200


def test_resend_once_a_minute_and_five_times_an_hour(api, dora, run_tasks):
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(7):
            assert api.post(RESEND, {"email": "Dora@example.com"}).status_code == 200
            assert api.post(RESEND, {"email": "dora@EXAMPLE.com"}).status_code == 200
            clock.shift(timedelta(seconds=61))
        run_tasks()
    assert len(mail.outbox) == 5


def test_twenty_verifications_a_minute_from_one_address(api):
    for _ in range(20):
        assert refused(verify(api, "0b3f9a52-6c1d-4e8f-9a70-5d2c8e417b16"))
    assert verify(api, "0b3f9a52-6c1d-4e8f-9a70-5d2c8e417b16").status_code == 429


def test_the_loop_of_the_guide_mails_a_working_link(api, dora, alice, run_tasks):
    for user in User.objects.filter(email_verified=False):
        EmailVerificationToken.objects.create(user=user)
    run_tasks()
    assert recipients() == ["dora@example.com"]
    assert verify(api, link_token()).status_code == 200


def test_send_verifications_mails_everybody_who_waits(api, dora, alice, person, run_tasks):
    person("gone", email_verified=False, is_active=False)
    person("silent", email_verified=False, email="")
    out = StringIO()
    call_command("send_verifications", stdout=out)
    run_tasks()
    assert recipients() == ["dora@example.com"]
    assert "1 of 1" in out.getvalue()
    out = StringIO()
    call_command("send_verifications", "--dry-run", stdout=out)
    assert "1" in out.getvalue()
    assert run_tasks() == 0
