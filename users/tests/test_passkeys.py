"""Passkeys: made, used as both factors or as the second one, renamed, removed; and every way to cheat with them."""

import copy
from datetime import UTC, datetime

import pytest
import time_machine

from users.factors.models import Challenge, Passkey
from users.models import SecurityEvent, User
from users.tests.factors import Authenticator, code_at

pytestmark = pytest.mark.django_db
PASSWORD = "alviar-demo"
NEW, ADD = "/api/auth/factors/passkeys/options/", "/api/auth/factors/passkeys/"
OPTIONS, SIGN_IN = "/api/auth/passkey/options/", "/api/auth/passkey/"


@pytest.fixture(autouse=True)
def site(settings):
    settings.RP_ID, settings.PASSKEY_ORIGINS = "localhost", ["http://localhost:8000"]


@pytest.fixture
def device():
    return Authenticator()


def add(client, device, **more):
    return client.post(ADD, {"credential": device.create(client.post(NEW).data), **more})


def sign_in_by(api, device, **more):
    return api.post(SIGN_IN, {"credential": device.get(api.post(OPTIONS).data), **more})


def refused(answer, code, status=400):
    assert (answer.status_code, answer.data["code"]) == (status, code), answer.data
    return answer.data


# --- Making one -------------------------------------------------------------------------------------------------------


def test_creation_options_are_those_of_level_3(alice_api, alice):
    shown = alice_api.post(NEW).data
    assert shown["rp"] == {"id": "localhost", "name": "Alviar"}
    assert shown["user"]["name"] == "alice@example.com"
    selection = shown["authenticatorSelection"]
    assert (selection["residentKey"], selection["requireResidentKey"], selection["userVerification"]) == (
        "required", True, "required",
    )  # fmt: skip
    assert shown["attestation"] == "none"
    assert {param["alg"] for param in shown["pubKeyCredParams"]} >= {-7, -257}
    assert not Challenge.objects.filter(digest=shown["challenge"]).exists()  # its digest alone


def test_a_passkey_is_added_listed_mailed_and_turns_nothing_on(alice_api, api, device, run_tasks, mailoutbox):
    answer = add(alice_api, device, name="Phone")
    assert answer.status_code == 201
    assert set(answer.data) == {"id", "name", "created_at", "last_used_at", "backed_up", "transports"}
    assert (answer.data["name"], answer.data["transports"]) == ("Phone", ["internal", "hybrid"])
    assert alice_api.get("/api/auth/factors/").data["passkeys"] == [answer.data]
    assert api.post("/api/auth/login/", {"username": "alice", "password": PASSWORD}).status_code == 200
    run_tasks()
    assert "A passkey was added to your account · Alviar" in [mail.subject for mail in mailoutbox]


def test_the_next_one_excludes_the_first_and_keeps_the_handle(alice_api, device):
    first = alice_api.post(NEW).data
    alice_api.post(ADD, {"credential": device.create(first)})
    second = alice_api.post(NEW).data
    assert [one["id"] for one in second["excludeCredentials"]] == list(device.keys)
    assert second["user"]["id"] == first["user"]["id"]


def test_a_challenge_makes_one_passkey(alice_api, device):
    options = alice_api.post(NEW).data
    assert alice_api.post(ADD, {"credential": device.create(options)}).status_code == 201
    refused(alice_api.post(ADD, {"credential": device.create(options)}), "invalid_or_expired_token")


def test_a_challenge_of_somebody_else_makes_none(alice_api, bob_api, device):
    made = device.create(alice_api.post(NEW).data)
    refused(bob_api.post(ADD, {"credential": made}), "invalid_or_expired_token")
    assert not Passkey.objects.exists()


def test_a_challenge_of_five_minutes_ago_makes_none(alice, sign_in, device):
    with time_machine.travel(datetime(2026, 11, 21, 10, tzinfo=UTC), tick=False) as clock:
        alice_api = sign_in(alice)
        made = device.create(alice_api.post(NEW).data)
        clock.shift(301)
        refused(alice_api.post(ADD, {"credential": made}), "invalid_or_expired_token")


@pytest.mark.parametrize(
    "device",
    [Authenticator(verified=False), Authenticator(origin="https://evil.example"), Authenticator(rp_id="evil.example")],
    ids=["no user verification", "another origin", "another party"],
)
def test_a_dishonest_device_makes_none(alice_api, device):
    refused(add(alice_api, device), "invalid_code")
    assert not Passkey.objects.exists()


def test_somebodys_passkey_is_not_taken_over(alice_api, bob_api, device):
    made = device.create(alice_api.post(NEW).data)
    name = made["id"]
    assert alice_api.post(ADD, {"credential": made}).status_code == 201
    Passkey.objects.update(credential_id="x")
    again = device.create(bob_api.post(NEW).data)
    Passkey.objects.update(credential_id=again["id"])
    refused(bob_api.post(ADD, {"credential": again}), "invalid_code")
    assert name != again["id"]
    assert Passkey.objects.get().user.username == "alice"


