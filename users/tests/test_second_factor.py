"""The second factor: an authenticator app, recovery codes, and what a login asks for once it is on."""

from datetime import UTC, datetime
from unittest import mock

import jwt
import pytest
import time_machine
from django.db import OperationalError

from common.errors import MfaRequired
from sessions.models import UserSession
from sessions.tokens import sealing
from users.factors.models import Challenge, RecoveryCode, TotpFactor
from users.models import LoginCounter, SecurityEvent, User
from users.tests.factors import code_at

pytestmark = pytest.mark.django_db
PASSWORD = "alviar-demo"
TOTP, CONFIRM = "/api/auth/factors/totp/", "/api/auth/factors/totp/confirm/"
LOGIN, MFA, FACTORS = "/api/auth/login/", "/api/auth/mfa/", "/api/auth/factors/"
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture
def clock():
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def enrolled(clock, alice_api):
    """Alice with the app on; returns its secret and her recovery codes. The next step is free."""
    secret = alice_api.post(TOTP).data["secret"]
    codes = alice_api.post(CONFIRM, {"code": code_at(secret)}).data["recovery_codes"]
    clock.shift(30)
    return secret, codes


def ask(api, **more):
    answer = api.post(LOGIN, {"username": "alice", "password": PASSWORD, **more})
    assert (answer.status_code, answer.data["code"], answer.data["action"]) == (401, "mfa_required", "mfa")
    return answer.data["mfa_token"]


def refused(answer, code, status=400):
    assert (answer.status_code, answer.data["code"]) == (status, code), answer.data
    return answer.data


def kinds():
    return list(SecurityEvent.objects.order_by("at", "pk").values_list("kind", flat=True))


# --- Turning it on ----------------------------------------------------------------------------------------------------


def test_enrolment_shows_a_secret_an_address_and_a_picture(clock, alice_api):
    shown = alice_api.post(TOTP).data
    assert shown["otpauth_url"].startswith("otpauth://totp/Alviar:alice%40example.com?secret=" + shown["secret"])
    assert shown["qr_svg"].startswith("<svg")
    assert shown["qr_svg"].endswith("</svg>")
    assert alice_api.get(FACTORS).data["totp"] is None
    assert alice_api.post(LOGIN, {"username": "alice", "password": PASSWORD}).status_code == 200


def test_a_first_code_turns_it_on_and_shows_ten_recovery_codes(enrolled, alice_api, api, run_tasks, mailoutbox):
    _secret, codes = enrolled
    shown = alice_api.get(FACTORS).data
    assert len(set(codes)) == 10
    assert (shown["totp"], shown["recovery_codes_left"], shown["password"]) == ({"created_at": NOW}, 10, True)
    assert (shown["passkeys"], shown["social"]) == ([], [])
    run_tasks()
    assert [mail.subject for mail in mailoutbox] == ["Your second factor is on · Alviar"]
    assert kinds() == ["mfa_enabled"]
    ask(api)


@pytest.mark.parametrize("code", ["000000", "12345", "1234567", "abcdef", "½¾¼½¾¼", "²²²²²²", "-" * 64])
def test_a_wrong_first_code_turns_nothing_on(clock, alice_api, code):
    alice_api.post(TOTP)
    refused(alice_api.post(CONFIRM, {"code": code}), "invalid_code")
    assert alice_api.get(FACTORS).data["totp"] is None


def test_five_wrong_first_codes_lock_the_confirming_of_an_enrolment(clock, alice_api):
    secret = alice_api.post(TOTP).data["secret"]
    for _ in range(5):
        assert alice_api.post(CONFIRM, {"code": "000000"}).data["code"] == "invalid_code"
    answer = alice_api.post(CONFIRM, {"code": code_at(secret)})
    assert (answer.status_code, answer.data["code"]) == (429, "account_locked")  # and documented, as conftest holds


