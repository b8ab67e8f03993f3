"""Sign in with an account elsewhere: what an ID token must prove, and whom it may open."""

import threading
import time

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives import serialization

from users.factors import oidc, social_tokens
from users.factors.models import SocialLink
from users.models import SecurityEvent, User
from users.tests.factors import Issuer, code_at, unsigned

pytestmark = pytest.mark.django_db
URL, LINK = "/api/auth/social/acme/", "/api/auth/factors/social/acme/"


@pytest.fixture
def issuer(settings):
    issuer = Issuer()
    settings.SOCIAL_PROVIDERS = ["acme"]
    settings.SOCIAL = {
        "acme": {"issuer": issuer.url, "issuers": [issuer.url], "client_ids": ["our-app", "our-web"], "client": None}
    }
    oidc.forget()
    yield issuer
    issuer.stop()
    oidc.forget()


def refused(answer, code, status):
    assert (answer.status_code, answer.data["code"]) == (status, code), answer.data
    return answer.data


# --- Whose account it opens -------------------------------------------------------------------------------------------


def test_somebody_new_gets_an_account_without_a_password(issuer, api, db):
    answer = api.post(URL, {"id_token": issuer.token(given_name="Alice", sub="1"), "device_name": "Phone"})
    assert answer.status_code == 201
    user = User.objects.get()
    assert (user.username, user.email, user.email_verified, user.first_name) == (
        "alice", "alice@example.com", True, "Alice",
    )  # fmt: skip
    assert not user.has_usable_password()
    session = answer.data["session"]
    assert (session["device_name"], session["amr"]) == ("Phone", ["fed"])
    assert api.post(URL, {"id_token": issuer.token(sub="1")}).status_code == 200
    assert User.objects.count() == 1


def test_the_names_that_only_the_app_was_told_count_once(issuer, api, db):
    body = {"id_token": issuer.token(), "first_name": "Alix", "last_name": "Martin"}
    api.post(URL, body)
    api.post(URL, body | {"first_name": "Eve"})
    assert (User.objects.get().first_name, User.objects.get().last_name) == ("Alix", "Martin")


def test_an_address_that_both_sides_verified_links(issuer, api, alice, run_tasks, mailoutbox):
    answer = api.post(URL, {"id_token": issuer.token()})
    assert (answer.status_code, answer.data["user"]["id"]) == (200, alice.pk)
    assert SocialLink.objects.get().user == alice
    run_tasks()
    assert "An account elsewhere was linked to yours · Alviar" in [mail.subject for mail in mailoutbox]


@pytest.mark.parametrize(("ours", "theirs"), [(False, True), (True, False), (False, False), (True, None), (True, "no")])
def test_an_address_that_one_side_did_not_verify_links_nothing(issuer, api, alice, ours, theirs):
    User.objects.update(email_verified=ours)
    refused(api.post(URL, {"id_token": issuer.token(email_verified=theirs)}), "account_exists", 409)
    assert not SocialLink.objects.exists()


def test_apple_writes_true_as_a_string(issuer, api, alice):
    assert api.post(URL, {"id_token": issuer.token(email_verified="true")}).status_code == 200


def test_once_linked_the_address_plays_no_part(issuer, api, alice, bob):
    SocialLink.objects.create(user=bob, provider="acme", subject="1234")
    assert api.post(URL, {"id_token": issuer.token()}).data["user"]["id"] == bob.pk


def test_without_an_address_the_account_has_none(issuer, api, db):
    assert api.post(URL, {"id_token": issuer.token(email=None)}).status_code == 201
    assert User.objects.get().email == ""


def test_a_name_that_is_taken_gets_digits(issuer, api, alice):
    answer = api.post(URL, {"id_token": issuer.token(email="alice@other.example", sub="2")})
    assert answer.status_code == 201
    assert answer.data["user"]["username"].startswith("alice")
    assert answer.data["user"]["username"] != "alice"


def test_where_registration_is_closed_nobody_new_gets_in(issuer, api, db, settings):
    settings.REGISTRATION_OPEN = False
    refused(api.post(URL, {"id_token": issuer.token()}), "registration_closed", 403)
    assert not User.objects.exists()


def test_a_disabled_account_is_not_opened(issuer, api, alice):
    SocialLink.objects.create(user=alice, provider="acme", subject="1234")
    User.objects.update(is_active=False)
    refused(api.post(URL, {"id_token": issuer.token()}), "no_active_account", 401)


def test_a_locked_account_stays_locked(issuer, api, alice):
    for _ in range(5):
        api.post("/api/auth/login/", {"username": "alice", "password": "wrong"})
    refused(api.post(URL, {"id_token": issuer.token()}), "account_locked", 429)


