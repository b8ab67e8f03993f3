"""Signing in: by name or address, under the lockout, telling nobody who exists."""

from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.test import override_settings

from common.signals import security_event
from users.models import LoginCounter, User
from users.passwords import check, lockout

pytestmark = pytest.mark.django_db
URL = "/api/auth/login/"
PASSWORD = "alviar-demo"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def sign(api, username="alice", password=PASSWORD, **more):
    return api.post(URL, {"username": username, "password": password, **more})


def lock(api, username="alice", **more):
    for _ in range(5):
        answer = sign(api, username, "wrong", **more)
        assert (answer.status_code, answer.data["code"]) == (401, "no_active_account")


@pytest.fixture
def hashes():
    with mock.patch.object(check.passwords, "verify", wraps=check.passwords.verify) as checks:
        yield checks


@pytest.fixture
def events():
    kinds = []

    def hear(kind, **kwargs):
        kinds.append(kind)

    security_event.connect(hear)
    yield kinds
    security_event.disconnect(hear)


def test_a_login_answers_tokens_user_session_and_device_token(api, alice):
    answer = sign(api)
    assert answer.status_code == 200
    assert set(answer.data) == {
        "access", "refresh", "token_type", "access_expires_in", "refresh_expires_in", "server_time", "user", "session",
        "device_token",
    }  # fmt: skip
    assert answer.data["user"]["id"] == alice.pk
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "username", ["alice", "ALICE", "ａｌｉｃｅ", "alice@example.com", "Alice@EXAMPLE.com", " alice "]
)
def test_any_spelling_of_name_or_address_signs_in(api, alice, username):
    assert sign(api, username).status_code == 200


def test_what_a_login_leaves_on_the_user(api, alice):
    with time_machine.travel(NOW, tick=False):
        sign(api, device_fingerprint="phone-1")
    alice.refresh_from_db()
    assert (alice.last_login, alice.last_login_ip, alice.device_fingerprint) == (NOW, "127.0.0.1", "phone-1")


@pytest.mark.parametrize("username", ["alice", "nobody", "alice@example.com", "nobody@example.com"])
def test_wrong_and_unknown_are_one_answer(api, alice, username):
    answer = sign(api, username, "wrong")
    assert (answer.status_code, answer.data["code"], answer.data["action"]) == (401, "no_active_account", "none")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'
    assert set(answer.data) == {"detail", "code", "action", "request_id"}


def test_an_inactive_account_is_like_none_even_with_the_right_password(api, person):
    person("dora", is_active=False)
    answer = sign(api, "dora")
    assert (answer.status_code, answer.data["code"]) == (401, "no_active_account")


def test_an_account_without_a_password_is_like_a_wrong_one(api, alice):
    User.objects.update(password=make_password(None))
    assert sign(api).status_code == 401


@pytest.mark.parametrize("field", ["username", "password"])
@pytest.mark.parametrize("value", [None, 5, True, [], {}, "", "a\0b", "x" * 100_000])
def test_impossible_input_is_400(api, alice, field, value):
    answer = api.post(URL, {"username": "alice", "password": PASSWORD} | {field: value})
    assert answer.status_code == 400
    assert set(answer.data["errors"]) == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [("device_fingerprint", "x" * 256), ("device_fingerprint", 5),
     ("remember_me", "yes"), ("device_token", 5),
     ("device_token", "x" * 2000)],
)  # fmt: skip
def test_impossible_details_are_400(api, alice, field, value):
    assert set(sign(api, **{field: value}).data["errors"]) == {field}


@pytest.mark.parametrize("username", ["alice", "nobody", "\u202e", "alice@", "@", "a\u200blice"])
def test_fifth_wrong_password_locks_and_the_sixth_is_429(api, alice, username):
    with time_machine.travel(NOW, tick=False):
        lock(api, username)
        answer = sign(api, username)
    assert (answer.status_code, answer.data["code"], answer.data["action"]) == (429, "account_locked", "wait")
    assert answer["Retry-After"] == "1800"
    assert answer.data["retry_after"] == 1800
    assert answer.data["locked_until"] == NOW + timedelta(minutes=30)