@pytest.mark.parametrize(
    "body", [{}, {"code": ""}, {"code": 123456}, {"code": ["1"]}, {"code": "1" * 65}, {"code": None}]
)
def test_what_is_no_code_is_a_validation_error(clock, alice_api, body):
    alice_api.post(TOTP)
    refused(alice_api.post(CONFIRM, body), "validation_error")


def test_a_code_without_an_enrolment_or_an_hour_later_is_refused(clock, alice_api):
    refused(alice_api.post(CONFIRM, {"code": "123456"}), "invalid_code")
    secret = alice_api.post(TOTP).data["secret"]
    clock.shift(901)
    UserSession.objects.update(authenticated_at=datetime.now(UTC))
    refused(alice_api.post(CONFIRM, {"code": code_at(secret)}), "invalid_code")


def test_beginning_again_while_it_is_on_changes_nothing_until_confirmed(enrolled, alice_api, api):
    secret, _codes = enrolled
    alice_api.post(TOTP)
    assert api.post(MFA, {"mfa_token": ask(api), "code": code_at(secret)}).status_code == 200


def test_the_secret_rests_sealed_for_its_owner_alone(enrolled, alice, bob):
    secret, codes = enrolled
    row = TotpFactor.objects.get()
    assert secret not in row.secret
    assert row.pending_secret == ""
    assert sealing.unseal(row.secret, context=f"totp:{alice.pk}") == secret
    with pytest.raises(sealing.Unreadable):
        sealing.unseal(row.secret, context=f"totp:{bob.pk}")
    assert not RecoveryCode.objects.filter(digest__in=codes).exists()


def test_the_session_that_turned_it_on_counts_as_proved_by_both(enrolled, alice_api, sign_in, alice):
    assert UserSession.objects.get().amr == ["pwd", "otp", "mfa"]
    assert alice_api.post("/api/auth/factors/recovery-codes/").status_code == 200


# --- Signing in -------------------------------------------------------------------------------------------------------


def test_a_login_asks_for_it_and_starts_no_session(enrolled, api):
    before = UserSession.objects.count()
    answer = api.post(LOGIN, {"username": "alice", "password": PASSWORD})
    assert answer.data["methods"] == ["totp", "recovery_code"]
    assert answer.data["expires_in"] == 300
    assert "access" not in answer.data
    assert UserSession.objects.count() == before
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert not Challenge.objects.filter(digest=answer.data["mfa_token"]).exists()


def test_a_wrong_password_does_not_tell_that_it_is_on(enrolled, api):
    refused(api.post(LOGIN, {"username": "alice", "password": "wrong"}), "no_active_account", 401)


def test_the_code_finishes_the_login_as_it_was_asked_for(enrolled, api):
    token = ask(api, device_name="Alice's phone", remember_me=True, device_fingerprint="fp-1")
    answer = api.post(MFA, {"mfa_token": token, "code": code_at(enrolled[0])})
    assert answer.status_code == 200
    assert {"access", "refresh", "user", "session", "device_token"} <= set(answer.data)
    session = answer.data["session"]
    assert (session["device_name"], session["remember_me"], session["amr"]) == (
        "Alice's phone", True, ["pwd", "otp", "mfa"],
    )  # fmt: skip
    claims = jwt.decode(answer.data["access"], options={"verify_signature": False})
    assert claims["amr"] == ["pwd", "otp", "mfa"]
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("zero", ["٠", "۰", "०", "０"])
def test_the_digits_of_any_script_are_digits(enrolled, api, zero):
    code = "".join(chr(ord(zero) + int(digit)) for digit in code_at(enrolled[0]))
    assert api.post(MFA, {"mfa_token": ask(api), "code": f" {code[:3]} {code[3:]} "}).status_code == 200


