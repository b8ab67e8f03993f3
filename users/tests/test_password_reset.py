"""A forgotten password: asked for without a word about who exists, set once, everything else ended."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django_tasks_db.models import DBTaskResult

from common.signals import security_event
from tests.together import together
from users.models import EmailVerificationToken, LoginCounter, PasswordResetToken, User
from users.passwords import lockout
from users.tests.letters_read import link_token, recipients

pytestmark = pytest.mark.django_db
ASK = "/api/auth/password-reset/"
CONFIRM = "/api/auth/password-reset/confirm/"
LOGIN = "/api/auth/login/"
NEW = "a better password 7"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture
def ask(api, run_tasks):
    def ask(email="alice@example.com", **headers):
        answer = api.post(ASK, {"email": email}, **headers)
        run_tasks()
        return answer

    return ask


def confirm(api, token, password=NEW, again=None, **headers):
    return api.post(
        CONFIRM, {"token": token, "new_password": password, "new_password_confirm": again or password}, **headers
    )


def refused(answer):
    return (answer.status_code, answer.data["code"], answer.data["action"]) == (400, "invalid_or_expired_token", "none")


def test_known_and_unknown_addresses_get_the_same_answer(ask, alice, person):
    person("dora", is_active=False)
    answers = [ask(f"{name}@example.com") for name in ("alice", "nobody", "dora")]
    assert {answer.status_code for answer in answers} == {200}
    assert len({str(answer.data) for answer in answers}) == 1
    assert recipients() == ["alice@example.com"]


def test_a_request_takes_the_same_statements_for_anybody(api, alice, django_assert_num_queries):
    api.post(ASK, {"email": "warm@example.com"})
    for address in ("alice@example.com", "nobody@example.com"):
        with django_assert_num_queries(1):
            api.post(ASK, {"email": address})
    assert DBTaskResult.objects.count() == 3


@pytest.mark.parametrize("typed", ["ALICE@example.com", "alice@EXAMPLE.com", "alice@ｅxample.com"])
def test_the_mail_goes_to_the_stored_address(ask, alice, typed):
    assert ask(typed).status_code == 200
    assert recipients() == ["alice@example.com"]


@pytest.mark.parametrize("typed", ["al\u0131ce@example.com", "mi\u212ae@example.com", "mike@example.com\u200b"])
def test_a_look_alike_address_gets_nothing(ask, alice, person, typed):
    person("mike")
    assert ask(typed).status_code in {200, 400}
    assert set(recipients()) <= {"mike@example.com"}


@pytest.mark.parametrize("value", [None, 5, [], {}, "", "x", "a\0@example.com", "a@b@c", "x" * 100_000])
def test_what_is_no_address_is_400(api, value):
    answer = api.post(ASK, {"email": value})
    assert (answer.status_code, answer.data["code"], set(answer.data["errors"])) == (400, "validation_error", {"email"})


def test_the_link_never_comes_from_the_request(ask, alice, settings):
    settings.PUBLIC_URL = "https://alviar.example"
    settings.ALLOWED_HOSTS = ["*"]
    ask(HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="evil.example", HTTP_X_FORWARDED_PROTO="http")
    assert "https://alviar.example/reset-password/#token=" in mail.outbox[0].body
    assert "evil" not in str(mail.outbox[0].message())


def test_a_link_sets_the_password_once(api, ask, alice):
    ask()
    token = link_token()
    with time_machine.travel(NOW, tick=False):
        PasswordResetToken.objects.update(expires_at=NOW + timedelta(hours=1))
        answer = confirm(api, token)
    assert answer.status_code == 200
    assert set(answer.data) == {"detail"}, "nobody is signed in by it"
    alice.refresh_from_db()
    assert alice.password_changed_at == NOW
    assert api.post(LOGIN, {"username": "alice", "password": NEW}).status_code == 200
    assert refused(confirm(api, token))


def test_a_reset_ends_every_session_and_every_other_link(api, ask, alice, sign_in):
    phone, tablet = sign_in(alice), sign_in(alice)
    ask()
    single = link_token()
    assert confirm(api, single).status_code == 200
    for device in (phone, tablet):
        answer = device.get("/api/users/me/")
        assert (answer.status_code, answer.data["reason"]) == (401, "session_revoked")
    assert not PasswordResetToken.objects.filter(is_used=False).exists()


def test_a_reset_lifts_the_lockout_and_forgets_remembered_devices(api, ask, alice):
    remembered = api.post(LOGIN, {"username": "alice", "password": "alviar-demo"}).data["device_token"]
    for _ in range(5):
        api.post(LOGIN, {"username": "alice", "password": "wrong"})
    assert api.post(LOGIN, {"username": "alice", "password": "alviar-demo"}).status_code == 429
    ask()
    confirm(api, link_token())
    assert api.post(LOGIN, {"username": "alice", "password": NEW}).status_code == 200
    alice.refresh_from_db()
    assert (alice.login_attempts, alice.locked_until, alice.device_token_version) == (0, None, 1)
    for _ in range(5):
        api.post(LOGIN, {"username": "alice", "password": "wrong"})
    assert api.post(LOGIN, {"username": "alice", "password": NEW, "device_token": remembered}).status_code == 429


def test_a_reset_calls_off_an_address_change(api, ask, alice, run_tasks, sign_in):
    """Somebody who had got in may have asked for it."""
    sign_in(alice).post("/api/auth/email-change/", {"new_email": "evil@example.com", "password": "alviar-demo"})
    run_tasks()
    change = link_token(0)
    ask()
    confirm(api, link_token())
    assert refused(api.post("/api/auth/verify-email/", {"token": change}))
    assert not EmailVerificationToken.objects.filter(is_used=False).exists()


def test_the_person_is_told(api, ask, alice, run_tasks):
    kinds = []

    def hear(kind, **kwargs):
        kinds.append(kind)

    security_event.connect(hear)
    ask()
    confirm(api, link_token())
    run_tasks()
    security_event.disconnect(hear)
    assert kinds == ["password_changed"]
    assert len(mail.outbox) == 2


@pytest.mark.parametrize(
    ("password", "again", "field", "code"),
    [
        ("short", None, "new_password", "password_too_short"),
        ("password", None, "new_password", "password_too_common"),
        ("alice-example", None, "new_password", "password_too_similar"),
        ("x" * 129, None, "new_password", "password_too_long"),
        (NEW, "other", "new_password_confirm", "password_mismatch"),
    ],
)
def test_a_bad_password_does_not_spend_the_link(api, ask, alice, password, again, field, code):
    User.objects.update(first_name="Alice-Example")
    ask()
    answer = confirm(api, link_token(), password, again)
    assert answer.status_code == 400
    assert code in [error["code"] for error in answer.data["errors"][field]]
    assert confirm(api, link_token()).status_code == 200


def test_a_link_lives_an_hour(api, ask, alice):
    with time_machine.travel(NOW, tick=False) as clock:
        ask()
        clock.shift(timedelta(seconds=3600))
        assert refused(confirm(api, link_token()))
        clock.shift(timedelta(seconds=-1))
        assert confirm(api, link_token()).status_code == 200


def test_a_newer_link_voids_the_older(api, ask, alice):
    with time_machine.travel(NOW, tick=False) as clock:
        ask()
        clock.shift(timedelta(minutes=2))
        ask()
        assert refused(confirm(api, link_token(0)))
        assert confirm(api, link_token(1)).status_code == 200


def test_the_digest_in_the_database_opens_nothing(api, ask, alice):
    ask()
    stored = PasswordResetToken.objects.get().token
    assert str(stored) != link_token()
    assert stored.version == 8
    assert refused(confirm(api, str(stored)))


def test_a_link_of_the_other_kind_opens_nothing(api, ask, alice, run_tasks):
    User.objects.update(email_verified=False)
    api.post("/api/auth/resend-verification/", {"email": "alice@example.com"})
    run_tasks()
    assert refused(confirm(api, link_token()))


def test_a_disabled_account_cannot_be_reset(api, ask, alice):
    ask()
    User.objects.update(is_active=False)
    assert refused(confirm(api, link_token()))


@pytest.mark.parametrize("token", ["x", "not-a-uuid", "0b3f9a52-6c1d-4e8f-9a70-5d2c8e417b16", "0" * 32, "\u202e", "{}"])
def test_an_unknown_link_is_one_answer(api, token):
    assert refused(confirm(api, token))


@pytest.mark.parametrize("token", [None, 5, True, [], {}, "", "a\0b", "x" * 100_000])
def test_what_is_no_token_is_a_validation_error(api, token):
    answer = confirm(api, token)
    assert (answer.status_code, set(answer.data["errors"])) == (400, {"token"})


def test_get_never_spends(api, ask, alice):
    ask()
    assert api.get(CONFIRM, {"token": link_token()}).status_code == 405
    assert confirm(api, link_token()).status_code == 200


def test_an_account_is_mailed_once_a_minute_and_five_times_an_hour(ask, alice):
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(3):
            assert ask().status_code == 200
        assert len(mail.outbox) == 1
        for _ in range(6):
            clock.shift(timedelta(seconds=61))
            assert ask().status_code == 200
        assert len(mail.outbox) == 5
        clock.shift(timedelta(hours=1))
        ask()
        assert len(mail.outbox) == 6


def test_twenty_requests_an_hour_from_one_address(ask):
    for number in range(20):
        assert ask(f"nobody{number}@example.com").status_code == 200
    answer = ask("nobody@example.com", HTTP_X_FORWARDED_FOR="9.9.9.9")
    assert (answer.status_code, answer.data["code"]) == (429, "throttled")


def test_twenty_confirms_a_minute_from_one_address(api):
    for _ in range(20):
        assert refused(confirm(api, "0b3f9a52-6c1d-4e8f-9a70-5d2c8e417b16"))
    assert confirm(api, "0b3f9a52-6c1d-4e8f-9a70-5d2c8e417b16").data["code"] == "throttled"


def test_a_reset_clears_what_counted(api, ask, alice):
    api.post(LOGIN, {"username": "alice", "password": "wrong"})
    ask()
    confirm(api, link_token())
    assert not LoginCounter.objects.filter(key=lockout.counter_of_user(alice.pk).key).exists()


@pytest.mark.django_db(transaction=True)
def test_of_parallel_confirms_of_one_link_one_wins(api, ask, alice):
    from rest_framework.test import APIClient

    ask()
    token = link_token()
    answers = together(*[lambda number=number: confirm(APIClient(), token, f"{NEW} {number}") for number in range(6)])
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 5