def test_attempts_while_locked_neither_hash_nor_extend(api, alice, hashes):
    with time_machine.travel(NOW, tick=False) as clock:
        lock(api)
        assert hashes.call_count == 5
        clock.shift(timedelta(minutes=29))
        assert sign(api, password="wrong").data["locked_until"] == NOW + timedelta(minutes=30)
        assert sign(api).status_code == 429
        assert hashes.call_count == 5
        clock.shift(timedelta(minutes=1))
        assert sign(api).status_code == 200


def test_a_failure_is_forgotten_half_an_hour_after_the_last(api, alice):
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(4):
            sign(api, password="wrong")
        clock.shift(timedelta(minutes=30))
        for _ in range(4):
            assert sign(api, password="wrong").status_code == 401
        clock.shift(timedelta(minutes=29))
        assert sign(api, password="wrong").status_code == 401
        assert sign(api).status_code == 429


def test_success_resets(api, alice):
    for _ in range(3):
        for _ in range(4):
            assert sign(api, password="wrong").status_code == 401
        assert sign(api).status_code == 200
    assert not LoginCounter.objects.exists()


def test_name_and_address_share_one_counter(api, alice):
    for username in ("alice", "alice@example.com", "ALICE", "Alice@Example.com", "ａｌｉｃｅ"):
        assert sign(api, username, "wrong").status_code == 401
    assert sign(api, "alice@example.com").status_code == 429


def test_the_user_mirrors_the_counter(api, alice):
    with time_machine.travel(NOW, tick=False):
        sign(api, password="wrong")
        alice.refresh_from_db()
        assert (alice.login_attempts, alice.locked_until) == (1, None)
        for _ in range(4):
            sign(api, password="wrong")
        alice.refresh_from_db()
        assert (alice.login_attempts, alice.locked_until) == (5, NOW + timedelta(minutes=30))
        lockout.unlock(alice.pk)
        alice.refresh_from_db()
        assert (alice.login_attempts, alice.locked_until) == (0, None)
        assert sign(api).status_code == 200


def test_no_row_names_anybody(api, alice):
    sign(api, "alice", "wrong")
    sign(api, "nobody", "wrong")
    keys = LoginCounter.objects.values_list("key", flat=True)
    assert len(keys) == 2
    assert all(len(key) == 64 and int(key, 16) for key in keys)


def test_the_owner_is_told_of_the_lockout(api, alice, run_tasks, mailoutbox, events):
    lock(api)
    sign(api)
    run_tasks()
    assert [message.to for message in mailoutbox] == [["alice@example.com"]]
    assert events == ["login_failed"] * 5 + ["lockout"]


def test_a_remembered_device_has_a_counter_of_its_own(api, alice):
    remembered = sign(api).data["device_token"]
    lock(api)
    assert sign(api).status_code == 429
    answer = sign(api, device_token=remembered)
    assert answer.status_code == 200
    assert sign(api).status_code == 429, "a stranger gets no new guesses from it"
    renewed = answer.data["device_token"]
    for _ in range(5):
        assert sign(api, password="wrong", device_token=renewed).status_code == 401
    assert sign(api, device_token=renewed).status_code == 429
    assert sign(api, device_token=remembered).status_code == 429, "a renewed token is the same device"


def test_a_device_token_is_tied_to_account_and_password(api, alice, bob):
    of_bob = sign(api, "bob").data["device_token"]
    of_alice = sign(api).data["device_token"]
    lock(api)
    assert sign(api, device_token=of_bob).status_code == 429
    assert sign(api, device_token=of_alice[:-2] + "xx").status_code == 429
    assert sign(api, device_token="garbage").status_code == 429
    alice.refresh_from_db()
    alice.set_password("another password 9")
    alice.save()  # which also lifts the lockout
    lock(api)
    assert sign(api, password="another password 9", device_token=of_alice).status_code == 429


def test_raising_the_version_voids_device_tokens(api, alice):
    remembered = sign(api).data["device_token"]
    lock(api)
    User.objects.update(device_token_version=1)
    assert sign(api, device_token=remembered).status_code == 429