@pytest.mark.parametrize(("steps", "status"), [(-2, 400), (-1, 400), (0, 200), (1, 200), (2, 400)])
def test_a_clock_may_be_half_a_minute_off_but_no_step_counts_twice(enrolled, api, steps, status):
    # the step before was taken by the enrolment
    assert api.post(MFA, {"mfa_token": ask(api), "code": code_at(enrolled[0], steps)}).status_code == status


def test_a_code_opens_once(enrolled, api):
    code = code_at(enrolled[0])
    assert api.post(MFA, {"mfa_token": ask(api), "code": code}).status_code == 200
    refused(api.post(MFA, {"mfa_token": ask(api), "code": code}), "invalid_code")


def test_a_token_opens_once_and_not_after_five_minutes(enrolled, api, clock):
    token = ask(api)
    assert api.post(MFA, {"mfa_token": token, "code": code_at(enrolled[0])}).status_code == 200
    clock.shift(30)
    refused(api.post(MFA, {"mfa_token": token, "code": code_at(enrolled[0])}), "invalid_or_expired_token")
    late = ask(api)
    clock.shift(301)
    refused(api.post(MFA, {"mfa_token": late, "code": code_at(enrolled[0])}), "invalid_or_expired_token")


@pytest.mark.parametrize("token", ["x", "é", "a" * 4000, "0" * 43])
def test_an_unknown_token_is_refused(enrolled, api, token):
    refused(api.post(MFA, {"mfa_token": token, "code": "123456"}), "invalid_or_expired_token")


@pytest.mark.parametrize(
    "body",
    [{}, {"code": "123456"}, {"mfa_token": "x"}, {"mfa_token": 5, "code": "123456"}, {"mfa_token": "x", "code": 1},
     {"mfa_token": "x", "credential": "x"}, {"mfa_token": "x", "credential": []},
     {"mfa_token": "x", "credential": {"response": None}}],
)  # fmt: skip
def test_malformed_second_steps_are_validation_errors(enrolled, api, body):
    refused(api.post(MFA, body), "validation_error")


def test_five_wrong_codes_end_the_token_and_lock_the_account(enrolled, api):
    token = ask(api)
    for _ in range(5):
        refused(api.post(MFA, {"mfa_token": token, "code": "000000"}), "invalid_code")
    refused(api.post(MFA, {"mfa_token": token, "code": code_at(enrolled[0])}), "invalid_or_expired_token")
    refused(api.post(LOGIN, {"username": "alice", "password": PASSWORD}), "account_locked", 429)


def test_the_right_password_does_not_reset_wrong_codes(enrolled, api):
    for _ in range(4):
        refused(api.post(MFA, {"mfa_token": ask(api), "code": "000000"}), "invalid_code")
    token = ask(api)
    refused(api.post(MFA, {"mfa_token": token, "code": "000000"}), "invalid_code")
    refused(api.post(LOGIN, {"username": "alice", "password": PASSWORD}), "account_locked", 429)


def test_success_resets_the_failures(enrolled, api, clock):
    for _ in range(4):
        refused(api.post(MFA, {"mfa_token": ask(api), "code": "000000"}), "invalid_code")
    assert api.post(MFA, {"mfa_token": ask(api), "code": code_at(enrolled[0])}).status_code == 200
    assert not LoginCounter.objects.exists()
    assert User.objects.get().login_attempts == 0


def test_a_remembered_device_is_not_locked_out_by_strangers(enrolled, api, clock):
    first = api.post(MFA, {"mfa_token": ask(api), "code": code_at(enrolled[0])})
    for _ in range(5):
        api.post(LOGIN, {"username": "alice", "password": "wrong"})
    clock.shift(30)
    token = ask(api, device_token=first.data["device_token"])
    assert api.post(MFA, {"mfa_token": token, "code": code_at(enrolled[0])}).status_code == 200


def test_a_new_password_in_between_ends_the_second_step(enrolled, api, alice):
    token = ask(api)
    alice.set_password("another-long-password")
    User.objects.filter(pk=alice.pk).update(password=alice.password)
    refused(api.post(MFA, {"mfa_token": token, "code": code_at(enrolled[0])}), "invalid_or_expired_token")


