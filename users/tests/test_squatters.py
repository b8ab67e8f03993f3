"""Somebody registers with another person's address and prepares: what the owner's first proof of the address ends."""

import pytest

from users.factors.models import Passkey, SocialLink
from users.models import SecurityEvent, User
from users.tests.factors import Authenticator, code_at
from users.tests.letters_read import link_token
from users.tests.test_in_flight import site  # noqa: F401 - a fixture
from users.tests.test_new_password import NEW
from users.tests.test_passkeys import add, sign_in_by
from users.tests.test_social import issuer  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db
RESET = "/api/auth/password-reset/"


@pytest.fixture
def device():
    return Authenticator()


@pytest.fixture
def prepared(alice_api, issuer, device):  # noqa: F811
    """The squatter's passkey and account elsewhere; `alice@example.com` has not been confirmed."""
    add(alice_api, device)
    alice_api.post("/api/auth/factors/social/acme/", {"id_token": issuer.token(sub="squatter")})
    return device


def reset(api, run_tasks, mailoutbox):
    api.post(RESET, {"email": "alice@example.com"})
    run_tasks()
    index = next(n for n, mail in enumerate(mailoutbox) if "reset-password/#token=" in mail.body)
    body = {"token": link_token(index), "new_password": NEW, "new_password_confirm": NEW}
    assert api.post(f"{RESET}confirm/", body).status_code == 200
    mailoutbox.clear()
    run_tasks()


def test_a_reset_that_first_proves_the_address_ends_the_squatters_ways_in(
    prepared, api, alice, issuer, run_tasks, mailoutbox  # noqa: F811
):  # fmt: skip
    User.objects.update(email_verified=False)
    reset(api, run_tasks, mailoutbox)
    assert not Passkey.objects.exists()
    assert not SocialLink.objects.exists()
    assert sign_in_by(api, prepared).data["code"] == "invalid_code"
    body = {"id_token": issuer.token(sub="squatter", email="squatter@example.com")}
    answer = api.post("/api/auth/social/acme/", body)
    assert answer.data["user"]["id"] != alice.pk
    told = {event.kind: event.detail.get("reason") for event in SecurityEvent.objects.filter(user=alice)}
    assert (told["passkey_removed"], told["social_unlinked"]) == ("unproved", "unproved")
    assert any("before your address had been confirmed" in mail.body for mail in mailoutbox)


def test_an_owner_who_had_proved_the_address_keeps_them_and_is_reminded(prepared, api, run_tasks, mailoutbox):
    User.objects.update(email_verified=True)
    reset(api, run_tasks, mailoutbox)
    assert (Passkey.objects.count(), SocialLink.objects.count()) == (1, 1)
    (mail,) = [mail for mail in mailoutbox if "password was changed" in mail.subject]
    assert "Passkeys and linked accounts still sign in" in mail.body


def test_a_reset_never_removes_a_second_factor(prepared, alice_api, api, run_tasks, mailoutbox):
    User.objects.update(email_verified=False)
    secret = alice_api.post("/api/auth/factors/totp/").data["secret"]
    assert alice_api.post("/api/auth/factors/totp/confirm/", {"code": code_at(secret)}).status_code == 200
    reset(api, run_tasks, mailoutbox)
    assert Passkey.objects.count() == 1
    assert api.post("/api/auth/login/", {"username": "alice", "password": NEW}).data["code"] == "mfa_required"


def test_a_mailed_code_says_when_nobody_has_confirmed_the_address(alice, api, run_tasks, mailoutbox, settings):
    said = "whoever opened it knows the present one"
    settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, "0")
    for verified in (False, True):
        User.objects.update(email_verified=verified)
        api.post("/api/auth/email-code/", {"email": "alice@example.com"})
        run_tasks()
        assert (said in " ".join(mailoutbox[-1].body.split())) is not verified


def test_accounts_from_elsewhere_count_in_the_mails_to_an_unproved_address(
    issuer, api, db, run_tasks, mailoutbox, settings  # noqa: F811
):  # fmt: skip
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "mail_target": "2/h"}
    for number in range(4):
        body = {"id_token": issuer.token(sub=f"s{number}", email="stranger@example.com", email_verified=False)}
        assert api.post("/api/auth/social/acme/", body).status_code == 201
        run_tasks()
        User.objects.update(email="")  # as by closing it
    assert len([mail for mail in mailoutbox if mail.to == ["stranger@example.com"]]) == 2


def test_who_loses_a_verified_number_is_told(alice_api, alice, run_tasks, mailoutbox):
    User.objects.update(phone_number="+33612345678", phone_verified=True)
    assert alice_api.patch("/api/users/me/", {"phone_number": ""}).data["phone_verified"] is False
    assert alice_api.patch("/api/users/me/", {"phone_number": "+33687654321"}).status_code == 200
    run_tasks()
    assert SecurityEvent.objects.filter(kind="phone_changed").count() == 1
    (mail,) = [mail for mail in mailoutbox if "phone number" in mail.subject]
    assert "was taken off your account" in mail.body