def test_the_second_factor_is_asked_for(issuer, api, alice_api):
    secret = alice_api.post("/api/auth/factors/totp/").data["secret"]
    alice_api.post("/api/auth/factors/totp/confirm/", {"code": code_at(secret)})
    token = refused(api.post(URL, {"id_token": issuer.token()}), "mfa_required", 401)["mfa_token"]
    answer = api.post("/api/auth/mfa/", {"mfa_token": token, "code": code_at(secret, 1)})
    assert (answer.status_code, answer.data["session"]["amr"]) == (200, ["fed", "otp", "mfa"])


# --- What the token must prove ----------------------------------------------------------------------------------------


def bad(issuer):
    now = int(time.time())
    other = Issuer()
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    import base64
    import hashlib
    import hmac
    import json

    def b64(data):
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    claims = {"iss": issuer.url, "aud": "our-app", "sub": "1234", "iat": now, "exp": now + 600}
    head = b64(json.dumps({"alg": "HS256", "kid": issuer.kid}).encode()) + "." + b64(json.dumps(claims).encode())
    confused = f"{head}.{b64(hmac.new(public, head.encode(), hashlib.sha256).digest())}"
    try:
        yield "aud of another app", issuer.token(aud="their-app")
        yield "aud of several without us as azp", issuer.token(aud=["our-app", "x"], azp="x")
        yield "no aud", issuer.token(aud=None)
        yield "iss of another", issuer.token(iss="https://evil.example")
        yield "no iss", issuer.token(iss=None)
        yield "expired", issuer.token(exp=now - 60)
        yield "no exp", issuer.token(exp=None)
        yield "from the future", issuer.token(iat=now + 600)
        yield "no sub", issuer.token(sub=None)
        yield "empty sub", issuer.token(sub="")
        yield "long sub", issuer.token(sub="x" * 256)
        yield "key of another", issuer.token(key=other.key)
        yield "unknown kid", issuer.token(headers={"kid": "nobody"})
        yield "kid of no text", jwt.encode(claims, issuer.key, algorithm="RS256", headers={"kid": issuer.kid + "x"})
        yield "crit", issuer.token(headers={"crit": ["exp"]})
        yield "none", unsigned(claims)
        yield "key confusion", confused
        yield "shared key", jwt.encode(claims, b"\0\0\0", algorithm="HS256", headers={"kid": "shared"})
        yield "cut", issuer.token()[:-8]
        yield "two parts", ".".join(issuer.token().split(".")[:2])
        yield "no token", "nonsense"
        yield "dots", "..."
        yield "accents", "é.é.é"
    finally:
        other.stop()


@pytest.mark.filterwarnings("ignore")
def test_a_token_that_proves_nothing_opens_nothing(issuer, api, alice):
    for _what, token in bad(issuer):
        refused(api.post(URL, {"id_token": token}), "invalid_id_token", 401)
    assert not SocialLink.objects.exists()


def test_an_audience_of_several_is_good_with_us_as_azp(issuer, api, alice):
    assert api.post(URL, {"id_token": issuer.token(aud=["our-web", "x"], azp="our-web")}).status_code == 200