def test_somebody_who_was_disabled_meanwhile_gets_no_session(enrolled, api):
    token = ask(api)
    User.objects.update(is_active=False)
    refused(api.post(MFA, {"mfa_token": token, "code": code_at(enrolled[0])}), "invalid_or_expired_token")


def test_another_persons_code_opens_nothing(enrolled, api, bob, sign_in):
    bobs = sign_in(bob)
    secret = bobs.post(TOTP).data["secret"]
    assert bobs.post(CONFIRM, {"code": code_at(secret)}).status_code == 200
    refused(api.post(MFA, {"mfa_token": ask(api), "code": code_at(secret, 1)}), "invalid_code")


def test_both_prefixes_answer(enrolled, api):
    token = ask(api)
    assert api.post("/api/users/auth/mfa/", {"mfa_token": token, "code": code_at(enrolled[0])}).status_code == 200


def test_a_reset_by_mail_does_not_remove_it(enrolled, api, alice):
    from users.mail import single_use
    from users.models import PasswordResetToken

    raw = single_use.issue(PasswordResetToken, alice)
    body = {"token": str(raw), "new_password": "a-quite-new-password", "new_password_confirm": "a-quite-new-password"}
    assert api.post("/api/auth/password-reset/confirm/", body).status_code == 200
    answer = api.post(LOGIN, {"username": "alice", "password": "a-quite-new-password"})
    refused(answer, "mfa_required", 401)


# --- Recovery codes ---------------------------------------------------------------------------------------------------


def test_a_recovery_code_opens_once_however_it_is_typed(enrolled, api, run_tasks, mailoutbox, alice_api):
    code = enrolled[1][0]
    typed = code.upper().replace("-", " ")
    assert api.post(MFA, {"mfa_token": ask(api), "code": typed}).status_code == 200
    refused(api.post(MFA, {"mfa_token": ask(api), "code": code}), "invalid_code")
    assert alice_api.get(FACTORS).data["recovery_codes_left"] == 9
    run_tasks()
    assert "A recovery code of your account was used · Alviar" in [mail.subject for mail in mailoutbox]
    assert SecurityEvent.objects.get(kind="recovery_code_used").detail == {"left": 9}


def test_new_codes_void_the_old_ones(enrolled, api, alice_api, run_tasks, mailoutbox):
    new = alice_api.post("/api/auth/factors/recovery-codes/").data["recovery_codes"]
    assert len(new) == 10
    assert not set(new) & set(enrolled[1])
    refused(api.post(MFA, {"mfa_token": ask(api), "code": enrolled[1][0]}), "invalid_code")
    assert api.post(MFA, {"mfa_token": ask(api), "code": new[0]}).status_code == 200
    assert "recovery_codes_made" in kinds()


def test_without_a_second_factor_there_is_nothing_to_recover(alice_api):
    refused(alice_api.post("/api/auth/factors/recovery-codes/"), "mfa_not_enabled", 409)


def test_when_all_are_used_the_method_is_no_longer_offered(enrolled, api):
    RecoveryCode.objects.update(used_at=NOW)
    answer = api.post(LOGIN, {"username": "alice", "password": PASSWORD})
    assert answer.data["methods"] == ["totp"]


# --- Turning it off ---------------------------------------------------------------------------------------------------