# --- Signing in -------------------------------------------------------------------------------------------------------


def test_request_options_name_nobody(api):
    shown = api.post(OPTIONS).data
    assert (shown["rpId"], shown["userVerification"]) == ("localhost", "required")
    assert not shown.get("allowCredentials")


def test_one_signs_in_without_a_name_by_two_factors_at_once(alice_api, api, device):
    add(alice_api, device)
    answer = sign_in_by(api, device, device_name="Laptop", remember_me=True)
    assert answer.status_code == 200
    assert answer.data["user"]["username"] == "alice"
    session = answer.data["session"]
    assert (session["device_name"], session["remember_me"], session["amr"]) == ("Laptop", True, ["hwk", "mfa"])
    assert Passkey.objects.get().last_used_at is not None


def test_a_passkey_is_never_asked_for_a_second_factor(alice_api, api, device):
    secret = alice_api.post("/api/auth/factors/totp/").data["secret"]
    alice_api.post("/api/auth/factors/totp/confirm/", {"code": code_at(secret)})
    add(alice_api, device)
    assert sign_in_by(api, device).status_code == 200


def test_an_answer_opens_once(alice_api, api, device):
    add(alice_api, device)
    credential = device.get(api.post(OPTIONS).data)
    assert api.post(SIGN_IN, {"credential": credential}).status_code == 200
    refused(api.post(SIGN_IN, {"credential": credential}), "invalid_or_expired_token")


def test_a_challenge_of_our_own_making_opens_nothing(alice_api, api, device):
    add(alice_api, device)
    refused(api.post(SIGN_IN, {"credential": device.get({"challenge": "AAAA"})}), "invalid_or_expired_token")


def test_a_challenge_made_for_something_else_opens_nothing(alice_api, api, device):
    add(alice_api, device)
    refused(api.post(SIGN_IN, {"credential": device.get(alice_api.post(NEW).data)}), "invalid_or_expired_token")


@pytest.mark.parametrize(
    ("name", "value"), [("verified", False), ("origin", "https://evil.example"), ("rp_id", "evil.example")]
)
def test_a_dishonest_answer_opens_nothing(alice_api, api, device, name, value):
    add(alice_api, device)
    setattr(device, name, value)
    refused(sign_in_by(api, device), "invalid_code")


def test_an_unknown_or_removed_passkey_opens_nothing(alice_api, api, device):
    passkey = add(alice_api, device).data
    assert alice_api.delete(f"{ADD}{passkey['id']}/").status_code == 204
    refused(sign_in_by(api, device), "invalid_code")


def test_the_key_of_another_opens_nothing(alice_api, bob_api, api, device):
    add(alice_api, device)
    other = Authenticator()
    add(bob_api, other)
    alices, bobs = next(iter(device.keys)), next(iter(other.keys))
    device.keys[bobs], device.handles[bobs] = device.keys[alices], other.handles[bobs]
    refused(api.post(SIGN_IN, {"credential": device.get(api.post(OPTIONS).data, bobs)}), "invalid_code")


def test_a_handle_of_somebody_else_opens_nothing(alice_api, api, device):
    add(alice_api, device)
    device.handles = dict.fromkeys(device.handles, "AAAA")
    refused(sign_in_by(api, device), "invalid_code")


def test_a_disabled_account_is_not_opened(alice_api, api, device):
    add(alice_api, device)
    User.objects.update(is_active=False)
    refused(sign_in_by(api, device), "invalid_code")


def test_a_locked_account_stays_locked_for_a_passkey(alice_api, api, device):
    add(alice_api, device)
    for _ in range(5):
        api.post("/api/auth/login/", {"username": "alice", "password": "wrong"})
    refused(sign_in_by(api, device), "account_locked", 429)


def test_where_the_address_must_be_verified_a_passkey_changes_nothing(alice_api, api, device, settings):
    add(alice_api, device)
    User.objects.update(email_verified=False)
    settings.EMAIL_VERIFICATION = "mandatory"
    refused(sign_in_by(api, device), "email_not_verified", 403)


def test_a_counter_that_runs_backwards_ends_the_passkey_and_is_told(alice_api, api, device, run_tasks, mailoutbox):
    add(alice_api, device)
    copied = copy.copy(device)
    assert sign_in_by(api, device).status_code == 200
    refused(sign_in_by(api, copied), "invalid_code")
    assert not Passkey.objects.exists()
    event = SecurityEvent.objects.get(kind="passkey_removed")
    assert event.detail["reason"] == "counter"
    run_tasks()
    told = next(mail for mail in mailoutbox if mail.subject == "A passkey was removed from your account · Alviar")
    assert "only a copy" in told.body
    refused(sign_in_by(api, device), "invalid_code")