@pytest.mark.parametrize("keep_current", [True, False])
def test_logging_out_everywhere_voids_device_tokens(api, alice, keep_current, django_capture_on_commit_callbacks):
    answer = sign(api)
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.data['access']}")
    with django_capture_on_commit_callbacks(execute=True):
        assert api.post("/api/auth/logout-all/", {"keep_current": keep_current}).status_code == 200
    api.credentials()
    lock(api)
    assert sign(api, device_token=answer.data["device_token"]).status_code == 429


def test_an_old_hash_is_upgraded(api, alice, settings):
    User.objects.update(password=make_password(PASSWORD, hasher="pbkdf2_sha256"))
    settings.PASSWORD_HASHERS = [
        "common.passwords.Argon2Hasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]  # fmt: skip
    assert sign(api).status_code == 200
    assert User.objects.get(username="alice").password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert sign(api).status_code == 200


@override_settings(EMAIL_VERIFICATION="mandatory")
def test_where_verification_is_mandatory_the_right_password_is_403(api, person):
    dora = person("dora", email_verified=False)
    answer = sign(api, "dora")
    assert (answer.status_code, answer.data["code"]) == (403, "email_not_verified")
    assert answer.data["action"] == "verify_email"
    assert sign(api, "dora", "wrong").data["code"] == "no_active_account"
    assert sign(api, "dora").data["code"] == "email_not_verified"  # which resets the failures like any right password
    dora.refresh_from_db()
    assert dora.login_attempts == 0
    User.objects.filter(pk=dora.pk).update(email_verified=True)
    assert sign(api, "dora").status_code == 200


def test_a_name_cannot_catch_the_address_of_somebody_else(api, alice, bob):
    User.objects.filter(pk=bob.pk).update(username="alice@example.com", username_key="allce@example.com")
    assert sign(api, "alice@example.com").data["user"]["id"] == alice.pk


def test_a_password_that_changes_during_the_check_ends_the_login(api, alice):
    def change(*args, **kwargs):
        User.objects.update(password=make_password("new and better 5"))
        return True, False

    with mock.patch.object(check.passwords, "verify", side_effect=change):
        assert sign(api).status_code == 401


def test_thirty_logins_a_minute_from_one_address(api, alice):
    with time_machine.travel(NOW, tick=False) as clock:
        for number in range(30):
            assert sign(api, f"nobody{number}", "x").status_code == 401
        for forged in ({"HTTP_X_FORWARDED_FOR": "9.9.9.9"}, {"HTTP_X_REAL_IP": "9.9.9.9"}, {}):
            answer = api.post(URL, {"username": "alice", "password": PASSWORD}, **forged)
            assert (answer.status_code, answer.data["code"]) == (429, "throttled")
        clock.shift(timedelta(seconds=61))
        assert sign(api).status_code == 200


def test_an_admin_cookie_does_not_disturb_a_login(alice, admin_person):
    from rest_framework.test import APIClient

    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(admin_person)
    assert sign(browser).data["user"]["id"] == alice.pk


@pytest.mark.parametrize("limit", [1, 3, 0])
def test_the_limit_is_a_setting_and_0_is_none(api, alice, limit):
    with override_settings(LOCKOUT_ATTEMPTS=limit):
        for _ in range(limit or 10):
            assert sign(api, password="wrong").status_code == 401
        assert sign(api).status_code == (429 if limit else 200)


class TestDjangosOwnSignIn:
    """`authenticate()`, as the admin calls it."""

    def test_it_is_under_the_same_lockout(self, api, client, alice, hashes):
        assert client.login(username="alice", password=PASSWORD)
        lock(api)
        assert not client.login(username="alice", password=PASSWORD)
        assert hashes.call_count == 6

    def test_its_failures_count(self, api, client, alice):
        for _ in range(5):
            assert not client.login(username="alice", password="wrong")
        assert sign(api).status_code == 429


def test_a_login_takes_few_statements(api, alice, django_assert_max_num_queries):
    """Look-up, attempt, second factor; person and devices, session, person, counter, event; begin and end."""
    for _ in range(2):
        with django_assert_max_num_queries(11):
            assert sign(api).status_code == 200
    for _ in range(2):
        with django_assert_max_num_queries(16):
            assert sign(api, device_fingerprint="phone-1").status_code == 200