def test_turned_off_it_is_asked_for_no_more(enrolled, alice_api, api, run_tasks, mailoutbox):
    assert alice_api.delete(TOTP).status_code == 204
    assert api.post(LOGIN, {"username": "alice", "password": PASSWORD}).status_code == 200
    assert not RecoveryCode.objects.exists()
    run_tasks()
    assert "Your second factor is off · Alviar" in [mail.subject for mail in mailoutbox]
    refused(alice_api.delete(TOTP), "not_found", 404)


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_after_a_rotation_the_next_code_seals_the_secret_anew(enrolled, api, settings):
    old, new = "old:" + "o" * 40, "new:" + "n" * 40
    settings.JWT_SIGNING_KEYS = [old]
    TotpFactor.objects.update(secret=sealing.seal(enrolled[0], context=f"totp:{User.objects.get().pk}"))
    settings.JWT_SIGNING_KEYS = [new, old]
    assert api.post(MFA, {"mfa_token": ask(api), "code": code_at(enrolled[0])}).status_code == 200
    assert TotpFactor.objects.get().secret.startswith("new:")


def test_a_secret_whose_key_is_gone_is_a_wrong_code_never_a_500(enrolled, api, settings):
    settings.JWT_SIGNING_KEYS = ["another:" + "n" * 40]
    refused(api.post(MFA, {"mfa_token": ask(api), "code": code_at(enrolled[0])}), "invalid_code")
    assert api.post(MFA, {"mfa_token": ask(api), "code": enrolled[1][0]}).status_code == 200


def test_the_question_is_an_error_that_carries_what_a_client_needs():
    error = MfaRequired(mfa_token="t", methods=["totp"], expires_in=300)
    assert (error.status, error.extra["mfa_token"]) == (401, "t")


def test_a_rotation_moves_every_sealed_secret_before_the_old_key_may_go(enrolled, api, settings, tmp_path):
    from django.core.management import call_command

    ring = tmp_path / "ring"
    ring.write_text("old:" + "o" * 40 + "\n")
    settings.JWT_SIGNING_KEYS = [f"@{ring}"]
    alice = User.objects.get()
    TotpFactor.objects.update(secret=sealing.seal(enrolled[0], context=f"totp:{alice.pk}"))
    call_command("rotate_signing_key", kid="new")
    assert TotpFactor.objects.get().secret.startswith("new:")
    call_command("rotate_signing_key", remove="old")
    assert sealing.unseal(TotpFactor.objects.get().secret, context=f"totp:{alice.pk}") == enrolled[0]


def test_what_no_key_opens_is_counted_and_left(enrolled, settings, capsys):
    from django.core.management import call_command

    before = TotpFactor.objects.get().secret
    settings.JWT_SIGNING_KEYS = ["another:" + "n" * 40]
    call_command("reseal_secrets")
    assert TotpFactor.objects.get().secret == before
    assert "1 secrets" in capsys.readouterr().err


def test_a_right_code_costs_nothing_while_the_database_fails(enrolled, alice_api, clock):
    secret, _codes = enrolled
    broken = mock.patch("users.factors.reauthentication.assurance.prove", side_effect=OperationalError)
    with broken:
        for _ in range(5):
            answer = alice_api.post("/api/auth/reauthenticate/", {"password": PASSWORD, "code": code_at(secret)})
            assert answer.status_code == 503
    assert not LoginCounter.objects.filter(failures__gt=0).exists()
    answer = alice_api.post("/api/auth/reauthenticate/", {"password": PASSWORD, "code": code_at(secret)})
    assert answer.status_code == 200


def test_a_first_code_costs_nothing_while_the_database_fails(clock, alice_api):
    secret = alice_api.post(TOTP).data["secret"]
    with mock.patch("users.factors.totp.recovery_codes.replace", side_effect=OperationalError):
        for _ in range(5):
            assert alice_api.post(CONFIRM, {"code": code_at(secret)}).status_code == 503
    assert alice_api.post(CONFIRM, {"code": code_at(secret)}).status_code == 200


def test_a_login_costs_nothing_while_the_second_factor_cannot_be_read(alice, api):
    with mock.patch("users.flows.login.second_factor.is_on", side_effect=OperationalError):
        assert api.post(LOGIN, {"username": "alice", "password": PASSWORD}).status_code == 503
    assert not LoginCounter.objects.filter(failures__gt=0).exists()