def test_a_synced_passkey_counts_nothing(alice_api, api):
    device = Authenticator(counts=False)
    add(alice_api, device)
    assert [sign_in_by(api, device).status_code for _ in range(2)] == [200, 200]


GOOD = {"id": "AAAA", "rawId": "AAAA", "type": "public-key"}
BROKEN = [
    {"response": {}},
    {"response": {"clientDataJSON": 5}},
    {"response": {"clientDataJSON": "%%%"}},
    {"response": {"clientDataJSON": "AAAA"}},
    {"response": {"clientDataJSON": "W10"}},  # []
    {"response": {"clientDataJSON": "eyJjaGFsbGVuZ2UiOjV9"}},  # {"challenge":5}
    {"response": {"clientDataJSON": "e30"}},  # {}
    {"response": {"clientDataJSON": "é"}},
]


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_no_credential_is_a_wrong_one_never_a_500(alice_api, api, broken):
    refused(api.post(SIGN_IN, {"credential": GOOD | broken}), "invalid_code")
    refused(alice_api.post(ADD, {"credential": GOOD | broken}), "invalid_code")
    refused(alice_api.post("/api/auth/reauthenticate/", {"credential": GOOD | broken}), "invalid_code")


@pytest.mark.parametrize("credential", [None, "x", 5, [], {}, {"response": []}])
def test_what_is_not_even_an_object_is_a_validation_error(alice_api, api, credential):
    refused(api.post(SIGN_IN, {"credential": credential}), "validation_error")
    refused(alice_api.post(ADD, {"credential": credential}), "validation_error")


@pytest.mark.parametrize("field", ["authenticatorData", "signature", "userHandle", "clientDataJSON"])
@pytest.mark.parametrize("value", [None, 5, "", "AA", "%%%", [], {}, "A" * 5000])
def test_every_part_may_be_broken(alice_api, api, device, field, value):
    add(alice_api, device)
    credential = device.get(api.post(OPTIONS).data)
    credential["response"][field] = value
    answer = api.post(SIGN_IN, {"credential": credential})
    if field == "userHandle" and value is None:  # may be absent
        assert answer.status_code == 200
    else:
        refused(answer, "invalid_code")


@pytest.mark.parametrize("value", [None, 5, "", "AA", [], "A" * 5000, "oA"])
def test_a_broken_attestation_makes_no_passkey(alice_api, device, value):
    made = device.create(alice_api.post(NEW).data)
    made["response"]["attestationObject"] = value
    refused(alice_api.post(ADD, {"credential": made}), "invalid_code")


@pytest.mark.parametrize("key", ["id", "rawId", "type"])
@pytest.mark.parametrize("value", [None, 5, [], "\0", "x" * 3000])
def test_broken_envelopes(alice_api, api, device, key, value):
    add(alice_api, device)
    credential = device.get(api.post(OPTIONS).data) | {key: value}
    refused(api.post(SIGN_IN, {"credential": credential}), "invalid_code")


# --- As the second factor ---------------------------------------------------------------------------------------------


class TestAsTheSecondFactor:
    @pytest.fixture
    def token(self, alice_api, api, device):
        secret = alice_api.post("/api/auth/factors/totp/").data["secret"]
        alice_api.post("/api/auth/factors/totp/confirm/", {"code": code_at(secret)})
        add(alice_api, device)
        answer = api.post("/api/auth/login/", {"username": "alice", "password": PASSWORD})
        assert answer.data["methods"] == ["totp", "recovery_code", "passkey"]
        return answer.data["mfa_token"]

    def options(self, api, token):
        return api.post("/api/auth/mfa/options/", {"mfa_token": token}).data

    def test_it_finishes_the_login(self, token, api, device):
        options = self.options(api, token)
        assert [one["id"] for one in options["allowCredentials"]] == list(device.keys)
        answer = api.post("/api/auth/mfa/", {"mfa_token": token, "credential": device.get(options)})
        assert (answer.status_code, answer.data["session"]["amr"]) == (200, ["pwd", "hwk", "mfa"])

    def test_options_for_an_unknown_token_are_refused(self, token, api):
        refused(api.post("/api/auth/mfa/options/", {"mfa_token": "x"}), "invalid_or_expired_token")
        refused(api.post("/api/auth/mfa/options/", {}), "validation_error")

    def test_a_challenge_of_another_login_is_refused(self, token, api, device):
        other = api.post("/api/auth/login/", {"username": "alice", "password": PASSWORD}).data["mfa_token"]
        credential = device.get(self.options(api, other))
        body = {"mfa_token": token, "credential": credential}
        refused(api.post("/api/auth/mfa/", body), "invalid_or_expired_token")

    def test_a_passkey_of_somebody_else_is_wrong(self, token, api, bob_api):
        bobs = Authenticator()
        add(bob_api, bobs)
        body = {"mfa_token": token, "credential": bobs.get(self.options(api, token))}
        refused(api.post("/api/auth/mfa/", body), "invalid_code")

    def test_it_makes_a_session_fresh(self, token, api, alice_api, device):
        credential = device.get(api.post(OPTIONS).data)
        answer = alice_api.post("/api/auth/reauthenticate/", {"credential": credential})
        assert (answer.status_code, answer.data["amr"]) == (200, ["pwd", "otp", "hwk", "mfa"])


