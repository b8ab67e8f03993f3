"""Fresh proof: who asks for it, what gives it, and that a stolen old session gets nothing."""

from datetime import UTC, datetime

import jwt
import pytest
import time_machine
from rest_framework.test import APIClient

from sessions.models import UserSession
from users.models import SecurityEvent, User
from users.tests.factors import code_at

pytestmark = pytest.mark.django_db
PASSWORD = "alviar-demo"
URL = "/api/auth/reauthenticate/"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)

ASKING = [
    ("post", "/api/auth/factors/totp/", {}),
    ("post", "/api/auth/factors/totp/confirm/", {"code": "123456"}),
    ("delete", "/api/auth/factors/totp/", {}),
    ("post", "/api/auth/factors/recovery-codes/", {}),
    ("post", "/api/auth/factors/passkeys/options/", {}),
    ("post", "/api/auth/factors/passkeys/", {"credential": {"response": {}}}),
    ("delete", "/api/auth/factors/passkeys/4c9ee6d5-3b4e-4e8b-8c0f-3a3a3a3a3a3a/", {}),
    ("post", "/api/auth/factors/social/google/", {"id_token": "x"}),
    ("delete", "/api/auth/factors/social/google/", {}),
    ("post", "/api/users/me/phone/", {"phone_number": "+33612345678"}),
    ("post", "/api/users/me/phone/confirm/", {"challenge": "x", "code": "123456"}),
    ("patch", "/api/users/me/", {"phone_number": "+33612345678"}),
    ("get", "/api/users/me/export/", {}),
]


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def old(clock, alice_api):
    """Alice's session, sixteen minutes later."""
    clock.shift(16 * 60)
    return alice_api


def refused(answer, code, status):
    assert (answer.status_code, answer.data["code"]) == (status, code), answer.data
    return answer.data


@pytest.mark.parametrize(("method", "path", "body"), ASKING)
def test_an_old_session_is_asked_first(old, method, path, body):
    said = refused(getattr(old, method)(path, body), "reauthentication_required", 403)
    assert (said["action"], said["methods"]) == ("reauthenticate", ["password"])


@pytest.mark.parametrize(("method", "path", "body"), ASKING)
def test_a_request_without_a_session_has_proved_nothing(alice, method, path, body):
    client = APIClient()
    client.force_authenticate(alice)
    refused(getattr(client, method)(path, body), "reauthentication_required", 403)


@pytest.mark.parametrize(("method", "path", "body"), ASKING)
def test_a_fresh_session_is_let_through_to_the_call_itself(alice_api, method, path, body):
    answer = getattr(alice_api, method)(path, body)
    assert (answer.data or {}).get("code") != "reauthentication_required"
    assert answer.status_code < 500


def test_what_is_no_secret_needs_no_fresh_proof(old):
    assert old.get("/api/auth/factors/").status_code == 200
    assert old.patch("/api/users/me/", {"first_name": "Alice", "phone_number": ""}).status_code == 200


def test_the_password_makes_it_fresh_by_a_token_of_the_same_session(old, alice):
    answer = old.post(URL, {"password": PASSWORD})
    assert answer.status_code == 200
    assert set(answer.data) == {"access", "access_expires_in", "auth_time", "amr"}
    claims = jwt.decode(answer.data["access"], options={"verify_signature": False})
    assert claims["sid"] == str(old.started.user_session.session_token)
    assert (claims["auth_time"], claims["amr"]) == (int(answer.data["auth_time"].timestamp()), ["pwd"])
    assert old.get("/api/users/me/export/").status_code == 200  # the row decides, not the token
    new = APIClient()
    new.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.data['access']}")
    assert new.get("/api/users/me/").status_code == 200
    event = SecurityEvent.objects.get(kind="reauthenticated")
    assert (event.session_id, event.detail) == (old.started.user_session.session_token, {"amr": ["pwd"]})


def test_it_is_fresh_for_a_quarter_of_an_hour(old, clock):
    old.post(URL, {"password": PASSWORD})
    clock.shift(899)
    assert old.get("/api/users/me/export/").status_code == 200
    clock.shift(2)
    refused(old.get("/api/users/me/export/"), "reauthentication_required", 403)


def test_nobody_is_mailed_for_it(old, run_tasks, mailoutbox):
    old.post(URL, {"password": PASSWORD})
    run_tasks()
    assert mailoutbox == []