@pytest.mark.parametrize(
    ("said", "given", "status"),
    [("n1", "n1", 200), (None, None, 200), ("n1", "n2", 401), ("n1", "", 401), ("n1", None, 401), (None, "n1", 401),
     (5, "5", 401), ("6da43b944e494e885e69af021f93c6d9331c78aa228084711429160a5bbd15b5", "secret", 401),
     ("2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "secret", 200)],
)  # fmt: skip
def test_the_nonce_binds_the_token_to_this_sign_in(issuer, api, alice, said, given, status):
    body = {"id_token": issuer.token(nonce=said)} | ({} if given is None else {"nonce": given})
    assert api.post(URL, body).status_code == status


@pytest.mark.parametrize("body", [{}, {"id_token": 5}, {"id_token": ""}, {"id_token": "x" * 20_000}, {"id_token": []}])
def test_malformed_bodies(issuer, api, db, body):
    refused(api.post(URL, body), "validation_error", 400)


def test_a_provider_that_is_not_offered_does_not_exist(issuer, api, db):
    refused(api.post("/api/auth/social/google/", {"id_token": issuer.token()}), "not_found", 404)


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_many_sign_ins_fetch_the_keys_once(issuer, api, alice):
    for _ in range(5):
        assert api.post(URL, {"id_token": issuer.token()}).status_code == 200
    assert issuer.fetches == ["/.well-known/openid-configuration", "/jwks"]


def test_a_rotated_key_is_found_at_once(issuer, api, alice):
    assert api.post(URL, {"id_token": issuer.token()}).status_code == 200
    issuer.rotate("ES256")
    assert api.post(URL, {"id_token": issuer.token()}).status_code == 200


def test_unknown_keys_make_us_ask_a_few_times_only(issuer, api, alice):
    for number in range(20):
        refused(api.post(URL, {"id_token": issuer.token(headers={"kid": str(number)})}), "invalid_id_token", 401)
    assert issuer.fetches.count("/jwks") <= oidc.REFETCHES + 1


def test_while_the_provider_is_away_known_keys_go_on(issuer, api, alice):
    assert api.post(URL, {"id_token": issuer.token()}).status_code == 200
    issuer.stop()
    assert api.post(URL, {"id_token": issuer.token()}).status_code == 200


def test_a_key_that_we_cannot_ask_for_is_503_and_no_bad_token(issuer, api, alice):
    assert api.post(URL, {"id_token": issuer.token()}).status_code == 200
    issuer.rotate()
    issuer.status = 500
    for _ in range(2):  # the second without asking again
        answer = api.post(URL, {"id_token": issuer.token()})
        assert refused(answer, "provider_unavailable", 503)["action"] == "retry"
    issuer.status = 200
    oidc._keys_of(issuer.url).failed_at -= oidc.AWAY_SECONDS
    assert api.post(URL, {"id_token": issuer.token()}).status_code == 200


def test_a_provider_that_is_away_is_503_and_back_again_is_fine(issuer, api, alice):
    issuer.status = 500
    answer = api.post(URL, {"id_token": issuer.token()})
    said = refused(answer, "provider_unavailable", 503)
    assert (said["action"], answer["Retry-After"]) == ("retry", "2")
    assert len(issuer.fetches) == 1
    refused(api.post(URL, {"id_token": issuer.token()}), "provider_unavailable", 503)
    assert len(issuer.fetches) == 1  # it is not asked again at once
    issuer.status = 200
    oidc._keys_of(issuer.url).failed_at -= oidc.AWAY_SECONDS
    assert api.post(URL, {"id_token": issuer.token()}).status_code == 200


def test_a_slow_provider_is_503(issuer, api, alice, monkeypatch):
    monkeypatch.setattr(oidc, "TIMEOUT_SECONDS", 0.2)
    issuer.delay = 2
    refused(api.post(URL, {"id_token": issuer.token()}), "provider_unavailable", 503)


@pytest.mark.parametrize(
    "document", [[], {}, {"issuer": "https://other.example"}, {"jwks_uri": "http://198.51.100.1/jwks"}, "x" * 300_000]
)
def test_what_is_no_discovery_document(issuer, api, alice, monkeypatch, document):
    if isinstance(document, dict) and "jwks_uri" in document:
        document["issuer"] = issuer.url
    monkeypatch.setattr(issuer, "document", lambda path: document)
    refused(api.post(URL, {"id_token": issuer.token()}), "provider_unavailable", 503)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://example.com/", "https://", "http://127.0.0.1.evil.example/"]
)
def test_only_https_or_this_machine(url):
    with pytest.raises(ValueError, match="https"):
        oidc.require_safe(url)


def test_parallel_first_sign_ins_fetch_once(issuer):
    issuer.delay = 0.1
    token, answers = issuer.token(), []
    threads = [threading.Thread(target=lambda: answers.append(oidc.verify("acme", token))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.subject for answer in answers] == ["1234"] * 10
    assert issuer.fetches.count("/jwks") == 1


# --- Linking and unlinking --------------------------------------------------------------------------------------------


def test_a_link_is_made_whatever_its_address_and_listed(issuer, alice_api):
    answer = alice_api.post(LINK, {"id_token": issuer.token(email="other@example.com")})
    assert (answer.status_code, set(answer.data)) == (200, {"provider", "email", "linked_at"})
    assert alice_api.get("/api/auth/factors/").data["social"] == [answer.data]
    assert alice_api.post(LINK, {"id_token": issuer.token()}).status_code == 200
    assert SecurityEvent.objects.filter(kind="social_linked").count() == 1


def test_what_opens_somebody_else_is_not_linked(issuer, alice_api, bob_api):
    assert alice_api.post(LINK, {"id_token": issuer.token()}).status_code == 200
    refused(bob_api.post(LINK, {"id_token": issuer.token()}), "account_exists", 409)


def test_one_account_of_a_provider(issuer, alice_api):
    assert alice_api.post(LINK, {"id_token": issuer.token()}).status_code == 200
    refused(alice_api.post(LINK, {"id_token": issuer.token(sub="2")}), "validation_error", 400)


def test_a_bad_token_links_nothing(issuer, alice_api):
    refused(alice_api.post(LINK, {"id_token": "x"}), "invalid_id_token", 401)
    refused(alice_api.post(LINK, {}), "validation_error", 400)


def test_a_link_is_removed_and_told(issuer, alice_api, run_tasks, mailoutbox):
    alice_api.post(LINK, {"id_token": issuer.token()})
    assert alice_api.delete(LINK).status_code == 204
    refused(alice_api.delete(LINK), "not_found", 404)
    refused(alice_api.delete("/api/auth/factors/social/%00/"), "not_found", 404)
    run_tasks()
    assert "An account elsewhere is no longer linked to yours · Alviar" in [mail.subject for mail in mailoutbox]


def test_the_last_way_in_stays(issuer, api, settings):
    from rest_framework.test import APIClient

    settings.EMAIL_CODE_LOGIN = False
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {api.post(URL, {'id_token': issuer.token()}).data['access']}")
    refused(client.delete(LINK), "last_factor", 409)
    settings.EMAIL_CODE_LOGIN = True
    assert client.delete(LINK).status_code == 204


def test_it_makes_a_session_fresh_where_nothing_more_is_on(issuer, api, alice_api, bob_api):
    alice_api.post(LINK, {"id_token": issuer.token()})
    body = {"provider": "acme", "id_token": issuer.token()}
    assert alice_api.post("/api/auth/reauthenticate/", body).status_code == 200
    refused(bob_api.post("/api/auth/reauthenticate/", body), "invalid_id_token", 401)
    refused(alice_api.post("/api/auth/reauthenticate/", body | {"provider": "x"}), "not_found", 404)


# --- Apple: what was issued is revoked --------------------------------------------------------------------------------


class TestRevocation:
    @pytest.fixture
    def ours(self, issuer, settings):
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        settings.SOCIAL["acme"]["client"] = {"team_id": "TEAM", "key_id": "KEY", "private_key": pem.decode()}
        return key

    def test_closing_the_account_revokes_it(self, issuer, ours, api, run_tasks):
        from rest_framework.test import APIClient

        answer = api.post(URL, {"id_token": issuer.token(), "authorization_code": "apple-code"})
        run_tasks()
        assert issuer.posts[0][0] == "/token"
        assert "code=apple-code" in issuer.posts[0][1]
        kept = SocialLink.objects.get().refresh_token
        assert kept
        assert "apple-refresh-token" not in kept
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.data['access']}")
        assert client.delete("/api/users/me/").status_code == 204
        assert not SocialLink.objects.exists()
        run_tasks()
        assert issuer.posts[1][0] == "/revoke"
        assert "token=apple-refresh-token" in issuer.posts[1][1]

    def test_neither_code_nor_token_rests_in_a_task(self, issuer, ours, api, db):
        from django_tasks_db.models import DBTaskResult

        api.post(URL, {"id_token": issuer.token(), "authorization_code": "apple-code"})
        assert not any("apple-code" in str(row.args_kwargs) for row in DBTaskResult.objects.all())

    def test_the_client_secret_is_signed_as_apple_wants_it(self, issuer, ours):
        claims = jwt.decode(
            social_tokens.client_secret("acme"), ours.public_key(), algorithms=["ES256"], audience=issuer.url
        )
        assert (claims["iss"], claims["sub"]) == ("TEAM", "our-app")

    def test_while_it_is_away_the_task_is_tried_again(self, issuer, ours, api, run_tasks):
        api.post(URL, {"id_token": issuer.token(), "authorization_code": "apple-code"})
        issuer.status = 503
        with pytest.raises(social_tokens.ProviderAway):
            run_tasks()


def test_a_moved_clock_is_noticed(issuer, api, alice):
    token = issuer.token()
    with time_machine.travel(time.time() + 3600):
        refused(api.post(URL, {"id_token": token}), "invalid_id_token", 401)


@pytest.mark.parametrize("subject", ["", "a\0b", "\ud800", "x" * 256, 7, None, ["1"]])
def test_a_subject_that_cannot_be_kept_opens_nothing(issuer, api, db, subject):
    refused(api.post(URL, {"id_token": issuer.token(sub=subject)}), "invalid_id_token", 401)
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["given_name", "family_name", "email", "nickname"])
@pytest.mark.parametrize("value", ["\ud800", "a\0b", "x" * 3000, 7, ["a"], {}])
def test_what_else_a_provider_says_refuses_nobody(issuer, api, db, name, value):
    assert api.post(URL, {"id_token": issuer.token(**{name: value})}).status_code == 201
    user = User.objects.get()
    assert "\ud800" not in user.first_name + user.last_name + user.email


def test_a_name_that_the_app_gives_refuses_no_sign_in(issuer, api, db):
    given = {"first_name": "\u202eZoe\u0308\tM", "last_name": "x" * 200}
    answer = api.post(URL, {"id_token": issuer.token(), **given})
    assert (answer.status_code, answer.data["user"]["first_name"]) == (201, "Zoë M")
    assert answer.data["user"]["last_name"] == "x" * 150