def test_the_passkey_of_somebody_else_makes_no_session_fresh(alice_api, bob_api, api, device):
    add(alice_api, device)
    credential = device.get(api.post(OPTIONS).data)
    refused(bob_api.post("/api/auth/reauthenticate/", {"credential": credential}), "invalid_code")


# --- Keeping them -----------------------------------------------------------------------------------------------------


def test_a_name_refuses_no_passkey(alice_api, device):
    made = add(alice_api, device, name="\u202eiPhone\u00a0de\tZoe\u0308\x00" + "x" * 200)
    assert (made.status_code, made.data["name"][:14], len(made.data["name"])) == (201, "iPhone de Zoëx", 100)
    path = f"{ADD}{made.data['id']}/"
    assert alice_api.patch(path, {"name": "Work\u2028key" + "y" * 200}).data["name"][:9] == "Work keyy"


def test_they_are_renamed_and_removed_by_their_owner(alice_api, bob_api, device, run_tasks, mailoutbox):
    path = f"{ADD}{add(alice_api, device).data['id']}/"
    assert alice_api.patch(path, {"name": "Work key"}).data["name"] == "Work key"
    refused(alice_api.patch(path, {"name": ""}), "validation_error")
    refused(alice_api.patch(path, {"name": "\u202e"}), "validation_error")
    refused(bob_api.patch(path, {"name": "mine"}), "not_found", 404)
    refused(bob_api.delete(path), "not_found", 404)
    refused(alice_api.delete(f"{ADD}nonsense/"), "not_found", 404)
    assert alice_api.delete(path).status_code == 204
    run_tasks()
    assert "A passkey was removed from your account · Alviar" in [mail.subject for mail in mailoutbox]


def test_the_last_way_in_stays(alice_api, api, device, settings, alice):
    path = f"{ADD}{add(alice_api, device).data['id']}/"
    alice.set_unusable_password()
    alice.save(update_fields=["password"])
    client = type(alice_api)()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {sign_in_by(api, device).data['access']}")
    settings.EMAIL_CODE_LOGIN = False
    refused(client.delete(path), "last_factor", 409)
    settings.EMAIL_CODE_LOGIN = True
    assert client.delete(path).status_code == 204


# --- Where it works ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "203.0.113.9"])
def test_a_site_that_is_an_address_has_no_passkeys(alice_api, api, settings, host):
    settings.RP_ID = host
    credential = {"credential": {"response": {}}}
    for client, path, body in [
        (alice_api, NEW, {}), (alice_api, ADD, credential), (api, OPTIONS, {}), (api, SIGN_IN, credential),
        (alice_api, ADD, {}), (api, SIGN_IN, {"credential": {"id": "x"}}),
    ]:  # fmt: skip
        refused(client.post(path, body), "passkeys_unavailable", 409)


def test_the_host_of_a_request_decides_nothing(alice_api, api):
    assert api.post(OPTIONS, headers={"host": "evil.example"}).data["rpId"] == "localhost"


def test_apps_that_share_them_are_published(client, settings):
    settings.PASSKEY_APPS = ["ios:ABCDE12345.org.alviar.app", "android:org.alviar.app:" + "ab" * 32]
    answer = client.get("/.well-known/apple-app-site-association")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer.json() == {"webcredentials": {"apps": ["ABCDE12345.org.alviar.app"]}}
    [link] = client.get("/.well-known/assetlinks.json").json()
    assert link["target"]["package_name"] == "org.alviar.app"
    assert link["target"]["sha256_cert_fingerprints"] == [":".join(["AB"] * 32)]


def test_without_apps_nothing_is_shared(client, settings):
    settings.PASSKEY_APPS = []
    assert client.get("/.well-known/apple-app-site-association").json() == {"webcredentials": {"apps": []}}
    assert client.get("/.well-known/assetlinks.json").json() == []


def test_open_options_are_counted_by_address(api, settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "passkey_options": "2/min"}
    assert [api.post(OPTIONS).status_code for _ in range(3)] == [200, 200, 429]
