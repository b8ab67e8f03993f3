"""Two requests that meet: what a thief sent just before the owner ended the session writes nothing after it."""

import pytest

from common.client import Client
from sessions.services import lifecycle
from users.factors import reauthentication
from users.factors.models import Passkey, SocialLink, TotpFactor
from users.flows import profile
from users.models import User
from users.passwords import check
from users.tests.factors import Authenticator, code_at
from users.tests.letters_read import recipients
from users.tests.test_new_password import NEW, OLD
from users.tests.test_social import issuer  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db
FACTORS = "/api/auth/factors/"


@pytest.fixture(autouse=True)
def site(settings, tmp_path):
    settings.RP_ID, settings.PASSKEY_ORIGINS = "localhost", ["http://localhost:8000"]
    settings.SMS_URL = f"file://{tmp_path}/sms"


@pytest.fixture
def after(monkeypatch):
    """`after(module, name, act)`: do `act` once, right after the function has let a request pass."""

    def after(module, name, act):
        real, done = getattr(module, name), []

        def passes(*args, **kwargs):
            answer = real(*args, **kwargs)
            if not done:
                done.append(True)
                act()
            return answer

        monkeypatch.setattr(module, name, passes)

    return after


def reset():
    alice = User.objects.get(username="alice")
    alice.set_password(NEW)
    alice.save()


def sign_out():
    lifecycle.revoke_all(user_id=User.objects.get(username="alice").pk, reason="logout_all")


def add_passkey(api, issuer):  # noqa: F811
    options = api.post(f"{FACTORS}passkeys/options/").data
    return lambda: api.post(f"{FACTORS}passkeys/", {"credential": Authenticator().create(options)})


def link(api, issuer):  # noqa: F811
    return lambda: api.post(f"{FACTORS}social/acme/", {"id_token": issuer.token(sub="thief")})


def enrol(api, issuer):  # noqa: F811
    secret = api.post(f"{FACTORS}totp/").data["secret"]
    return lambda: api.post(f"{FACTORS}totp/confirm/", {"code": code_at(secret)})


def new_number(api, issuer):  # noqa: F811
    return lambda: api.patch("/api/users/me/", {"phone_number": "+33612345678"})


@pytest.mark.parametrize("end", [reset, sign_out])
@pytest.mark.parametrize("begin", [add_passkey, link, enrol, new_number])
def test_what_is_added_by_a_session_that_has_just_ended_is_refused(alice_api, issuer, after, begin, end):  # noqa: F811
    send = begin(alice_api, issuer)
    after(reauthentication, "require_fresh", end)
    answer = send()
    assert (answer.status_code, answer.data["code"], answer.data["reason"]) == (
        401,
        "token_not_valid",
        "session_revoked",
    )
    assert not Passkey.objects.exists()
    assert not SocialLink.objects.exists()
    assert not TotpFactor.objects.filter(confirmed_at__isnull=False).exists()
    assert User.objects.get(username="alice").phone_number == ""


def test_what_is_removed_by_a_session_that_has_just_ended_stays(alice_api, issuer, after, alice):  # noqa: F811
    alice_api.post(f"{FACTORS}social/acme/", {"id_token": issuer.token(sub="alice")})
    after(reauthentication, "require_fresh", sign_out)
    assert alice_api.delete(f"{FACTORS}social/acme/").status_code == 401
    assert SocialLink.objects.filter(user=alice).exists()


@pytest.mark.parametrize("end", [reset, sign_out])
def test_an_address_change_that_meets_the_end_of_its_session_mails_no_link(alice_api, after, end, run_tasks):
    """Its password was right when it was checked, and hashing takes long: the link would be of after the reset."""
    after(check, "require", end)
    answer = alice_api.post("/api/auth/email-change/", {"new_email": "thief@example.com", "password": OLD})
    assert answer.status_code == 401
    run_tasks()
    assert "thief@example.com" not in recipients()


def test_an_account_is_not_closed_by_a_password_that_has_just_been_replaced(alice, api, after):
    api.force_authenticate(alice)  # as the admin's cookie does: no session
    after(check, "require", reset)
    answer = api.delete("/api/users/me/", {"password": OLD})
    assert answer.data["errors"]["password"][0]["code"] == "invalid_password"
    assert User.objects.get(username="alice").closed_at is None


def test_a_number_is_verified_by_its_own_code_alone_whatever_else_is_written(alice, monkeypatch, after):
    """A change of the name read the account while another number was verified; the new number comes meanwhile."""
    mine, other = "+33612345678", "+33687654321"
    User.objects.filter(pk=alice.pk).update(phone_number=mine, phone_verified=True)
    after(profile.register, "require_free", lambda: User.objects.filter(pk=alice.pk).update(
        phone_number=other, phone_verified=False
    ))  # fmt: skip
    profile.update(user_id=alice.pk, changes={"username": "alicia"}, sid=None, client=Client())
    alice.refresh_from_db()
    assert (alice.username, alice.phone_number, alice.phone_verified) == ("alicia", other, False)