def test_a_wrong_password_makes_nothing_fresh(old):
    said = refused(old.post(URL, {"password": "wrong"}), "validation_error", 400)
    assert said["errors"]["password"][0]["code"] == "invalid_password"
    refused(old.get("/api/users/me/export/"), "reauthentication_required", 403)


def test_five_wrong_passwords_make_the_session_wait(old):
    for _ in range(5):
        refused(old.post(URL, {"password": "wrong"}), "validation_error", 400)
    refused(old.post(URL, {"password": PASSWORD}), "account_locked", 429)


@pytest.mark.parametrize(
    "body",
    [{}, {"password": ""}, {"password": 5}, {"code": 5}, {"credential": "x"}, {"credential": {}},
     {"provider": "google"}, {"id_token": "x"}, {"password": None, "code": None}],
)  # fmt: skip
def test_what_proves_nothing_is_a_validation_error(old, body):
    refused(old.post(URL, body), "validation_error", 400)


def test_a_code_where_no_second_factor_is_on_is_wrong(old):
    refused(old.post(URL, {"code": "123456"}), "invalid_code", 400)


def test_nobody_signed_in_is_not_authenticated(api):
    refused(api.post(URL, {"password": PASSWORD}), "not_authenticated", 401)


class TestWithASecondFactor:
    @pytest.fixture
    def secret(self, clock, alice_api):
        secret = alice_api.post("/api/auth/factors/totp/").data["secret"]
        codes = alice_api.post("/api/auth/factors/totp/confirm/", {"code": code_at(secret)})
        self.codes = codes.data["recovery_codes"]
        clock.shift(16 * 60)
        return secret

    def test_the_password_alone_is_not_enough(self, secret, alice_api):
        said = refused(alice_api.post(URL, {"password": PASSWORD}), "reauthentication_required", 403)
        assert said["methods"] == ["totp", "recovery_code"]
        assert not SecurityEvent.objects.filter(kind="reauthenticated").exists()

    def test_a_code_makes_it_fresh(self, secret, alice_api):
        answer = alice_api.post(URL, {"code": code_at(secret)})
        assert (answer.status_code, answer.data["amr"]) == (200, ["pwd", "otp", "mfa"])
        assert alice_api.delete("/api/auth/factors/totp/").status_code == 204

    def test_a_recovery_code_does_too_and_is_spent(self, secret, alice_api):
        assert alice_api.post(URL, {"code": self.codes[0]}).status_code == 200
        refused(alice_api.post(URL, {"code": self.codes[0]}), "invalid_code", 400)

    def test_a_session_of_before_knows_one_factor_and_is_never_fresh(self, secret, sign_in, alice):
        other = sign_in(alice)
        refused(other.get("/api/users/me/export/"), "reauthentication_required", 403)
        assert other.post(URL, {"code": code_at(secret)}).status_code == 200
        assert other.get("/api/users/me/export/").status_code == 200

    def test_wrong_codes_are_counted_in_the_session(self, secret, alice_api):
        for _ in range(5):
            refused(alice_api.post(URL, {"code": "000000"}), "invalid_code", 400)
        refused(alice_api.post(URL, {"code": code_at(secret)}), "account_locked", 429)


class TestWithoutAPassword:
    @pytest.fixture
    def bare(self, clock, alice, sign_in):
        alice.set_unusable_password()
        alice.save()
        return sign_in(User.objects.get(pk=alice.pk))

    def test_closing_needs_a_fresh_session(self, bare, clock):
        clock.shift(16 * 60)
        refused(bare.delete("/api/users/me/"), "reauthentication_required", 403)
        UserSession.objects.update(authenticated_at=datetime.now(UTC))
        assert bare.delete("/api/users/me/").status_code == 204

    def test_so_does_another_address(self, bare, clock):
        assert bare.post("/api/auth/email-change/", {"new_email": "new@example.com"}).status_code == 200
        clock.shift(16 * 60)
        refused(
            bare.post("/api/auth/email-change/", {"new_email": "new@example.com"}), "reauthentication_required", 403
        )


def test_calls_that_carry_the_password_prove_themselves_by_it(old, alice_api):
    body = {"new_email": "new@example.com", "password": PASSWORD}
    assert old.post("/api/auth/email-change/", body).status_code == 200
    refused(old.delete("/api/users/me/"), "validation_error", 400)
    assert old.delete("/api/users/me/", {"password": PASSWORD}).status_code == 204
